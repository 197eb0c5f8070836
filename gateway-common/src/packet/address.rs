//! Where a packet cannot come from, and where it should not (RFC 6890 and what it lists).

use super::{Findings, Packet, Source, protocol};
use crate::Reason;

/// Rows without a readable transport header: no exception rests on one.
const UNREAD: Findings = Findings::of(Reason::ExtensionDepth)
    .and(Reason::ExtensionMalformed)
    .and(Reason::LaterFragment)
    .and(Reason::TransportMalformed);

/// The rows of every packet with a whole IP header.
#[inline(always)]
pub(super) fn check(packet: &mut Packet) {
    let (martian, land) = match packet.source {
        Source::Unknown => (false, false),
        // ::ffff:0:0/96 on a wire.
        Source::V4(source) if packet.version == 6 => (true, is_mapped_to(packet, source)),
        Source::V4(source) => {
            let [a, b, c, d, ..] = packet.destination;
            (is_martian4(source, packet), source == [a, b, c, d])
        }
        Source::V6(source) => (is_martian6(source, packet), source == packet.destination),
    };
    packet.findings.meet_if(martian, Reason::MartianSource);
    packet.findings.meet_if(land, Reason::Land);
}

#[inline(always)]
fn is_mapped_to(packet: &Packet, [a, b, c, d]: [u8; 4]) -> bool {
    packet.destination == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[inline(always)]
fn is_martian4(source: [u8; 4], packet: &Packet) -> bool {
    let [first, ..] = source;
    match first {
        0 => !(source == [0; 4] && asks_for_an_address(packet)),
        127 | 224..=239 => true,
        255 => source == [255; 4],
        _ => false,
    }
}

/// DHCP to a server, and IGMP from a host without address (RFC 3376 section 4.2.13).
#[inline(always)]
fn asks_for_an_address(packet: &Packet) -> bool {
    packet.protocol == protocol::IGMP && !packet.findings.meets(UNREAD) || is_udp(packet, 68, 67)
}

#[inline(always)]
fn is_martian6(source: [u8; 16], packet: &Packet) -> bool {
    match source {
        [0xff, ..] => true,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] => {
            !(source == [0; 16] && introduces_itself(packet))
        }
        _ => false,
    }
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
    match packet.source {
        Source::V4([a, b, ..]) if packet.version == 4 => {
            let listed = match a {
                10 => true,
                100 => b & 0xc0 == 64,
                169 => b == 254,
                172 => b & 0xf0 == 16,
                192 => b == 168,
                _ => false,
            };
            listed && !is_udp(packet, 67, 68)
        }
        // Of a header that could not be read to its end, only a ban asks for the source.
        Source::V6([a, b, ..]) if packet.version == 6 => {
            a & 0xfe == 0xfc || (a == 0xfe && b & 0xc0 == 0xc0)
        }
        Source::V4(_) | Source::V6(_) | Source::Unknown => false,
    }
}

/// True if the source is set aside: routed nowhere.
#[inline(always)]
pub(crate) fn is_reserved(packet: &Packet) -> bool {
    match packet.source {
        Source::V4(source) if packet.version == 4 => is_reserved4(source),
        Source::V6(source) if packet.version == 6 => is_reserved6(source),
        Source::V4(_) | Source::V6(_) | Source::Unknown => false,
    }
}

#[inline(always)]
fn is_reserved4(source: [u8; 4]) -> bool {
    match source {
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] => true,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        [240..=255, ..] => source != [255; 4],
        _ => false,
    }
}

#[inline(always)]
fn is_reserved6(source: [u8; 16]) -> bool {
    match source {
        [0x20, 1, 0x0d, 0xb8, ..] | [0x3f, 0xff, 0x00..=0x0f, ..] => true,
        [0x20..=0x3f, ..] => false,
        // NAT64, private and link-local, multicast; the rest of the martians.
        [0, 0x64, 0xff, 0x9b, ..] | [0xfc..=0xfd | 0xff, ..] | [0xfe, 0x80..=0xff, ..] => false,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] => false,
        _ => true,
    }
}
