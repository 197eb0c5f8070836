//! Source addresses of rows 32, 34 and 35, as the registries of IANA have them (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

const MARTIAN4: [Ipv4Net; 4] = [
    v4(0, 0, 0, 8),
    v4(127, 0, 0, 8),
    v4(224, 0, 0, 4),
    Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32),
];

const MARTIAN6: [Ipv6Net; 3] = [v6(0, 0, 96), MAPPED, v6(0xff00, 0, 8)];

const PRIVATE4: [Ipv4Net; 5] = [
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 168, 0, 16),
];

const PRIVATE6: [Ipv6Net; 2] = [v6(0xfc00, 0, 7), v6(0xfec0, 0, 10)];

const RESERVED4: [Ipv4Net; 7] = [
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(240, 0, 0, 4),
];

const DOCUMENTATION6: [Ipv6Net; 2] = [v6(0x2001, 0xdb8, 32), v6(0x3fff, 0, 20)];

/// Global unicast, and what lies outside it and is some row's or the link's own.
const KNOWN6: [Ipv6Net; 7] = [
    v6(0x2000, 0, 3),
    v6(0x64, 0xff9b, 32),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 9),
    v6(0xff00, 0, 8),
    v6(0, 0, 96),
    MAPPED,
];

/// All of the link-local range.
pub(super) const LINK_LOCAL: Ipv6Net = v6(0xfe80, 0, 10);

/// The addresses that neighbours are asked for at (RFC 4291 section 2.7.1).
pub(super) const SOLICITED_NODE: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0), 104);

fn is_in4(nets: &[Ipv4Net], address: Ipv4Addr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

fn is_in6(nets: &[Ipv6Net], address: Ipv6Addr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

pub(super) fn is_martian(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => is_in4(&MARTIAN4, source),
        IpAddr::V6(source) => is_in6(&MARTIAN6, source),
    }
}

pub(super) fn is_private(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => is_in4(&PRIVATE4, source),
        IpAddr::V6(source) => is_in6(&PRIVATE6, source),
    }
}

pub(super) fn is_reserved(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => is_in4(&RESERVED4, source) && source != Ipv4Addr::BROADCAST,
        IpAddr::V6(source) => is_in6(&DOCUMENTATION6, source) || !is_in6(&KNOWN6, source),
    }
}

pub(super) fn is_mapped(source: IpAddr) -> bool {
    matches!(source, IpAddr::V6(source) if MAPPED.contains(&source))
}

/// As allow, ban and limits know it.
pub(super) fn as_listed(source: IpAddr) -> IpAddr {
    source.to_canonical()
}
