//! Neighbour discovery (RFC 4861): what is sent on the link alone, and may be trusted only as far
//! as it was.

use super::{Address, Packet};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// True if this `ICMPv6` message is of neighbour discovery, but not as a neighbour may send it.
#[inline(always)]
pub(super) fn is_invalid(packet: &Packet) -> bool {
    let Some(least) = least_length(packet.icmp_type()) else { return false };
    // A router lowers the hop limit: 255 has not passed one. RFC 6980: never in fragments.
    packet.hop_limit != 255
        || packet.destination_port & 0xff != 0
        || packet.fragmented != 0
        || packet.payload_length < least
        || !is_lawful_source(packet)
}

#[inline(always)]
const fn least_length(kind: u8) -> Option<usize> {
    match kind {
        ROUTER_SOLICITATION => Some(8),
        ROUTER_ADVERTISEMENT => Some(16),
        NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => Some(24),
        REDIRECT => Some(40),
        _ => None,
    }
}

#[inline(always)]
fn is_lawful_source(packet: &Packet) -> bool {
    if packet.family != 6 {
        // A mapped address is no link-local one, however it is written.
        return !matches!(packet.icmp_type(), ROUTER_ADVERTISEMENT | REDIRECT);
    }
    match packet.icmp_type() {
        ROUTER_ADVERTISEMENT | REDIRECT => is_link_local(packet.from),
        NEIGHBOUR_ADVERTISEMENT => !is_unspecified(packet.from),
        NEIGHBOUR_SOLICITATION => !is_unspecified(packet.from) || is_solicited_node(packet.to),
        _ => true,
    }
}

/// `::`
#[inline(always)]
pub(crate) const fn is_unspecified([a, b, c, d]: Address) -> bool {
    a | b | c | d == 0
}

/// `fe80::/10`
#[inline(always)]
pub(crate) const fn is_link_local([first, ..]: Address) -> bool {
    u32::from_be(first) >> 22 == 0xfe80 >> 6
}

/// `ff02::1:ff00:0/104` (RFC 4291 section 2.7.1): whom duplicate address detection asks.
#[inline(always)]
const fn is_solicited_node([a, b, c, d]: Address) -> bool {
    u32::from_be(a) == 0xff02_0000
        && b == 0
        && u32::from_be(c) == 1
        && u32::from_be(d) >> 24 == 0xff
}
