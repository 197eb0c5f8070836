//! Sets of addresses as the fewest prefixes: merged, cut, measured. Both families by one code.

use std::{
    fmt::Debug,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An address as a number.
pub(crate) trait Address: Copy + Ord + Debug {
    const BITS: u8;
    /// The last address of the prefix that begins here.
    fn last(self, length: u8) -> Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
    /// Length of the widest prefix that begins here and ends at `end` or before.
    fn widest(self, end: Self) -> u8;
}

macro_rules! address {
    ($number:ty, $bits:literal) => {
        impl Address for $number {
            const BITS: u8 = $bits;

            fn last(self, length: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(length)).unwrap_or(0)
            }

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn widest(self, end: Self) -> u8 {
                let aligned = self.trailing_zeros();
                let fits =
                    end.wrapping_sub(self).checked_add(1).map_or($bits, |count| count.ilog2());
                $bits - u8::try_from(aligned.min(fits)).unwrap_or($bits)
            }
        }
    };
}

address!(u32, 32);
address!(u128, 128);

/// First address and length.
pub(crate) type Prefix<A> = (A, u8);

/// First and last address.
type Range<A> = (A, A);

/// A set of addresses, by family: ordered, none inside or beside another of which it could be made
/// one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetSet {
    pub(crate) v4: Vec<Prefix<u32>>,
    pub(crate) v6: Vec<Prefix<u128>>,
}

impl NetSet {
    /// The addresses of these prefixes, which have no host bits.
    pub(crate) fn of(nets: &[IpNet]) -> Self {
        let (v4, v6) = split(nets);
        Self { v4: prefixes(&merged(ranges(&v4))), v6: prefixes(&merged(ranges(&v6))) }
    }

    /// From prefixes that a set was written as; `None` if they are none.
    pub(crate) fn ordered(v4: Vec<Prefix<u32>>, v6: Vec<Prefix<u128>>) -> Option<Self> {
        (are_ordered(&v4) && are_ordered(&v6)).then_some(Self { v4, v6 })
    }

