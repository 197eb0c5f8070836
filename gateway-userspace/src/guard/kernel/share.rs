//! The dynamic bans' share of a table: its keys alone, up to its quota.

use std::sync::Arc;

use aya::Pod;
use gateway_common::maps::{BanKey, BanSet, BanValue, TailKey};

use super::{filter::KernelError, list::Entries, table::Table};

/// A key that says whose entry it is.
pub(super) trait InSet {
    fn set(&self) -> u8;

    fn is_in(&self, set: BanSet) -> bool {
        self.set() == set.number()
    }
}

impl<const N: usize> InSet for BanKey<N> {
    fn set(&self) -> u8 {
        self.set
    }
}

impl InSet for TailKey {
    fn set(&self) -> u8 {
        self.path.set
    }
}

/// The share of the dynamic bans.
#[derive(Debug)]
pub(super) struct Share<K> {
    table: Arc<Table<K, BanValue>>,
    quota: u32,
}

impl<K> Share<K> {
    pub(super) const fn new(table: Arc<Table<K, BanValue>>, quota: u32) -> Self {
        Self { table, quota }
    }
}

impl<K: Pod + Default + InSet> Entries<K, BanValue> for Share<K> {
    fn get(&self, key: &K) -> Result<Option<BanValue>, KernelError> {
        self.table.get(key)
    }

    fn put(&self, key: &K, value: &BanValue) -> Result<(), KernelError> {
        self.table.put(key, value)
    }

    fn remove(&self, key: &K) -> Result<bool, KernelError> {
        self.table.remove(key)
    }

    fn put_all(&self, keys: &[K], values: &[BanValue]) -> (usize, Result<(), KernelError>) {
        self.table.put_all(keys, values)
    }

    fn remove_all(&self, keys: &[K]) -> Result<(), KernelError> {
        self.table.remove_all(keys)
    }

    fn all(&self) -> Result<Vec<(K, BanValue)>, KernelError> {
        let mut ours = Vec::new();
        self.table.each(|key, value| {
            if key.is_in(BanSet::Dynamic) {
                ours.push((key, value));
            }
        })?;
        Ok(ours)
    }

    fn capacity(&self) -> usize {
        self.quota as usize
    }

    fn full(&self) -> KernelError {
        KernelError::Full { map: self.table.shape().name, capacity: self.quota, key: "dynamic" }
    }
}
