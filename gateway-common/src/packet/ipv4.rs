//! IPv4 (RFC 791): version, lengths, options, fragments.

use super::{Packet, PacketBytes, Source, protocol, transport};
use crate::Reason;

/// Bytes of the header without options.
const LENGTH: usize = 20;
/// Where the source stands.
const SOURCE: usize = 12;
/// Where the destination stands.
const DESTINATION: usize = 16;
/// Bits of the fragment offset.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// "More fragments".
const MORE_FRAGMENTS: u16 = 0x2000;
/// The option of every IGMP message (RFC 2113, RFC 3376 section 4).
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];

/// Reads the IPv4 header; true if a transport header follows that can be read.
#[inline(always)]
pub(super) fn parse<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    let payload = header(frame, packet.network, packet);
    if payload.is_none() {
        packet.findings.meet(Reason::Ipv4Malformed);
    }
    let Some(bits) = payload else { return false };
    if bits & (FRAGMENT_OFFSET | MORE_FRAGMENTS) == 0 {
        return true;
    }
    let offset = usize::from(bits & FRAGMENT_OFFSET) * 8;
    transport::fragment(offset, bits & MORE_FRAGMENTS != 0, packet)
}

/// The header: the field of fragments, `None` if it is malformed. The source is kept as soon as it
/// can be read: a ban still meets it.
#[inline(always)]
fn header<P: PacketBytes + ?Sized>(frame: &P, offset: usize, packet: &mut Packet) -> Option<u16> {
    let [first] = frame.read(offset)?;
    if first >> 4 != 4 {
        return None;
    }
    packet.source = Source::V4(frame.address4(offset + SOURCE)?);
    let [d3, d2, d1, d0] = frame.address4(offset + DESTINATION)?;
    let [_, _, l1, l0, _, _, f1, f0, _, protocol] = frame.read(offset)?;
    packet.protocol = protocol;
    let header_length = usize::from(first & 0xf) * 4;
    let total_length = usize::from(u16::from_be_bytes([l1, l0]));
    let fits = header_length >= LENGTH
        && total_length >= header_length
        && total_length <= frame.length().saturating_sub(offset);
    if !fits {
        return None;
    }
    packet.version = 4;
    packet.destination = [d3, d2, d1, d0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.payload = offset + header_length;
    packet.payload_length = total_length - header_length;
    let options =
        header_length > LENGTH && !is_router_alert(frame, offset, header_length, protocol);
    packet.findings.meet_if(options, Reason::Ipv4Options);
    Some(u16::from_be_bytes([f1, f0]))
}

#[inline(always)]
fn is_router_alert<P: PacketBytes + ?Sized>(
    frame: &P,
    offset: usize,
    header_length: usize,
    protocol: u8,
) -> bool {
    protocol == protocol::IGMP
        && header_length == LENGTH + ROUTER_ALERT.len()
        && frame.read(offset + LENGTH) == Some(ROUTER_ALERT)
}
