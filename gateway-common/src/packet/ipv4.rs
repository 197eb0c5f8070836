//! IPv4 (RFC 791): version, lengths, options, fragments.

use super::{Packet, PacketBytes, protocol, transport};
use crate::Reason;

/// Bytes of the header without options.
const LENGTH: usize = 20;
/// Where the source stands.
const SOURCE: usize = 12;
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
    let Some([first, second, third, source, destination]) = frame.words(offset) else {
        keep_source_of_a_cut(frame, offset, packet);
        return None;
    };
    let [first, second, third] = [first, second, third].map(u32::from_be);
    if first >> 28 != 4 {
        return None;
    }
    packet.from = [source, 0, 0, 0];
    packet.family = 4;
    packet.protocol = (third >> 16) as u8;
    let header_length = (first >> 24 & 0xf) as usize * 4;
    let total_length = (first & 0xffff) as usize;
    let fits = header_length >= LENGTH
        && total_length >= header_length
        && total_length <= frame.length().saturating_sub(offset);
    if !fits {
        return None;
    }
    packet.version = 4;
    packet.to = [destination, 0, 0, 0];
    packet.payload = offset + header_length;
    packet.payload_length = total_length - header_length;
    if header_length > LENGTH && !is_router_alert(frame, offset, header_length, packet.protocol) {
        packet.findings.meet(Reason::Ipv4Options);
    }
    Some(second as u16)
}

/// Not a whole header, but the address may be there.
#[inline(always)]
fn keep_source_of_a_cut<P: PacketBytes + ?Sized>(frame: &P, offset: usize, packet: &mut Packet) {
    if let (Some([first]), Some([source])) = (frame.read(offset), frame.words(offset + SOURCE))
        && first >> 4 == 4
    {
        packet.from = [source, 0, 0, 0];
        packet.family = 4;
    }
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
