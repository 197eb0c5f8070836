//! IPv6 (RFC 8200) and its extension headers, walked to a bounded depth.

use super::{Address, Packet, PacketBytes, transport};
use crate::Reason;

/// Bytes of the fixed header.
const LENGTH: usize = 40;
/// Where the source stands.
const SOURCE: usize = 8;
/// Extension headers that are read through. Lawful packets carry one or two; each further one is
/// work an attacker orders.
pub const DEPTH: usize = 8;
/// From here on numbers are unassigned, experimental (RFC 7045: extension headers) or reserved.
const UNASSIGNED: u8 = 147;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Reads the IPv6 header and what extends it; true if a transport header follows that can be read.
#[inline(always)]
pub(super) fn parse<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    if fixed(frame, packet.network, packet).is_none() {
        packet.findings.meet(Reason::Ipv6Malformed);
        return false;
    }
    if !walk(frame, packet) {
        return false;
    }
    packet.findings.meet_if(packet.protocol >= UNASSIGNED, Reason::ExtensionUnknown);
    true
}

/// The fixed header; `None` if it is malformed. The source is kept as soon as it can be read.
#[inline(always)]
fn fixed<P: PacketBytes + ?Sized>(frame: &P, offset: usize, packet: &mut Packet) -> Option<()> {
    let Some([first, second, s0, s1, s2, s3, d0, d1, d2, d3]) = frame.words(offset) else {
        keep_source_of_a_cut(frame, offset, packet);
        return None;
    };
    let [first, second] = [first, second].map(u32::from_be);
    if first >> 28 != 6 {
        return None;
    }
    keep_source([s0, s1, s2, s3], packet);
    let (length, next) = ((second >> 16) as usize, (second >> 8) as u8);
    packet.protocol = next;
    let available = frame.length().checked_sub(offset + LENGTH)?;
    // Zero before hop-by-hop options announces a jumbogram (RFC 2675): the frame is the bound.
    let length = if length == 0 && next == HOP_BY_HOP { available } else { length };
    if length > available {
        return None;
    }
    packet.version = 6;
    packet.hop_limit = second as u8;
    packet.to = [d0, d1, d2, d3];
    packet.payload = offset + LENGTH;
    packet.payload_length = length;
    Some(())
}

#[inline(always)]
fn keep_source_of_a_cut<P: PacketBytes + ?Sized>(frame: &P, offset: usize, packet: &mut Packet) {
    if let (Some([first]), Some(source)) = (frame.read(offset), frame.words(offset + SOURCE))
        && first >> 4 == 6
    {
        keep_source(source, packet);
    }
}

/// `::ffff:0:0/96` has no business on a wire (RFC 4942 section 2.2), but stacks read it as IPv4:
/// so do bans.
#[inline(always)]
fn keep_source(address: Address, packet: &mut Packet) {
    let [a, b, c, d] = address;
    if a | b == 0 && c == 0xffff_u32.to_be() {
        packet.from = [d, 0, 0, 0];
        packet.family = 4;
    } else {
        packet.from = address;
        packet.family = 6;
    }
}

/// Follows the extension headers to the transport header.
#[inline(always)]
fn walk<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    for depth in 0..DEPTH {
        if !is_extension(packet.protocol) {
            return true;
        }
        if !step(frame, packet, depth == 0) {
            return false;
        }
        frame.settle();
    }
    let too_deep = is_extension(packet.protocol);
    packet.findings.meet_if(too_deep, Reason::ExtensionDepth);
    !too_deep
}

/// Over one extension header; false if what follows cannot be read.
#[inline(always)]
fn step<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet, is_first: bool) -> bool {
    let Some([word]) = frame.words(packet.payload) else {
        packet.findings.meet(Reason::ExtensionMalformed);
        return false;
    };
    let [next, length, b2, b3] = word.to_ne_bytes();
    let protocol = packet.protocol;
    let size = extension_size(protocol, length);
    // RFC 8200 section 4.1: hop-by-hop options stand first or not at all.
    let misplaced = protocol == HOP_BY_HOP && !is_first;
    // RFC 4302 section 2.2: its fixed fields alone take 12 bytes.
    let too_short = protocol == AUTHENTICATION && length == 0;
    if packet.payload_length < size || misplaced || too_short {
        packet.findings.meet(Reason::ExtensionMalformed);
        return false;
    }
    packet.protocol = next;
    packet.payload += size;
    packet.payload_length -= size;
    if protocol == ROUTING {
        packet.findings.meet_if(b2 <= 1 || b3 != 0, Reason::RoutingHeader);
    }
    protocol != FRAGMENT || fragment(u16::from_be_bytes([b2, b3]), packet)
}

/// Behind a fragment header. An atomic fragment (RFC 6946) is whole.
#[inline(always)]
fn fragment(bits: u16, packet: &mut Packet) -> bool {
    packet.fragmented = 1;
    let (offset, more) = (usize::from(bits & 0xfff8), bits & 1 != 0);
    (offset == 0 && !more) || transport::fragment(offset, more, packet)
}

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION_OPTIONS
            | MOBILITY
            | HOST_IDENTITY
            | SHIM6
    )
}

/// Bytes of an extension header: the fragment header is fixed, the authentication header counts
/// in fours (RFC 4302), all others in eights.
#[inline(always)]
fn extension_size(protocol: u8, length: u8) -> usize {
    match protocol {
        FRAGMENT => 8,
        AUTHENTICATION => (usize::from(length) + 2) * 4,
        _ => (usize::from(length) + 1) * 8,
    }
}
