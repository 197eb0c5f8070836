//! Where packets come from: a handful of addresses of every kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::dice::Dice;

/// An address as a header has it, and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) address: IpAddr,
    pub(super) kind: Kind,
    /// What the lists of its world say of it.
    pub(super) is_allowed: bool,
    pub(super) ban: Option<u8>,
}

impl Host {
    const fn new(address: IpAddr, kind: Kind) -> Self {
        Self { address, kind, is_allowed: false, ban: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Routed like any other.
    Clean,
    LinkLocal,
    Martian,
    Private,
    Reserved,
    Mapped,
    /// One end of a connected socket.
    Connected,
    /// Of this world alone: whom this host sends to.
    Asked,
}

const SPECIAL: [(Kind, &[&str]); 4] = [
    (
        Kind::Martian,
        &[
            "0.0.0.0",
            "0.255.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "::192.0.2.1",
            "ff02::1",
            "ff0e::1:2",
        ],
    ),
    (
        Kind::Private,
        &[
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            "fc00::1",
            "fdff:ffff::1",
            "fec0::1",
            "feff:ffff::1",
        ],
    ),
    (
        Kind::Reserved,
        &[
            "192.0.0.1",
            "192.0.2.255",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.7",
            "240.0.0.1",
            "255.255.255.254",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "4000::1",
            "100::1",
            "1fff::1",
            "::1:0:0:0:1",
            "fe00::1",
            "fe7f::1",
            "64:ff9a::1",
        ],
    ),
    // Next to those above, and none of them.
    (
        Kind::Clean,
        &[
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "3ffe:ffff::1",
            "3fff:1000::1",
            "64:ff9b::1",
            "64:ff9b:1::1",
        ],
    ),
];

/// A few of each kind, of both versions.
pub(super) fn draw(dice: &mut Dice, connected: &[IpAddr]) -> Vec<Host> {
    let mut hosts: Vec<Host> = (0..8).flat_map(|_| [clean4(dice), clean6(dice)]).collect();
    for (kind, addresses) in SPECIAL {
        let parsed = addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        let (v4, v6): (Vec<_>, Vec<_>) = parsed.partition(IpAddr::is_ipv4);
        for version in [v4, v6] {
            let drawn = (0..4).filter_map(|_| dice.choose(&version).copied());
            hosts.extend(drawn.map(|address| Host::new(address, kind)));
        }
    }
    let asked = (0..4).flat_map(|_| [clean4(dice), clean6(dice)]).collect::<Vec<_>>();
    hosts.extend(asked.into_iter().map(|host| Host { kind: Kind::Asked, ..host }));
    for last in [1, 2] {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, dice.port(), last).into();
        hosts.push(Host::new(address, Kind::LinkLocal));
    }
    let mapped: Vec<_> = hosts.iter().filter_map(mapped).collect();
    hosts.extend((0..6).filter_map(|_| dice.choose(&mapped).copied()));
    hosts.extend(connected.iter().map(|address| Host::new(*address, Kind::Connected)));
    hosts
}

fn clean4(dice: &mut Dice) -> Host {
    let [a, b, c, d, ..] = dice.word().to_be_bytes();
    // 45.0.0.0/8 and some after it are all in use.
    let address = Ipv4Addr::new(40 + a % 48, b, c, d).into();
    Host::new(address, Kind::Clean)
}

fn clean6(dice: &mut Dice) -> Host {
    let low = u128::from(dice.word()) << 64 | u128::from(dice.word());
    let address = Ipv6Addr::from(0x2a << 120 | low >> 8).into();
    Host::new(address, Kind::Clean)
}

fn mapped(host: &Host) -> Option<Host> {
    match host.address {
        IpAddr::V4(address) => Some(Host::new(address.to_ipv6_mapped().into(), Kind::Mapped)),
        IpAddr::V6(_) => None,
    }
}
