//! The lists of one address family: bans in a hash, and of IPv6 in a trie too, behind marks they
//! share; allowed prefixes in a trie behind a bitmap.

use std::{collections::HashMap, sync::Arc};

use aya::Pod;
use gateway_common::{
    cover::is_hashed6,
    maps::{BanKey, BanSet, BanValue, PrefixKey, TailKey},
    summary::Summary,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    filter::{KernelError, Reconciled},
    list::{Entries as _, List},
    mapped::Mapped,
    marks::{Counted4, Counted6, Sheet4, Sheet6},
    settings::Live,
    share::Share,
    summary::{Counted, Covers, Words},
    table::Table,
};

/// The tables of all bans, shared by those who write them.
#[derive(Debug, Clone)]
pub(super) struct BanTables {
    pub(super) bans4: Arc<Table<BanKey<4>, BanValue>>,
    pub(super) bans6: Arc<Table<BanKey<16>, BanValue>>,
    pub(super) tail6: Arc<Table<TailKey, BanValue>>,
    pub(super) sheet4: Sheet4<Mapped>,
    pub(super) sheet6: Sheet6<Mapped>,
}

impl BanTables {
    /// The ban on exactly `net` in a set.
    pub(super) fn find(&self, set: BanSet, net: IpNet) -> Result<Option<BanValue>, KernelError> {
        let found = match net {
            IpNet::V4(net) => self.bans4.get(&key4(set, net))?,
            IpNet::V6(net) if is_hashed6(net.prefix_len()) => self.bans6.get(&key6(set, net))?,
            // A trie answers with the longest that covers it.
            IpNet::V6(net) => self.tail6.get(&tail_key(set, net))?,
        };
        Ok(found.filter(|value| value.length == net.prefix_len()))
    }
}

/// The dynamic bans of IPv4.
#[derive(Debug)]
pub(super) struct Bans4 {
    list: List<Share<BanKey<4>>>,
    marks: Counted4<Mapped>,
}

impl Bans4 {
    pub(super) fn new(tables: &BanTables, quota: u32) -> Self {
        let list = List::new(Share::new(Arc::clone(&tables.bans4), quota));
        Self { list, marks: Counted4::new(tables.sheet4.clone()) }
    }

    /// Counts what reused maps hold and makes the marks say so.
    pub(super) fn recount(&mut self) -> Result<(), KernelError> {
        self.list.recount(&mut self.marks)?;
        self.marks.settle();
        Ok(())
    }

    pub(super) fn put(&mut self, net: Ipv4Net, value: BanValue) -> Result<(), KernelError> {
        self.list.put(&mut self.marks, &key4(BanSet::Dynamic, net), value)
    }

    pub(super) fn remove(&mut self, net: Ipv4Net) -> Result<bool, KernelError> {
        self.list.remove(&mut self.marks, &key4(BanSet::Dynamic, net))
    }

    pub(super) const fn used(&self) -> usize {
        self.list.used()
    }

    pub(super) fn reconcile(
        &mut self,
        wanted: impl Iterator<Item = (Ipv4Net, BanValue)>,
    ) -> Result<Reconciled, KernelError> {
        // Of two bans of one prefix the later counts.
        let wanted = wanted.map(|(net, value)| (key4(BanSet::Dynamic, net), value)).collect();
        self.list.reconcile(&mut self.marks, wanted)
    }
}

/// The dynamic bans of IPv6.
#[derive(Debug)]
pub(super) struct Bans6 {
    hashed: List<Share<BanKey<16>>>,
    tail: List<Share<TailKey>>,
    marks: Counted6<Mapped>,
}

impl Bans6 {
    pub(super) fn new(tables: &BanTables, quota: u32) -> Self {
        Self {
            hashed: List::new(Share::new(Arc::clone(&tables.bans6), quota)),
            tail: List::new(Share::new(Arc::clone(&tables.tail6), quota)),
            marks: Counted6::new(tables.sheet6.clone()),
        }
    }

    /// Counts what reused maps hold and makes the marks say so.
    pub(super) fn recount(&mut self) -> Result<(), KernelError> {
        self.hashed.recount::<BanKey<16>, _, _>(&mut self.marks)?;
        self.tail.recount::<TailKey, _, _>(&mut self.marks)?;
        self.marks.settle();
        Ok(())
    }

    pub(super) fn put(&mut self, net: Ipv6Net, value: BanValue) -> Result<(), KernelError> {
        if is_hashed6(net.prefix_len()) {
            self.hashed.put(&mut self.marks, &key6(BanSet::Dynamic, net), value)
        } else {
            self.tail.put(&mut self.marks, &tail_key(BanSet::Dynamic, net), value)
        }
    }

