//! The lists: a million hosts and a hundred thousand prefixes of each family, scattered so that
//! nothing merges, and where among them the packets of a cell come from.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use anyhow::{Context, Result};
use ipnet::IpNet;

use crate::{
    frames,
    plan::{POOLS, Pool},
};

/// The larger size of a list.
pub(crate) const HOSTS: u32 = 1_000_000;
pub(crate) const PREFIXES: u32 = 100_000;

/// Every IPv6 source starts with these 16 bits; a pool's number follows.
const V6_TOP: u128 = 0x2a00 << 112;

/// Bits of an IPv6 address behind the number.
const V6_TAIL_BITS: u32 = 80;

/// Behind the number in an IPv6 address: what is banned, its neighbour in the same /48, and one
/// in the same /48 that no longer prefix of the list covers.
const BANNED_TAIL: u128 = 1;
const NEIGHBOUR_TAIL: u128 = 2;
const ASIDE_TAIL: u128 = 0xff00 << 64 | 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What a packet's source has to do with the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Clear,
    BesideHost,
    BesidePrefix,
    BannedHost,
    BannedPrefix,
    /// As clear, but asks for a connection: the limits on SYNs are looked at too.
    Syn,
    /// As clear, from a peer that this host asked: its flow is looked up.
    Answer,
}

/// Sources of one family: four pools in turn, and the tail of an IPv6 address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources {
    pub(crate) family: Family,
    pub(crate) pools: [Pool; POOLS as usize],
    tail: u128,
}

/// Nothing is banned here: 32.0.0.0/3.
const CLEAR: Pool =
    Pool { base: 0x2000_0000, mask: 0x1fff_ffff, shift: 0, count: 1 << 29, flip: 0, zero: 0 };

/// Peers of this host: fewer than half of the flows the filter remembers.
const PEERS: Pool = Pool { count: 15_000, ..CLEAR };

/// Hosts: 64.0.0.0/3, so that a million of them touch every third /24 there.
const HOST: Pool = Pool { base: 0x4000_0000, ..CLEAR };

/// Each length has 2^26 numbers of its own, from 128.0.0.0 on.
const REGION_BITS: u32 = 26;
const REGIONS: u32 = 0x8000_0000;

/// Length and share of 100,000, after public block lists: half are /24.
const V4_LENGTHS: [(u8, u32); 10] = [
    (16, 500),
    (18, 1000),
    (19, 2000),
    (20, 4000),
    (21, 6000),
    (22, 11_500),
    (23, 10_000),
    (24, 50_000),
    (26, 5000),
    (28, 10_000),
];
const V6_LENGTHS: [(u8, u32); 7] =
    [(32, 500), (36, 2000), (40, 5000), (44, 10_000), (48, 50_000), (56, 12_000), (64, 20_500)];

