//! Bulk bans: a whole generation is loaded into the set that no packet reads, put in force by one
//! word, and the one before emptied in portions. Its own thread may do it: of the dynamic bans it
//! touches nothing.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aya::Pod;
use gateway_common::{
    cover::is_hashed6,
    maps::{BanKey, BanSet, BanValue, TailKey},
};

use super::{
    family::BanTables,
    filter::{Bulk, BulkFilter, KernelError, Loaded},
    list::{Entries as _, Value as _},
    settings::Live,
    share::InSet,
    sys,
    table::Table,
    ticks::Ticks,
    value::value_at,
};
use crate::config::model::Capacity;

/// Entries removed in one go: some milliseconds of one processor.
const PORTION: usize = 16_384;

/// How long a packet may be under way where the kernel does not say when all are through.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// Entries of both generations that are in the tables.
#[derive(Debug, Default)]
pub(super) struct Used {
    v4: AtomicUsize,
    hashed6: AtomicUsize,
    tail6: AtomicUsize,
}

impl Used {
    /// Those of the IPv4 hash, the IPv6 hash and the IPv6 trie.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let count = |cell: &AtomicUsize| cell.load(Ordering::Relaxed);
        (count(&self.v4), count(&self.hashed6), count(&self.tail6))
    }

    fn set(&self, counts: (usize, usize, usize)) {
        self.v4.store(counts.0, Ordering::Relaxed);
        self.hashed6.store(counts.1, Ordering::Relaxed);
        self.tail6.store(counts.2, Ordering::Relaxed);
    }
}

/// Both generations.
#[derive(Debug)]
pub(super) struct Generations {
    used: Arc<Used>,
    tables: BanTables,
    settings: Arc<Live>,
    ticks: Arc<Ticks>,
    capacity: Capacity,
    in_force: Generation,
    /// The other set, until it is empty.
    stale: Option<Stale>,
}

#[derive(Debug)]
struct Generation {
    set: BanSet,
    /// `None` for what an earlier process loaded.
    contents: Option<Arc<Bulk>>,
}

#[derive(Debug)]
struct Stale {
    set: BanSet,
    contents: Option<Arc<Bulk>>,
    /// Entries removed so far.
    removed: usize,
    /// Packets that read the generation before it was exchanged are through.
    unread: bool,
}

/// What a ban met, carried into the next generation.
type Met<K> = HashMap<K, (u64, u32)>;

impl Generations {
    /// Over fresh maps, or over those an earlier process left.
    pub(super) fn new(
        tables: BanTables,
        settings: Arc<Live>,
        ticks: Arc<Ticks>,
        capacity: Capacity,
        used: Arc<Used>,
        reused: bool,
    ) -> Self {
        let set = settings.generation();
        let contents = (!reused).then(Arc::default);
        let stale = Stale { set: set.other(), contents: None, removed: 0, unread: true };
        let in_force = Generation { set, contents };
        let stale = reused.then_some(stale);
        Self { used, tables, settings, ticks, capacity, in_force, stale }
    }

    fn tell_used(&self) {
        let stale = self.stale.as_ref().and_then(|stale| stale.contents.as_ref());
        let contents = self.in_force.contents.iter().chain(stale);
        let sum = contents
            .map(|bulk| bulk.counts())
            .fold((0, 0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1, sum.2 + counts.2));
        self.used.set(sum);
    }

    /// Addresses and prefixes share the room: merging makes prefixes of addresses, which must not
    /// fill one table while the other is empty.
    fn check_room(&self, wanted: &Bulk) -> Result<(), KernelError> {
        let Capacity { hosts, prefixes, .. } = self.capacity;
        let room = hosts.saturating_add(prefixes);
        let (v4, hashed6, tail6) = wanted.counts();
        let rows = [
            (v4, room, self.tables.bans4.shape().name),
            (hashed6, room, self.tables.bans6.shape().name),
            (tail6, prefixes, self.tables.tail6.shape().name),
        ];
        let full = rows.into_iter().find(|(wanted, room, _)| *wanted > *room as usize);
        full.map_or(Ok(()), |(wanted, capacity, map)| {
            Err(KernelError::BulkFull { map, wanted, capacity })
        })
    }