    pub(super) fn remove(&mut self, net: Ipv6Net) -> Result<bool, KernelError> {
        if is_hashed6(net.prefix_len()) {
            self.hashed.remove(&mut self.marks, &key6(BanSet::Dynamic, net))
        } else {
            self.tail.remove(&mut self.marks, &tail_key(BanSet::Dynamic, net))
        }
    }

    pub(super) const fn used(&self) -> usize {
        self.hashed.used() + self.tail.used()
    }

    pub(super) const fn used_tail(&self) -> usize {
        self.tail.used()
    }

    pub(super) fn reconcile(
        &mut self,
        wanted: impl Iterator<Item = (Ipv6Net, BanValue)>,
    ) -> Result<Reconciled, KernelError> {
        let (mut hashed, mut tail) = (HashMap::new(), HashMap::new());
        for (net, value) in wanted {
            if is_hashed6(net.prefix_len()) {
                hashed.insert(key6(BanSet::Dynamic, net), value);
            } else {
                tail.insert(tail_key(BanSet::Dynamic, net), value);
            }
        }
        // An address that moved from a ban of its own into one of its prefix, or back, is banned
        // at every moment: both tables grow before either shrinks.
        let (in_hash, old_hashed) = self.hashed.add_wanted(&mut self.marks, hashed)?;
        let (in_tail, old_tail) = self.tail.add_wanted(&mut self.marks, tail)?;
        self.hashed.remove_many::<_, BanValue, _>(&mut self.marks, &old_hashed)?;
        self.tail.remove_many::<_, BanValue, _>(&mut self.marks, &old_tail)?;
        Ok(sum(in_hash, in_tail))
    }
}

pub(super) fn key4(set: BanSet, net: Ipv4Net) -> BanKey<4> {
    BanKey::new(set, net.addr().octets(), net.prefix_len())
}

pub(super) fn key6(set: BanSet, net: Ipv6Net) -> BanKey<16> {
    BanKey::new(set, net.addr().octets(), net.prefix_len())
}

pub(super) fn tail_key(set: BanSet, net: Ipv6Net) -> TailKey {
    TailKey::new(set, net.addr().octets(), u32::from(net.prefix_len()))
}

/// Bitmap words in a map, with the flag for what they cannot show.
#[derive(Debug)]
pub(super) struct MapWords {
    table: Table<u32, u64>,
    settings: Arc<Live>,
    wide: u32,
}

impl Words for MapWords {
    fn write(&mut self, indexes: &[u32], words: &[u64]) -> Result<(), KernelError> {
        self.table.put_all(indexes, words).1
    }

    fn write_wide(&mut self, wide: bool) -> Result<(), KernelError> {
        self.settings.switch(self.wide, wide)
    }
}

/// A bitmap in the kernel; `wide` is the bit of the settings for what it cannot show.
pub(super) fn bitmap(
    geometry: Summary,
    table: Table<u32, u64>,
    settings: &Arc<Live>,
    wide: u32,
) -> Counted<MapWords> {
    let length = u32::try_from(table.capacity()).unwrap_or(0);
    Counted::new(geometry, length, MapWords { table, settings: Arc::clone(settings), wide })
}

/// Allowed prefixes of one family: a trie alone, for they are few.
#[derive(Debug)]
pub(super) struct Allows<const N: usize> {
    pub(super) prefixes: List<Table<PrefixKey<N>, u64>>,
    summary: Counted<MapWords>,
}

impl<const N: usize> Allows<N>
where
    PrefixKey<N>: Covers + Pod,
{
    pub(super) fn new(prefixes: Table<PrefixKey<N>, u64>, summary: Counted<MapWords>) -> Self {
        Self { prefixes: List::new(prefixes), summary }
    }

    pub(super) fn recount(&mut self) -> Result<(), KernelError> {
        self.prefixes.recount::<PrefixKey<N>, _, _>(&mut self.summary)?;
        self.summary.flush_all()
    }

    pub(super) fn put(&mut self, key: PrefixKey<N>) -> Result<(), KernelError> {
        self.prefixes.put(&mut self.summary, &key, u64::from(key.length))
    }

    pub(super) fn remove(&mut self, key: PrefixKey<N>) -> Result<bool, KernelError> {
        self.prefixes.remove::<_, u64, _>(&mut self.summary, &key)
    }

    pub(super) fn reconcile(
        &mut self,
        wanted: impl Iterator<Item = PrefixKey<N>>,
    ) -> Result<Reconciled, KernelError> {
        let wanted = wanted.map(|key| (key, u64::from(key.length))).collect();
        self.prefixes.reconcile(&mut self.summary, wanted)
    }
}

/// Both together.
pub(super) const fn sum(a: Reconciled, b: Reconciled) -> Reconciled {
    Reconciled { added: a.added + b.added, removed: a.removed + b.removed, kept: a.kept + b.kept }
}