impl Family {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    const fn lengths(self) -> &'static [(u8, u32)] {
        match self {
            Self::V4 => &V4_LENGTHS,
            Self::V6 => &V6_LENGTHS,
        }
    }

    /// The pool of prefixes of one length. Only every other prefix is in use, and those longer
    /// than a neighbourhood have one each: no two can be merged.
    fn prefixes(self, length: u8) -> Result<Pool> {
        let lengths = self.lengths();
        let place = lengths.iter().position(|(known, _)| *known == length);
        let place = place.context("no prefixes of this length")?;
        let (_, count) = lengths.get(place).copied().unwrap_or_default();
        let bits = match self {
            Self::V4 if length > 24 => 24,
            Self::V4 => u32::from(length) - 1,
            Self::V6 => u32::from(length.min(48)) - 17,
        };
        let base = REGIONS + (u32::try_from(place)? << REGION_BITS);
        let mask = (1 << REGION_BITS) - 1;
        Ok(Pool { base, mask, shift: 32 - bits, count, flip: 0, zero: 0 })
    }

    fn address(self, number: u32, tail: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(number).into(),
            Self::V6 => Ipv6Addr::from(V6_TOP | u128::from(number) << V6_TAIL_BITS | tail).into(),
        }
    }

    /// Hosts of the list, by their numbers.
    pub(crate) fn hosts(self, numbers: Range<u32>) -> impl Iterator<Item = IpNet> {
        numbers.map(move |index| self.address(HOST.member(index), BANNED_TAIL).into())
    }

    /// All prefixes; or, with `other`, as many of the same lengths and none of the same.
    pub(crate) fn all_prefixes(self, other: bool) -> Result<Vec<IpNet>> {
        let mut nets = Vec::new();
        for (length, _) in self.lengths() {
            let pool = self.prefixes(*length)?;
            // The half of the pair that is never in use.
            let flip = if other { 1 << (pool.shift - 1) } else { 0 };
            for index in 0..pool.count {
                nets.push(IpNet::new(self.address(pool.member(index) ^ flip, 0), *length)?);
            }
        }
        Ok(nets)
    }

    /// A full list: the first, or another of the same size with nothing in common.
    pub(crate) fn list(self, other: bool) -> Result<Vec<IpNet>> {
        let numbers = if other { HOSTS..2 * HOSTS } else { 0..HOSTS };
        let mut nets = self.all_prefixes(other)?;
        nets.extend(self.hosts(numbers));
        Ok(nets)
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Clear => "good, clear neighbourhood",
            Self::BesideHost => "good, beside a banned host",
            Self::BesidePrefix => "good, beside a longer banned prefix",
            Self::BannedHost => "banned host",
            Self::BannedPrefix => "banned prefix",
            Self::Syn => "good, SYN, clear neighbourhood",
            Self::Answer => "good, answer in a known flow",
        }
    }

    pub(crate) const fn is_banned(self) -> bool {
        matches!(self, Self::BannedHost | Self::BannedPrefix)
    }

    /// Whether the list must hold prefixes for it.
    pub(crate) const fn needs_prefixes(self) -> bool {
        matches!(self, Self::BesidePrefix | Self::BannedPrefix)
    }

    /// Measured with the full list alone.
    pub(crate) const fn needs_full_list(self) -> bool {
        matches!(self, Self::Syn | Self::Answer)
    }

    /// A packet of this kind.
    pub(crate) fn frame(self, source: IpAddr) -> Vec<u8> {
        match self {
            Self::Syn => frames::syn(source),
            Self::Answer => frames::answer(source),
            Self::Clear
            | Self::BesideHost
            | Self::BesidePrefix
            | Self::BannedHost
            | Self::BannedPrefix => frames::segment(source),
        }
    }

    pub(crate) const fn needs_hosts(self) -> bool {
        matches!(self, Self::BesideHost | Self::BannedHost)
    }

    /// Where packets of this kind come from, with `hosts` hosts in the list.
    pub(crate) fn sources(self, family: Family, hosts: u32) -> Result<Sources> {
        let host = Pool { count: hosts, ..HOST };
        let (pools, tail) = match (self, family) {
            (Self::Answer, _) => ([PEERS; 4], NEIGHBOUR_TAIL),
            (Self::Clear | Self::Syn, _) => ([CLEAR; 4], NEIGHBOUR_TAIL),
            (Self::BannedHost, _) => ([host; 4], BANNED_TAIL),
            (Self::BesideHost, Family::V4) => ([Pool { flip: 1, ..host }; 4], NEIGHBOUR_TAIL),
            (Self::BesideHost, Family::V6) => ([host; 4], NEIGHBOUR_TAIL),
            (Self::BesidePrefix, Family::V4) => {
                let pools = prefix_pools(family, [26, 28, 26, 28])?;
                (pools.map(|pool| Pool { flip: 0x80, ..pool }), NEIGHBOUR_TAIL)
            }
            (Self::BesidePrefix, Family::V6) => {
                (prefix_pools(family, [56, 64, 56, 64])?, ASIDE_TAIL)
            }
            (Self::BannedPrefix, Family::V4) => {
                let pools = prefix_pools(family, [24, 22, 20, 28])?;
                (pools.map(|pool| Pool { flip: 1, ..pool }), BANNED_TAIL)
            }
            (Self::BannedPrefix, Family::V6) => {
                (prefix_pools(family, [48, 40, 36, 64])?, BANNED_TAIL)
            }
        };
        Ok(Sources { family, pools, tail })
    }
}

fn prefix_pools(family: Family, lengths: [u8; 4]) -> Result<[Pool; 4]> {
    let [a, b, c, d] = lengths.map(|length| family.prefixes(length));
    Ok([a?, b?, c?, d?])
}

/// Every peer that this host asked.
pub(crate) fn peers() -> impl Iterator<Item = IpAddr> {
    let of = |family: Family| {
        (0..PEERS.count).map(move |index| family.address(PEERS.member(index), NEIGHBOUR_TAIL))
    };
    of(Family::V4).chain(of(Family::V6))
}

impl Sources {
    /// The source of packet `number`, as the kernel programs compute it.
    pub(crate) fn of(&self, number: u64) -> IpAddr {
        let pool = self.pools.get(Pool::turn(number) as usize).copied().unwrap_or_default();
        self.family.address(pool.source(number), self.tail)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lists_have_the_size_they_claim_and_nothing_merges() {
        for family in [Family::V4, Family::V6] {
            let prefixes = family.all_prefixes(false).unwrap();
            assert_eq!(prefixes.len(), PREFIXES as usize);
            assert!(prefixes.iter().all(|net| net.trunc() == *net));
            let merged = IpNet::aggregate(&prefixes);
            assert_eq!(merged.len(), PREFIXES as usize, "aggregation changes nothing");
            let mut both: HashSet<_> = family.list(false).unwrap().into_iter().collect();
            both.extend(family.list(true).unwrap());
            assert_eq!(both.len(), 2 * (HOSTS + PREFIXES) as usize, "nothing in common");
        }
    }

    #[test]
    fn sources_are_what_their_kind_says() {
        for family in [Family::V4, Family::V6] {
            let hosts: HashSet<_> = family.hosts(0..1000).map(|net| net.addr()).collect();
            let prefixes = family.all_prefixes(false).unwrap();
            let within = |address: IpAddr| prefixes.iter().any(|net| net.contains(&address));
            for (kind, host, prefix) in [
                (Kind::Clear, false, false),
                (Kind::Syn, false, false),
                (Kind::Answer, false, false),
                (Kind::BesideHost, false, false),
                (Kind::BesidePrefix, false, false),
                (Kind::BannedHost, true, false),
                (Kind::BannedPrefix, false, true),
            ] {
                let sources = kind.sources(family, 1000).unwrap();
                for number in 0..64 {
                    let address = sources.of(number);
                    assert_eq!(hosts.contains(&address), host, "{kind:?} {address}");
                    assert_eq!(within(address), prefix, "{kind:?} {address}");
                }
            }
        }
    }
}
