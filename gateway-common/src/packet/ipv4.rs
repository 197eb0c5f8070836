//! IPv4 (RFC 791): version, lengths, options, fragments.

use super::{Packet, PacketBytes, Source, transport};
use crate::Reason;

/// Bytes of the header without options.
const LENGTH: usize = 20;
/// Where the source stands.
const SOURCE: usize = 12;
/// Bits of the fragment offset.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// "More fragments".
const MORE_FRAGMENTS: u16 = 0x2000;

/// Reads the packet whose IPv4 header begins at `offset`.
#[inline(always)]
pub fn parse<P: PacketBytes + ?Sized>(frame: &P, offset: usize) -> Packet {
    let Some(header) = frame.read::<LENGTH>(offset) else { return cut_short(frame, offset) };
    let [first, _, l1, l0, _, _, f1, f0, _, protocol, _, _, s3, s2, s1, s0, ..] = header;
    if first >> 4 != 4 {
        return Packet::without_source(Reason::Ipv4Malformed);
    }
    let source = Source::V4([s3, s2, s1, s0]);
    let packet = Packet { protocol, network: offset, ..Packet::of(source) };
    let header_length = usize::from(first & 0xf) * 4;
    let total_length = usize::from(u16::from_be_bytes([l1, l0]));
    let fits = header_length >= LENGTH
        && total_length >= header_length
        && total_length <= frame.length().saturating_sub(offset);
    if !fits {
        return Packet { finding: Some(Reason::Ipv4Malformed), ..packet };
    }
    let fragment = u16::from_be_bytes([f1, f0]);
    if fragment & FRAGMENT_OFFSET != 0 {
        return Packet { finding: Some(Reason::LaterFragment), ..packet };
    }
    let payload = transport::Payload {
        offset: offset + header_length,
        length: total_length - header_length,
        whole: fragment & MORE_FRAGMENTS == 0,
    };
    transport::parse(frame, &payload, packet)
}

/// Not a whole header, but the address may be there: a ban still meets its source.
#[inline(always)]
fn cut_short<P: PacketBytes + ?Sized>(frame: &P, offset: usize) -> Packet {
    let malformed = Packet::without_source(Reason::Ipv4Malformed);
    let (Some([first]), Some(source)) = (frame.read(offset), frame.read(offset + SOURCE)) else {
        return malformed;
    };
    if first >> 4 == 4 { Packet { source: Source::V4(source), ..malformed } } else { malformed }
}
