//! All lists as one generation of bulk bans: of two entries for one address the one that lasts
//! longer counts, and what another covers for as long is left out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gateway_common::cover::{HASHED6, is_hashed6};
use ipnet::IpNet;

use super::{
    NamedList,
    nets::{Address, Prefix},
};
use crate::{
    clock::Wall,
    guard::kernel::{Bulk, KernelBan},
};

/// An IPv6 prefix of another length becomes up to two to this many of the next length the hash
/// holds: eight entries of a hash cost a packet less than one of the trie.
const SPLIT_BITS: u8 = 3;

/// What the kernel has to hold at `wall`. Protected addresses are in no list's reach, whenever they
/// became so.
pub(super) fn of(
    lists: &BTreeMap<String, Arc<NamedList>>,
    protected: &[IpNet],
    wall: Wall,
) -> Bulk {
    let mut bulk = Bulk::default();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (list, kind) in lists.values().filter(|list| !list.is_over(wall)).zip(0_u8..) {
        let left = list.expires.map(|at| at.since(wall));
        bulk.kinds.push(KernelBan { left, reason: NamedList::REASON, source: list.source });
        let nets = list.nets.without(protected);
        v4.push((nets.v4, kind));
        v6.push((nets.v6, kind));
    }
    let left = |kind: u8| bulk.kinds.get(usize::from(kind)).and_then(|ban| ban.left);
    let (v4, v6) = (joined(v4, left), joined(v6, left));
    bulk.v4.reserve(v4.len());
    for ((address, length), kind) in v4 {
        bulk.push4(address, length, kind);
    }
    for (prefix, kind) in v6 {
        split(prefix, |(address, length)| bulk.push6(address, length, kind));
    }
    bulk
}

/// Ordered, without doubles and without what another covers for as long.
fn joined<A: Address>(
    mut lists: Vec<(Vec<Prefix<A>>, u8)>,
    left: impl Fn(u8) -> Option<Duration>,
) -> Vec<(Prefix<A>, u8)> {
    if lists.len() == 1 {
        let (nets, kind) = lists.pop().unwrap_or_default();
        return nets.into_iter().map(|net| (net, kind)).collect();
    }
    // For ever is longest.
    let time = |kind: u8| left(kind).unwrap_or(Duration::MAX);
    let mut all: Vec<(Prefix<A>, u8)> = lists
        .into_iter()
        .flat_map(|(nets, kind)| nets.into_iter().map(move |n| (n, kind)))
        .collect();
    all.sort_unstable_by(|(a, first), (b, second)| {
        a.cmp(b).then_with(|| time(*second).cmp(&time(*first)))
    });
    // Those around the entry at hand, each of which lasts longer than the one around it.
    let mut around: Vec<(A, Duration)> = Vec::new();
    all.retain(|((first, length), kind)| {
        while around.last().is_some_and(|(end, _)| end < first) {
            around.pop();
        }
        let time = time(*kind);
        let is_needed = around.last().is_none_or(|(_, outer)| *outer < time);
        if is_needed {
            around.push((first.last(*length), time));
        }
        is_needed
    });
    all
}

/// A prefix, or the few of a length the hash holds that make it up.
fn split((first, length): Prefix<u128>, mut each: impl FnMut(Prefix<u128>)) {
    let next = HASHED6.iter().copied().filter(|hashed| *hashed > length).min().unwrap_or(length);
    let bits = next - length;
    if is_hashed6(length) || bits > SPLIT_BITS {
        each((first, length));
        return;
    }
    for part in 0..1_u128 << bits {
        each((first | part << (128 - next), next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{bans::lists::nets::NetSet, kernel::BanSource};

    fn list(nets: &[&str], expires: Option<u64>) -> Arc<NamedList> {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        Arc::new(NamedList {
            source: BanSource::Import,
            note: "".into(),
            since: Wall(0),
            expires: expires.map(Wall),
            given: nets.len() as u64,
            nets: Arc::new(NetSet::of(&nets)),
        })
    }

    /// Prefix and seconds left of each entry.
    fn union(lists: &[Arc<NamedList>], protected: &[&str]) -> Vec<(String, Option<u64>)> {
        let names = ('a'..).map(String::from);
        let lists = names.zip(lists.iter().cloned()).collect();
        let protected: Vec<IpNet> = protected.iter().map(|net| net.parse().unwrap()).collect();
        let bulk = of(&lists, &protected, Wall(0));
        let left = |kind: u8| bulk.kinds[usize::from(kind)].left.map(|left| left.as_secs());
        let v4 = bulk.v4.iter().map(|ban| {
            let address = std::net::Ipv4Addr::from(ban.address);
            (format!("{address}/{}", ban.length), left(ban.kind))
        });
        let v6 = bulk.v6.iter().map(|ban| {
            let address = std::net::Ipv6Addr::from(ban.address);
            (format!("{address}/{}", ban.length), left(ban.kind))
        });
        v4.chain(v6).collect()
    }

    fn entries(expected: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
        expected.iter().map(|(net, left)| ((*net).to_owned(), *left)).collect()
    }

    #[test]
    fn the_entry_that_lasts_longer_counts_and_none_is_there_for_nothing() {
        let lists = [
            list(&["10.0.0.0/24", "192.0.2.7/32", "198.51.100.0/24"], Some(100)),
            list(&["10.0.0.9/32", "192.0.2.0/24", "198.51.100.0/24"], None),
            list(&["203.0.113.0/24"], Some(0)),
        ];
        assert_eq!(
            union(&lists, &[]),
            entries(&[
                ("10.0.0.0/24", Some(100)),
                ("10.0.0.9/32", None),
                ("192.0.2.0/24", None),
                ("198.51.100.0/24", None),
            ])
        );
    }

    #[test]
    fn a_protected_address_is_cut_out() {
        let lists = [list(&["192.0.2.0/31"], None), list(&["192.0.2.0/30"], Some(9))];
        let expected = [("192.0.2.1/32", None), ("192.0.2.2/31", Some(9))];
        assert_eq!(union(&lists, &["192.0.2.0/32"]), entries(&expected));
    }

    #[test]
    fn odd_ipv6_lengths_become_a_few_even_ones_or_stay() {
        let lists = [list(&["2001:db8::/29", "2001:e00::/60", "2001:f00::/63"], None)];
        let union: Vec<String> = union(&lists, &[]).into_iter().map(|(net, _)| net).collect();
        assert_eq!(union.len(), 8 + 1 + 2, "{union:?}");
        assert_eq!(union[7], "2001:dbf::/32");
        assert_eq!(union[8..], ["2001:e00::/60", "2001:f00::/64", "2001:f00:0:1::/64"]);
    }
}
