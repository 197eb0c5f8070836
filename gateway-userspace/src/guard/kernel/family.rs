//! The lists of one address family: whole addresses in a hash, prefixes in a trie, one bitmap
//! before both.

use std::{collections::HashMap, sync::Arc};

use aya::Pod;
use gateway_common::{
    maps::{BanValue, PrefixKey},
    summary::Summary,
};

use super::{
    filter::{KernelError, Reconciled},
    list::{Entries as _, Key, List},
    settings::Live,
    summary::{Counted, Words},
    table::Table,
};

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

/// Bans of one family.
#[derive(Debug)]
pub(super) struct Bans<const N: usize> {
    pub(super) hosts: List<Table<[u8; N], BanValue>>,
    pub(super) prefixes: List<Table<PrefixKey<N>, BanValue>>,
    summary: Counted<MapWords>,
}

impl<const N: usize> Bans<N>
where
    [u8; N]: Key + Pod + Default,
    PrefixKey<N>: Key + Pod,
{
    pub(super) fn new(
        hosts: Table<[u8; N], BanValue>,
        prefixes: Table<PrefixKey<N>, BanValue>,
        summary: Counted<MapWords>,
    ) -> Self {
        Self { hosts: List::new(hosts), prefixes: List::new(prefixes), summary }
    }

    /// Counts what reused maps hold and makes the bitmap say so.
    pub(super) fn recount(&mut self) -> Result<(), KernelError> {
        self.hosts.recount(&mut self.summary)?;
        self.prefixes.recount(&mut self.summary)?;
        self.summary.flush_all()
    }

    pub(super) fn put(&mut self, key: PrefixKey<N>, value: BanValue) -> Result<(), KernelError> {
        if is_host(&key) {
            self.hosts.put(&mut self.summary, &key.address, value)
        } else {
            self.prefixes.put(&mut self.summary, &key, value)
        }
    }

    pub(super) fn remove(&mut self, key: PrefixKey<N>) -> Result<bool, KernelError> {
        if is_host(&key) {
            self.hosts.remove(&mut self.summary, &key.address)
        } else {
            self.prefixes.remove(&mut self.summary, &key)
        }
    }

    pub(super) fn find(&self, key: PrefixKey<N>) -> Result<Option<BanValue>, KernelError> {
        if is_host(&key) { self.hosts.find(&key.address) } else { self.prefixes.find(&key) }
    }

    pub(super) fn reconcile(&mut self, wanted: Wanted<N>) -> Result<Reconciled, KernelError> {
        // An address that moved from a ban of its own into one of its prefix, or back, is banned
        // at every moment: both tables grow before either shrinks.
        let (hosts, old_hosts) = self.hosts.add_wanted(&mut self.summary, wanted.hosts)?;
        let (prefixes, old) = self.prefixes.add_wanted(&mut self.summary, wanted.prefixes)?;
        self.hosts.remove_many::<_, BanValue, _>(&mut self.summary, &old_hosts)?;
        self.prefixes.remove_many::<_, BanValue, _>(&mut self.summary, &old)?;
        Ok(sum(hosts, prefixes))
    }
}

/// The bans of one family as they shall be.
#[derive(Debug, Default)]
pub(super) struct Wanted<const N: usize>
where
    [u8; N]: Default,
{
    hosts: HashMap<[u8; N], BanValue>,
    prefixes: HashMap<PrefixKey<N>, BanValue>,
}

impl<const N: usize> Wanted<N>
where
    [u8; N]: Default,
{
    /// Of two bans of one prefix the later counts.
    pub(super) fn insert(&mut self, key: PrefixKey<N>, value: BanValue) {
        if is_host(&key) {
            self.hosts.insert(key.address, value);
        } else {
            self.prefixes.insert(key, value);
        }
    }
}

/// Allowed prefixes of one family: a trie alone, for they are few.
#[derive(Debug)]
pub(super) struct Allows<const N: usize> {
    pub(super) prefixes: List<Table<PrefixKey<N>, u64>>,
    summary: Counted<MapWords>,
}

impl<const N: usize> Allows<N>
where
    PrefixKey<N>: Key + Pod,
{
    pub(super) fn new(prefixes: Table<PrefixKey<N>, u64>, summary: Counted<MapWords>) -> Self {
        Self { prefixes: List::new(prefixes), summary }
    }

    pub(super) fn recount(&mut self) -> Result<(), KernelError> {
        self.prefixes.recount(&mut self.summary)?;
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

fn is_host<const N: usize>(key: &PrefixKey<N>) -> bool {
    usize::try_from(key.length).is_ok_and(|length| length == N * 8)
}

/// Both together.
pub(super) const fn sum(a: Reconciled, b: Reconciled) -> Reconciled {
    Reconciled { added: a.added + b.added, removed: a.removed + b.removed, kept: a.kept + b.kept }
}
