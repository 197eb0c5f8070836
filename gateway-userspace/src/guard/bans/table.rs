//! The bans as the guard knows them: by prefix, by expiry, and by the address they cover.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use gateway_common::Reason;
use ipnet::IpNet;

use crate::{
    clock::Wall,
    guard::{kernel::BanSource, timekeeper::moved},
};

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) source: BanSource,
    pub(crate) reason: Reason,
    pub(crate) since: Wall,
    /// `None` for ever.
    pub(crate) expires: Option<Wall>,
    /// Shared by the entries of one import.
    pub(crate) note: Arc<str>,
}

impl Ban {
    /// Time left at `wall`; `None` for ever.
    pub(crate) fn left(&self, wall: Wall) -> Option<Duration> {
        self.expires.map(|expires| expires.since(wall))
    }
}

/// At most one ban a prefix.
#[derive(Debug, Default)]
pub(crate) struct BanTable {
    bans: BTreeMap<IpNet, Ban>,
    expiries: BTreeSet<(Wall, IpNet)>,
    /// Prefix lengths in use, per family, and by how many: a lookup asks only these.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl BanTable {
    pub(crate) fn len(&self) -> usize {
        self.bans.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&IpNet, &Ban)> {
        self.bans.iter()
    }

    /// All bans behind `after`, in order.
    pub(crate) fn after(&self, after: Option<IpNet>) -> impl Iterator<Item = (&IpNet, &Ban)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.bans.range((from, Bound::Unbounded))
    }

    /// The ban on exactly `net`.
    pub(crate) fn get(&self, net: IpNet) -> Option<&Ban> {
        self.bans.get(&net)
    }

    /// The widest ban that covers all of `net`.
    pub(crate) fn covering(&self, net: IpNet) -> Option<(IpNet, &Ban)> {
        let family = is_v6(net);
        self.lengths.range((family, 0)..=(family, net.prefix_len())).find_map(|((_, bits), _)| {
            let wide = IpNet::new(net.addr(), *bits).ok()?.trunc();
            self.bans.get(&wide).map(|ban| (wide, ban))
        })
    }

    pub(crate) fn covering_address(&self, address: IpAddr) -> Option<(IpNet, &Ban)> {
        self.covering(address.into())
    }

    /// Adds or replaces.
    pub(crate) fn put(&mut self, net: IpNet, ban: Ban) {
        self.remove(net);
        if let Some(expires) = ban.expires {
            self.expiries.insert((expires, net));
        }
        *self.lengths.entry((is_v6(net), net.prefix_len())).or_default() += 1;
        self.bans.insert(net, ban);
    }

    pub(crate) fn remove(&mut self, net: IpNet) -> Option<Ban> {
        let ban = self.bans.remove(&net)?;
        if let Some(expires) = ban.expires {
            self.expiries.remove(&(expires, net));
        }
        self.forget_length((is_v6(net), net.prefix_len()));
        Some(ban)
    }

    /// Up to `limit` bans that are over at `wall`, the oldest first.
    pub(crate) fn expired(&self, wall: Wall, limit: usize) -> Vec<IpNet> {
        let over = self.expiries.iter().take_while(|(expires, _)| *expires <= wall);
        over.take(limit).map(|(_, net)| *net).collect()
    }

    /// Moves all times with a clock that was set. Returns the bans whose expiry moved.
    pub(crate) fn shift(&mut self, seconds: i64) -> Vec<IpNet> {
        let nets: Vec<IpNet> = self.expiries.iter().map(|(_, net)| *net).collect();
        for ban in self.bans.values_mut() {
            ban.since = moved(ban.since, seconds);
            ban.expires = ban.expires.map(|expires| moved(expires, seconds));
        }
        let expiry = |(net, ban): (&IpNet, &Ban)| ban.expires.map(|expires| (expires, *net));
        self.expiries = self.bans.iter().filter_map(expiry).collect();
        nets
    }

    fn forget_length(&mut self, length: (bool, u8)) {
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }
}

fn is_v6(net: IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_widest_ban_that_covers_an_address() {
        let mut table = BanTable::default();
        for net in ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/48"] {
            table.put(net.parse().unwrap(), until(None));
        }
        assert_eq!(covering(&table, "192.0.2.7"), Some("192.0.2.0/24".parse().unwrap()));
        assert_eq!(covering(&table, "2001:db8::1"), Some("2001:db8::/48".parse().unwrap()));
        assert_eq!(covering(&table, "192.0.3.1"), None);
        assert_eq!(covering(&table, "c000:207::1"), None);
    }

    #[test]
    fn a_replaced_ban_expires_at_its_new_time_only() {
        let mut table = BanTable::default();
        let net = "192.0.2.1/32".parse().unwrap();
        table.put(net, until(Some(10)));
        table.put(net, until(Some(20)));
        assert!(table.expired(Wall(19), 10).is_empty());
        assert_eq!(table.expired(Wall(20), 10), [net]);
    }

    #[test]
    fn a_clock_that_was_set_moves_what_expires_and_leaves_what_does_not() {
        let mut table = BanTable::default();
        let (short, forever) =
            ("192.0.2.1/32".parse().unwrap(), "192.0.2.2/32".parse::<IpNet>().unwrap());
        table.put(short, until(Some(100)));
        table.put(forever, until(None));
        assert_eq!(table.shift(1000), [short]);
        assert!(table.expired(Wall(1099), 10).is_empty());
        assert_eq!(table.expired(Wall(1100), 10), [short]);
        assert_eq!(table.get(forever).unwrap().expires, None);
    }

    proptest! {
        #[test]
        fn lookup_agrees_with_looking_at_every_ban(
            nets in proptest::collection::vec((any::<[u8; 2]>(), 8u8..=32), 0..40),
            removed in proptest::collection::vec(0usize..40, 0..20),
            asked in any::<[u8; 2]>(),
        ) {
            let nets: Vec<IpNet> =
                nets.into_iter().map(|([a, b], bits)| net([10, 0, a % 4, b % 8], bits)).collect();
            let mut table = BanTable::default();
            for net in &nets {
                table.put(*net, until(None));
            }
            for net in removed.iter().filter_map(|i| nets.get(*i)) {
                table.remove(*net);
            }

            let address: IpAddr = [10, 0, asked[0] % 4, asked[1] % 8].into();
            let widest = table.iter().map(|(net, _)| *net).filter(|net| net.contains(&address))
                .min_by_key(IpNet::prefix_len);
            prop_assert_eq!(table.covering_address(address).map(|(net, _)| net), widest);
        }
    }

    fn net(octets: [u8; 4], bits: u8) -> IpNet {
        IpNet::new(octets.into(), bits).unwrap().trunc()
    }

    fn covering(table: &BanTable, address: &str) -> Option<IpNet> {
        table.covering_address(address.parse().unwrap()).map(|(net, _)| net)
    }

    fn until(expires: Option<u64>) -> Ban {
        Ban {
            source: BanSource::Cli,
            reason: Reason::Operator,
            since: Wall(0),
            expires: expires.map(Wall),
            note: "".into(),
        }
    }
}