    /// True if an earlier process left exactly this in force.
    fn is_in_force(&self, wanted: &Bulk, values: &[BanValue]) -> Result<bool, KernelError> {
        let set = self.in_force.set;
        let (mut found, mut other) = (0, false);
        let mut see = |expected: Option<&BanValue>, value: &BanValue| {
            let same = expected.is_some_and(|expected| {
                !BanValue { length: value.length, ..*expected }.replace(value)
            });
            if same { found += 1 } else { other = true }
        };
        let kind = |kind: u8| values.get(usize::from(kind));
        self.tables.bans4.each(|key, value| {
            if key.is_in(set) {
                let at = (u32::from_be_bytes(key.address), key.length);
                let index = wanted.v4.binary_search_by_key(&at, |ban| (ban.address, ban.length));
                see(index.ok().and_then(|i| wanted.v4.get(i)).and_then(|b| kind(b.kind)), &value);
            }
        })?;
        let mut see6 = |address: [u8; 16], length: u8, value: &BanValue| {
            let at = (u128::from_be_bytes(address), length);
            let index = wanted.v6.binary_search_by_key(&at, |ban| (ban.address, ban.length));
            see(index.ok().and_then(|i| wanted.v6.get(i)).and_then(|b| kind(b.kind)), value);
        };
        self.tables.bans6.each(|key, value| {
            if key.is_in(set) {
                see6(key.address, key.length, &value);
            }
        })?;
        self.tables.tail6.each(|key, value| {
            if key.is_in(set) {
                see6(key.path.address, value.length, &value);
            }
        })?;
        Ok(!other && found == wanted.v4.len() + wanted.v6.len())
    }

    /// Fills the set that no packet reads.
    fn load(&self, set: BanSet, wanted: &Bulk, values: &[BanValue]) -> Result<(), KernelError> {
        let value = |kind: u8, length: u8| {
            let value = values.get(usize::from(kind)).copied().unwrap_or_default();
            BanValue { length, ..value }
        };
        let met4 =
            met(&self.tables.bans4, self.in_force.set, |key| BanKey { set: set.number(), ..key })?;
        let entries4 = wanted.v4.iter().map(|ban| {
            let key = BanKey::new(set, ban.address.to_be_bytes(), ban.length);
            (key, value(ban.kind, ban.length))
        });
        fill(&self.tables.bans4, entries4, &met4)?;
        let met6 =
            met(&self.tables.bans6, self.in_force.set, |key| BanKey { set: set.number(), ..key })?;
        let hashed = wanted.v6.iter().filter(|ban| is_hashed6(ban.length)).map(|ban| {
            let key = BanKey::new(set, ban.address.to_be_bytes(), ban.length);
            (key, value(ban.kind, ban.length))
        });
        fill(&self.tables.bans6, hashed, &met6)?;
        let tail = wanted.v6.iter().filter(|ban| !is_hashed6(ban.length)).map(|ban| {
            let key = TailKey::new(set, ban.address.to_be_bytes(), u32::from(ban.length));
            (key, value(ban.kind, ban.length))
        });
        fill(&self.tables.tail6, tail, &self.met_in_tail(wanted, set)?)?;
        self.mark(set, wanted);
        Ok(())
    }

    fn mark(&self, set: BanSet, contents: &Bulk) {
        for ban in &contents.v4 {
            self.tables.sheet4.mark(set, ban.address.to_be_bytes(), ban.length);
        }
        for ban in &contents.v6 {
            self.tables.sheet6.mark(set, ban.address.to_be_bytes(), ban.length);
        }
    }

    /// A trie cannot be walked while another thread takes from it: each entry is asked for.
    fn met_in_tail(&self, wanted: &Bulk, set: BanSet) -> Result<Met<TailKey>, KernelError> {
        let mut all = Met::new();
        for ban in wanted.v6.iter().filter(|ban| !is_hashed6(ban.length)) {
            let (address, length) = (ban.address.to_be_bytes(), u32::from(ban.length));
            let old = self.tables.tail6.get(&TailKey::new(self.in_force.set, address, length))?;
            if let Some(old) = old.filter(|old| old.length == ban.length && old.hits > 0) {
                all.insert(TailKey::new(set, address, length), (old.hits, old.last_seen));
            }
        }
        Ok(all)
    }

    /// What an earlier process left in a set.
    fn dump(&self, set: BanSet) -> Result<Bulk, KernelError> {
        let mut bulk = Bulk::default();
        self.tables.bans4.each(|key, _| {
            if key.is_in(set) {
                bulk.push4(u32::from_be_bytes(key.address), key.length, 0);
            }
        })?;
        self.tables.bans6.each(|key, _| {
            if key.is_in(set) {
                bulk.push6(u128::from_be_bytes(key.address), key.length, 0);
            }
        })?;
        self.tables.tail6.each(|key, value| {
            if key.is_in(set) {
                bulk.push6(u128::from_be_bytes(key.path.address), value.length, 0);
            }
        })?;
        Ok(bulk)
    }

    fn unmark(&self, set: BanSet, contents: &Bulk) {
        for ban in &contents.v4 {
            self.tables.sheet4.unmark(set, ban.address.to_be_bytes(), ban.length);
        }
        for ban in &contents.v6 {
            self.tables.sheet6.unmark(set, ban.address.to_be_bytes(), ban.length);
        }
    }

