//! Bans and allowed prefixes: tables with marks before them, always changed together and in the
//! order that keeps "bit clear ⇒ nothing covers it" true at every moment.

use std::{collections::HashMap, hash::Hash};

use gateway_common::maps::{BanKey, BanValue, PrefixKey, TailKey};

use super::filter::{KernelError, Reconciled};

/// A key of one of the lists.
pub(super) trait Key: Copy + Eq + Hash {
    /// Bits of the address that count.
    fn length(&self) -> u32;
}

impl<const N: usize> Key for PrefixKey<N> {
    fn length(&self) -> u32 {
        self.length
    }
}

impl<const N: usize> Key for BanKey<N> {
    fn length(&self) -> u32 {
        u32::from(self.length)
    }
}

impl Key for TailKey {
    fn length(&self) -> u32 {
        self.length.saturating_sub(Self::SET_BITS)
    }
}

/// What tells packets which look-ups can hit. Changed after the table it stands for.
pub(super) trait Marks<K> {
    /// Counts an entry that is in the table.
    fn cover(&mut self, key: &K);
    /// Counts one out that is gone from it.
    fn uncover(&mut self, key: &K);
    /// The kernel knows all of it when this returns.
    fn flush(&mut self) -> Result<(), KernelError>;
}

/// A value that knows the length of its own key: a trie answers with the longest prefix that
/// covers the key, which need not be the one asked for.
pub(super) trait Value: Copy {
    fn length(&self) -> u32;
    /// Carries over what the old value gathered; false if nothing would change.
    fn replace(&mut self, old: &Self) -> bool;
}

/// Ends closer than this are the same: the store keeps whole seconds.
const SAME_END_NS: u64 = 2_000_000_000;

impl Value for BanValue {
    fn length(&self) -> u32 {
        u32::from(self.length)
    }

    fn replace(&mut self, old: &Self) -> bool {
        (self.hits, self.last_seen) = (old.hits, old.last_seen);
        let same_end = (self.expires_ns == 0) == (old.expires_ns == 0)
            && self.expires_ns.abs_diff(old.expires_ns) <= SAME_END_NS;
        let same_kind =
            (self.reason, self.source, self.length) == (old.reason, old.source, old.length);
        !(same_end && same_kind)
    }
}

/// Allowed prefixes hold nothing but their length.
impl Value for u64 {
    fn length(&self) -> u32 {
        u32::try_from(*self).unwrap_or(u32::MAX)
    }

    fn replace(&mut self, old: &Self) -> bool {
        self != old
    }
}

/// A map, or its twin in tests.
pub(super) trait Entries<K, V> {
    /// The value of `key`; of a trie, that of the longest prefix covering it.
    fn get(&self, key: &K) -> Result<Option<V>, KernelError>;
    fn put(&self, key: &K, value: &V) -> Result<(), KernelError>;
    /// False if there was none.
    fn remove(&self, key: &K) -> Result<bool, KernelError>;
    /// Writes many. Also on an error, the first so many are in the map.
    fn put_all(&self, keys: &[K], values: &[V]) -> (usize, Result<(), KernelError>);
    /// Removes many; those not there are no error.
    fn remove_all(&self, keys: &[K]) -> Result<(), KernelError>;
    fn all(&self) -> Result<Vec<(K, V)>, KernelError>;
    fn capacity(&self) -> usize;
    fn full(&self) -> KernelError;
}

/// One table whose entries show in marks.
#[derive(Debug)]
pub(super) struct List<T> {
    entries: T,
    used: usize,
}