    /// Without the addresses of these prefixes.
    pub(crate) fn without(&self, holes: &[IpNet]) -> Self {
        let (v4, v6) = split(holes);
        Self { v4: cut(&self.v4, &v4), v6: cut(&self.v6, &v6) }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// The prefix of the set that has an address in common with `net`.
    pub(crate) fn touching(&self, net: IpNet) -> Option<IpNet> {
        match net {
            IpNet::V4(net) => touching(&self.v4, net.addr().into(), net.prefix_len()).map(net4),
            IpNet::V6(net) => touching(&self.v6, net.addr().into(), net.prefix_len()).map(net6),
        }
    }

    /// The prefix of the set that all of `net` is in.
    pub(crate) fn covering(&self, net: IpNet) -> Option<IpNet> {
        self.touching(net).filter(|found| found.contains(&net))
    }

    /// The prefixes behind `after`, in order.
    pub(crate) fn after(&self, after: Option<IpNet>) -> impl Iterator<Item = IpNet> {
        let (from4, from6) = match after {
            None => (0, 0),
            Some(IpNet::V4(net)) => (behind(&self.v4, (net.addr().into(), net.prefix_len())), 0),
            Some(IpNet::V6(net)) => {
                (self.v4.len(), behind(&self.v6, (net.addr().into(), net.prefix_len())))
            }
        };
        let v4 = self.v4.iter().skip(from4).copied().map(net4);
        v4.chain(self.v6.iter().skip(from6).copied().map(net6))
    }

    /// Number of IPv4 addresses.
    pub(crate) fn addresses4(&self) -> u64 {
        self.v4.iter().map(|(_, length)| 1_u64 << (32 - length.min(&32))).sum()
    }

    /// Number of IPv6 /64s, a part of one counted whole.
    pub(crate) fn networks6(&self) -> u128 {
        self.v6.iter().map(|(_, length)| 1_u128 << (64 - length.min(&64))).sum()
    }
}

fn split(nets: &[IpNet]) -> (Vec<Prefix<u32>>, Vec<Prefix<u128>>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for net in nets {
        match net {
            IpNet::V4(net) => v4.push((net.addr().into(), net.prefix_len())),
            IpNet::V6(net) => v6.push((net.addr().into(), net.prefix_len())),
        }
    }
    (v4, v6)
}

fn ranges<A: Address>(prefixes: &[Prefix<A>]) -> Vec<Range<A>> {
    prefixes.iter().map(|(first, length)| (*first, first.last(*length))).collect()
}

/// Ordered, and as few as can be.
fn merged<A: Address>(mut ranges: Vec<Range<A>>) -> Vec<Range<A>> {
    ranges.sort_unstable();
    let mut merged: Vec<Range<A>> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if end.next().is_none_or(|next| first <= next) => {
                *end = last.max(*end);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The fewest prefixes that make up ordered ranges.
fn prefixes<A: Address>(ranges: &[Range<A>]) -> Vec<Prefix<A>> {
    let mut prefixes = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        let mut next = Some(*first);
        while let Some(first) = next.filter(|first| first <= last) {
            let length = first.widest(*last);
            prefixes.push((first, length));
            next = first.last(length).next();
        }
    }
    prefixes
}

fn cut<A: Address>(set: &[Prefix<A>], holes: &[Prefix<A>]) -> Vec<Prefix<A>> {
    if !holes.iter().any(|(first, length)| touching(set, *first, *length).is_some()) {
        return set.to_vec();
    }
    let holes = merged(ranges(holes));
    let mut left = Vec::with_capacity(set.len());
    for (first, last) in ranges(set) {
        let mut from = Some(first);
        let behind = holes.partition_point(|(_, end)| *end < first);
        for (start, end) in holes.iter().skip(behind).take_while(|(start, _)| *start <= last) {
            if let (Some(from), Some(before)) = (from, start.previous())
                && from <= before
            {
                left.push((from, before));
            }
            from = end.next();
        }
        if let Some(from) = from.filter(|from| *from <= last) {
            left.push((from, last));
        }
    }
    prefixes(&left)
}

fn touching<A: Address>(set: &[Prefix<A>], first: A, length: u8) -> Option<Prefix<A>> {
    let last = first.last(length);
    let behind = set.partition_point(|(start, _)| *start <= last);
    let nearest = set.get(behind.checked_sub(1)?)?;
    (nearest.0.last(nearest.1) >= first).then_some(*nearest)
}

fn behind<A: Address>(set: &[Prefix<A>], prefix: Prefix<A>) -> usize {
    set.partition_point(|found| *found <= prefix)
}

fn are_ordered<A: Address>(set: &[Prefix<A>]) -> bool {
    let lawful = |(first, length): &Prefix<A>| {
        *length <= A::BITS
            && first.last(*length) >= *first
            && first.widest(first.last(*length)) == *length
    };
    set.iter().all(lawful)
        && set.windows(2).all(|pair| match pair {
            [before, after] => before.0.last(before.1) < after.0,
            _ => true,
        })
}

fn net4((first, length): Prefix<u32>) -> IpNet {
    Ipv4Net::new(Ipv4Addr::from(first), length).unwrap_or_default().into()
}

fn net6((first, length): Prefix<u128>) -> IpNet {
    Ipv6Net::new(Ipv6Addr::from(first), length).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn all(set: &NetSet) -> Vec<String> {
        set.after(None).map(|net| net.to_string()).collect()
    }

    #[test]
    fn neighbours_and_what_is_inside_become_one() {
        let set = NetSet::of(&nets(&[
            "192.0.2.1/32",
            "192.0.2.0/32",
            "192.0.2.2/31",
            "10.0.0.0/9",
            "10.128.0.0/9",
            "10.1.2.3/32",
            "2001:db8:1::/48",
            "2001:db8::/48",
            "255.255.255.255/32",
        ]));
        assert_eq!(
            all(&set),
            ["10.0.0.0/8", "192.0.2.0/30", "255.255.255.255/32", "2001:db8::/47"]
        );
        assert_eq!(set.addresses4(), (1 << 24) + 5);
        assert_eq!(set.networks6(), 1 << 17);
    }

    #[test]
    fn a_hole_leaves_all_else() {
        let set = NetSet::of(&nets(&["192.0.2.0/29", "2001:db8::/126"]));
        let cut = set.without(&nets(&["192.0.2.3/32", "2001:db8::/127"]));
        assert_eq!(all(&cut), ["192.0.2.0/31", "192.0.2.2/32", "192.0.2.4/30", "2001:db8::2/127"]);
        assert_eq!(set.without(&nets(&["0.0.0.0/0", "::/0"])).len(), 0);
        assert_eq!(set.without(&[]), set);
    }

    #[test]
    fn pages_go_on_behind_the_last() {
        let set =
            NetSet::of(&nets(&["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "2001:db9::/48"]));
        let whole: Vec<IpNet> = set.after(None).collect();
        for (index, net) in whole.iter().enumerate() {
            assert_eq!(set.after(Some(*net)).collect::<Vec<_>>(), whole[index + 1..]);
        }
    }

    fn net(([a, b], length): ([u8; 2], u8)) -> IpNet {
        IpNet::new(IpAddr::from([10, 0, a % 4, b]), length).unwrap().trunc()
    }

    proptest! {
        #[test]
        fn a_set_holds_exactly_the_addresses_it_was_made_of(
            given in proptest::collection::vec((any::<[u8; 2]>(), 16u8..=32), 0..30),
            holes in proptest::collection::vec((any::<[u8; 2]>(), 20u8..=32), 0..10),
            asked: [u8; 2],
        ) {
            let (given, holes): (Vec<_>, Vec<_>) =
                (given.into_iter().map(net).collect(), holes.into_iter().map(net).collect());
            let asked = net((asked, 32));
            let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&asked));
            let set = NetSet::of(&given);
            prop_assert_eq!(set.covering(asked).is_some(), is_in(&given));
            let cut = set.without(&holes);
            prop_assert_eq!(cut.covering(asked).is_some(), is_in(&given) && !is_in(&holes));
            for set in [&set, &cut] {
                prop_assert!(NetSet::ordered(set.v4.clone(), set.v6.clone()).is_some());
                let again: Vec<IpNet> = set.after(None).collect();
                prop_assert_eq!(&NetSet::of(&again), set);
            }
            prop_assert!(set.len() <= given.len());
        }
    }
}