    /// Removes up to [`PORTION`] entries from behind the first `removed`; returns how many.
    fn remove_some(
        &self,
        set: BanSet,
        contents: &Bulk,
        removed: usize,
    ) -> Result<usize, KernelError> {
        let v4 = contents.v4.iter().skip(removed).take(PORTION);
        let keys: Vec<_> =
            v4.map(|ban| BanKey::new(set, ban.address.to_be_bytes(), ban.length)).collect();
        if !keys.is_empty() {
            self.tables.bans4.remove_all(&keys)?;
            return Ok(keys.len());
        }
        let v6 = contents.v6.iter().skip(removed.saturating_sub(contents.v4.len())).take(PORTION);
        let (mut hashed, mut tail) = (Vec::new(), Vec::new());
        for ban in v6 {
            let address = ban.address.to_be_bytes();
            if is_hashed6(ban.length) {
                hashed.push(BanKey::new(set, address, ban.length));
            } else {
                tail.push(TailKey::new(set, address, u32::from(ban.length)));
            }
        }
        self.tables.bans6.remove_all(&hashed)?;
        self.tables.tail6.remove_all(&tail)?;
        Ok(hashed.len() + tail.len())
    }
}

impl BulkFilter for Generations {
    fn replace(&mut self, wanted: Arc<Bulk>) -> Result<Loaded, KernelError> {
        self.check_room(&wanted)?;
        let now_ns = self.ticks.now_ns()?;
        let values: Vec<_> = wanted.kinds.iter().map(|ban| value_at(now_ns, ban, 0)).collect();
        let entries = wanted.v4.len() + wanted.v6.len();
        if self.in_force.contents.is_none() && self.is_in_force(&wanted, &values)? {
            // Marks that a damaged map lost; none is ever cleared while a packet may read it.
            self.mark(self.in_force.set, &wanted);
            self.in_force.contents = Some(wanted);
            self.tell_used();
            return Ok(Loaded { entries, kept: true });
        }
        while self.clear_some()? {}
        let set = self.in_force.set.other();
        if let Err(error) = self.load(set, &wanted, &values) {
            let contents = Some(wanted);
            self.stale = Some(Stale { set, contents, removed: 0, unread: true });
            return Err(error);
        }
        self.settings.put_in_force(set)?;
        let next = Generation { set, contents: Some(wanted) };
        let old = std::mem::replace(&mut self.in_force, next);
        self.stale =
            Some(Stale { set: old.set, contents: old.contents, removed: 0, unread: false });
        self.tell_used();
        Ok(Loaded { entries, kept: false })
    }

    fn clear_some(&mut self) -> Result<bool, KernelError> {
        let Some(mut stale) = self.stale.take() else { return Ok(false) };
        if !stale.unread {
            if !sys::wait_for_packets() {
                std::thread::park_timeout(UNDER_WAY);
            }
            stale.unread = true;
        }
        let contents = if let Some(contents) = stale.contents.take() {
            contents
        } else {
            // Half of it may be marked for entries that never came.
            self.tables.sheet4.clear(stale.set);
            self.tables.sheet6.clear(stale.set);
            Arc::new(self.dump(stale.set)?)
        };
        match self.remove_some(stale.set, &contents, stale.removed) {
            Ok(0) => {
                self.unmark(stale.set, &contents);
                self.tell_used();
                Ok(false)
            }
            removed => {
                stale.contents = Some(contents);
                stale.removed += removed.as_ref().copied().unwrap_or(0);
                self.stale = Some(stale);
                removed.map(|_| true)
            }
        }
    }
}

/// Hits of a set, under the keys of the next.
fn met<K: Pod + Default + InSet + Eq + Hash>(
    table: &Table<K, BanValue>,
    set: BanSet,
    rename: impl Fn(K) -> K,
) -> Result<Met<K>, KernelError> {
    let mut all = Met::new();
    table.each(|key, value| {
        if value.hits > 0 && key.is_in(set) {
            all.insert(rename(key), (value.hits, value.last_seen));
        }
    })?;
    Ok(all)
}

/// Entries per batch: the keys and values of one stay in the cache.
const BATCH: usize = 4096;

/// Writes entries in batches; every one of them is in the table when this
/// returns.
fn fill<K: Pod + Default + Eq + Hash>(
    table: &Table<K, BanValue>,
    entries: impl Iterator<Item = (K, BanValue)>,
    met: &Met<K>,
) -> Result<(), KernelError> {
    let (mut keys, mut values) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        keys.clear();
        values.clear();
        for (key, mut value) in entries.by_ref().take(BATCH) {
            if let Some((hits, last_seen)) = met.get(&key) {
                (value.hits, value.last_seen) = (*hits, *last_seen);
            }
            keys.push(key);
            values.push(value);
        }
        let (written, outcome) = table.put_all(&keys, &values);
        outcome?;
        if written != keys.len() {
            return Err(table.lost(keys.len() - written));
        }
    }
    Ok(())
}
