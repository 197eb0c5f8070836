//! Where a packet cannot come from, and where it should not (RFC 6890 and what it lists).

use super::{Address, Findings, Packet, neighbour::is_unspecified, protocol};
use crate::Reason;

/// Rows without a readable transport header: no exception rests on one.
const UNREAD: Findings = Findings::of(Reason::ExtensionDepth)
    .and(Reason::ExtensionMalformed)
    .and(Reason::LaterFragment)
    .and(Reason::TransportMalformed);

/// The rows of every packet with a whole IP header.
#[inline(always)]
pub(super) fn check(packet: &mut Packet) {
    let martian = if packet.version == 6 { is_martian6(packet) } else { is_martian4(packet) };
    if martian {
        packet.findings.meet(Reason::MartianSource);
    }
    if is_land(packet) {
        packet.findings.meet(Reason::Land);
    }
}

#[inline(always)]
fn is_land(packet: &Packet) -> bool {
    let ([from0, from1, from2, from3], [to0, to1, to2, to3]) = (packet.from, packet.to);
    if packet.version == 6 && packet.family == 4 {
        return to0 | to1 == 0 && to2 == 0xffff_u32.to_be() && to3 == from0;
    }
    (from0 ^ to0) | (from1 ^ to1) | (from2 ^ to2) | (from3 ^ to3) == 0
}

#[inline(always)]
fn is_martian4(packet: &Packet) -> bool {
    let [source, ..] = packet.from;
    let source = u32::from_be(source);
    match source >> 24 {
        0 => source != 0 || !asks_for_an_address(packet),
        127 | 224..=239 => true,
        255 => source == u32::MAX,
        _ => false,
    }
}

/// DHCP to a server, and IGMP from a host without address (RFC 3376 section 4.2.13).
#[inline(always)]
fn asks_for_an_address(packet: &Packet) -> bool {
    packet.protocol == protocol::IGMP && !packet.findings.meets(UNREAD) || is_udp(packet, 68, 67)
}

/// `ff00::/8`, `::/96`, and `::ffff:0:0/96`, which is of the other family.
#[inline(always)]
fn is_martian6(packet: &Packet) -> bool {
    let [a, b, c, _] = packet.from;
    if packet.family == 4 || u32::from_be(a) >> 24 == 0xff {
        return true;
    }
    a | b | c == 0 && !(is_unspecified(packet.from) && introduces_itself(packet))
}

/// Duplicate address detection, router solicitation, multicast listener reports.
#[inline(always)]
fn introduces_itself(packet: &Packet) -> bool {
    packet.protocol == protocol::ICMPV6
        && !packet.findings.meets(UNREAD)
        && matches!(packet.icmp_type(), 131 | 132 | 133 | 135 | 143)
}

#[inline(always)]
pub(crate) const fn is_udp(packet: &Packet, from: u16, to: u16) -> bool {
    packet.protocol == protocol::UDP && packet.source_port == from && packet.destination_port == to
}

/// True if the source is of a private network.
#[inline(always)]
pub(crate) fn is_private(packet: &Packet) -> bool {
    let [first, ..] = packet.from;
    let first = u32::from_be(first);
    match (packet.version, packet.family) {
        (4, 4) => is_private4(first) && !is_udp(packet, 67, 68),
        (6, 6) => first >> 25 == 0xfc >> 1 || first >> 22 == 0xfec0 >> 6,
        _ => false,
    }
}

/// RFC 1918, RFC 6598, RFC 3927.
#[inline(always)]
const fn is_private4(source: u32) -> bool {
    source >> 24 == 10
        || source >> 22 == 100 << 2 | 1
        || source >> 16 == 0xa9fe
        || source >> 20 == 172 << 4 | 1
        || source >> 16 == 0xc0a8
}

/// True if the source is set aside: routed nowhere.
#[inline(always)]
pub(crate) fn is_reserved(packet: &Packet) -> bool {
    let [first, ..] = packet.from;
    match (packet.version, packet.family) {
        (4, 4) => is_reserved4(u32::from_be(first)),
        (6, 6) => is_reserved6(packet.from),
        _ => false,
    }
}

#[inline(always)]
const fn is_reserved4(source: u32) -> bool {
    let [a, b, c, _] = source.to_be_bytes();
    match (a, b, c) {
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            true
        }
        (240..=255, _, _) => source != u32::MAX,
        _ => false,
    }
}

#[inline(always)]
fn is_reserved6([a, b, c, _]: Address) -> bool {
    let first = u32::from_be(a);
    match first >> 24 {
        // 2001:db8::/32 and 3fff::/20; the rest is what IANA gives out.
        0x20..=0x3f => first == 0x2001_0db8 || first >> 12 == 0x3fff0,
        // Private, link-local, multicast.
        0xfc | 0xfd | 0xff => false,
        0xfe => first >> 23 != 0xfe80 >> 7,
        // NAT64, and the rest of the martians.
        0 => first != 0x0064_ff9b && a | b | c != 0,
        _ => true,
    }
}
