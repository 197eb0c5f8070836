//! IPv6 (RFC 8200) and its extension headers, walked to a bounded depth.

use super::{Packet, PacketBytes, Source, transport};
use crate::Reason;

/// Bytes of the fixed header.
const LENGTH: usize = 40;
/// Where the source stands.
const SOURCE: usize = 8;
/// Extension headers that are read through. Lawful packets carry one or two; each further one is
/// work an attacker orders.
pub const DEPTH: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Reads the packet whose IPv6 header begins at `offset`.
#[inline(always)]
pub fn parse<P: PacketBytes + ?Sized>(frame: &P, offset: usize) -> Packet {
    let malformed = Packet::without_source(Reason::Ipv6Malformed);
    let Some([first, _, _, _, l1, l0, next, _]) = frame.read(offset) else { return malformed };
    if first >> 4 != 6 {
        return malformed;
    }
    let Some(address) = frame.read(offset + SOURCE) else { return malformed };
    let source = canonical(address);
    let Some(available) = frame.length().checked_sub(offset + LENGTH) else {
        return Packet { source, protocol: next, ..malformed };
    };
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    // Zero before hop-by-hop options announces a jumbogram (RFC 2675): the frame is the bound.
    let length = if length == 0 && next == HOP_BY_HOP { available } else { length };
    if length > available {
        return Packet { source, protocol: next, ..malformed };
    }
    let packet = Packet { protocol: next, network: offset, ..Packet::of(source) };
    walk(frame, transport::Payload { offset: offset + LENGTH, length, whole: true }, packet)
}

/// `::ffff:0:0/96` has no business on a wire (RFC 4942 section 2.2), but stacks read it as IPv4:
/// so do bans.
#[inline(always)]
fn canonical(address: [u8; 16]) -> Source {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Source::V4([a, b, c, d]),
        _ => Source::V6(address),
    }
}

/// Follows the extension headers to the transport header.
#[inline(always)]
fn walk<P: PacketBytes + ?Sized>(
    frame: &P,
    mut payload: transport::Payload,
    mut packet: Packet,
) -> Packet {
    for depth in 0..DEPTH {
        if !is_extension(packet.protocol) {
            return transport::parse(frame, &payload, packet);
        }
        let Some([next, length, o1, o0]) = frame.read(payload.offset) else {
            return Packet { finding: Some(Reason::ExtensionMalformed), ..packet };
        };
        let size = extension_size(packet.protocol, length);
        // RFC 8200 section 4.1: hop-by-hop options stand first or not at all.
        if payload.length < size || (packet.protocol == HOP_BY_HOP && depth > 0) {
            return Packet { finding: Some(Reason::ExtensionMalformed), ..packet };
        }
        if packet.protocol == FRAGMENT {
            let fragment = u16::from_be_bytes([o1, o0]);
            if fragment & 0xfff8 != 0 {
                return Packet { protocol: next, finding: Some(Reason::LaterFragment), ..packet };
            }
            payload.whole = payload.whole && fragment & 1 == 0;
        }
        packet.protocol = next;
        payload.offset += size;
        payload.length -= size;
    }
    if is_extension(packet.protocol) {
        return Packet { finding: Some(Reason::ExtensionDepth), ..packet };
    }
    transport::parse(frame, &payload, packet)
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