impl<T> List<T> {
    pub(super) const fn new(entries: T) -> Self {
        Self { entries, used: 0 }
    }

    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) const fn entries(&self) -> &T {
        &self.entries
    }

    /// The value under exactly this key.
    pub(super) fn find<K: Key, V: Value>(&self, key: &K) -> Result<Option<V>, KernelError>
    where
        T: Entries<K, V>,
    {
        Ok(self.entries.get(key)?.filter(|value| value.length() == key.length()))
    }

    /// Adds or replaces: the entry first, then its marks.
    pub(super) fn put<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        key: &K,
        mut value: V,
    ) -> Result<(), KernelError>
    where
        T: Entries<K, V>,
    {
        match self.find(key)? {
            Some(old) => {
                value.replace(&old);
                self.entries.put(key, &value)?;
            }
            None if self.used >= self.entries.capacity() => return Err(self.entries.full()),
            None => {
                self.entries.put(key, &value)?;
                self.used += 1;
                marks.cover(key);
            }
        }
        marks.flush()
    }

    /// Removes: the entry first, then the marks nobody else needs.
    pub(super) fn remove<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        key: &K,
    ) -> Result<bool, KernelError>
    where
        T: Entries<K, V>,
    {
        if !self.entries.remove(key)? {
            return Ok(false);
        }
        self.used = self.used.saturating_sub(1);
        marks.uncover(key);
        marks.flush()?;
        Ok(true)
    }

    /// Makes the table hold exactly `wanted`. Additions come first; only where old and new do not
    /// fit together do the removals.
    pub(super) fn reconcile<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        wanted: HashMap<K, V>,
    ) -> Result<Reconciled, KernelError>
    where
        T: Entries<K, V>,
    {
        let (result, surplus) = self.add_wanted(marks, wanted)?;
        self.remove_many(marks, &surplus)?;
        Ok(result)
    }

    /// The first half of [`Self::reconcile`]: returns what is left to remove, so that another table
    /// can add what covers it before.
    pub(super) fn add_wanted<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        wanted: HashMap<K, V>,
    ) -> Result<(Reconciled, Vec<K>), KernelError>
    where
        T: Entries<K, V>,
    {
        if wanted.len() > self.entries.capacity() {
            return Err(self.entries.full());
        }
        let present = self.entries.all()?;
        // After a reconciliation that failed half-way the count may be off; marks it left set cost
        // lookups only.
        self.used = present.len();
        let mut plan = Plan::new(&present, wanted);
        let (keys, values) = &plan.changed;
        self.entries.put_all(keys, values).1?;
        let result =
            Reconciled { added: plan.added.0.len(), removed: plan.removed.len(), kept: plan.kept };
        if self.used + result.added > self.entries.capacity() {
            self.remove_many(marks, &std::mem::take(&mut plan.removed))?;
        }
        self.add_many(marks, &plan.added.0, &plan.added.1)?;
        Ok((result, plan.removed))
    }

    fn add_many<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        keys: &[K],
        values: &[V],
    ) -> Result<(), KernelError>
    where
        T: Entries<K, V>,
    {
        let (done, written) = self.entries.put_all(keys, values);
        for key in keys.iter().take(done) {
            marks.cover(key);
        }
        self.used += done;
        marks.flush()?;
        written
    }

    /// Removes entries that are there.
    pub(super) fn remove_many<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
        keys: &[K],
    ) -> Result<(), KernelError>
    where
        T: Entries<K, V>,
    {
        self.entries.remove_all(keys)?;
        for key in keys {
            marks.uncover(key);
        }
        self.used = self.used.saturating_sub(keys.len());
        marks.flush()
    }

    /// Counts what a reused map already holds. The marks are right after the next flush.
    pub(super) fn recount<K: Key, V: Value, M: Marks<K>>(
        &mut self,
        marks: &mut M,
    ) -> Result<(), KernelError>
    where
        T: Entries<K, V>,
    {
        let present = self.entries.all()?;
        self.used = present.len();
        for (key, _) in &present {
            marks.cover(key);
        }
        Ok(())
    }
}

/// What a reconciliation has to do.
struct Plan<K, V> {
    added: (Vec<K>, Vec<V>),
    changed: (Vec<K>, Vec<V>),
    removed: Vec<K>,
    kept: usize,
}

impl<K: Key, V: Value> Plan<K, V> {
    fn new(present: &[(K, V)], mut wanted: HashMap<K, V>) -> Self {
        let mut changed = (Vec::new(), Vec::new());
        let mut removed = Vec::new();
        for (key, old) in present {
            let Some(mut new) = wanted.remove(key) else {
                removed.push(*key);
                continue;
            };
            if new.replace(old) {
                changed.0.push(*key);
                changed.1.push(new);
            }
        }
        let kept = present.len() - removed.len();
        Self { added: wanted.into_iter().unzip(), changed, removed, kept }
    }
}

#[cfg(test)]
mod tests;
