//! A map that holds so many entries and no more: the least recently used one makes room, and is
//! counted. What a stranger can grow is kept in one of these.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// Entries by key, bounded.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    capacity: usize,
    entries: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    turn: u64,
    evicted: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX).max(1),
            entries: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            evicted: 0,
        }
    }

    /// The entry of `key`, made by `fresh` if there is none, as the most recently used one.
    pub(crate) fn entry(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) && self.entries.len() >= self.capacity {
            self.evict();
        }
        self.turn += 1;
        let turn = self.turn;
        let (used, value) = self.entries.entry(key).or_insert_with(|| (turn, fresh()));
        self.order.remove(used);
        *used = turn;
        self.order.insert(turn, key);
        value
    }

    /// The entry of `key`; its turn stays.
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (used, value) = self.entries.remove(&key)?;
        self.order.remove(&used);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many entries had to go for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) {
        if let Some((_, oldest)) = self.order.pop_first() {
            self.entries.remove(&oldest);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_recently_used_makes_room_and_is_counted() {
        let mut recent = Recent::new(2);
        *recent.entry('a', || 0) += 1;
        *recent.entry('b', || 0) += 1;
        *recent.entry('a', || 0) += 1;
        *recent.entry('c', || 0) += 1;

        assert_eq!(recent.get('a'), Some(&2));
        assert_eq!(recent.get('b'), None);
        assert_eq!(recent.get('c'), Some(&1));
        assert_eq!(recent.evicted(), 1);
    }

    proptest! {
        #[test]
        fn never_holds_more_than_its_capacity(
            keys in proptest::collection::vec(0u8..40, 0..200), capacity in 1u32..20
        ) {
            let mut recent = Recent::new(capacity);
            for key in keys {
                if key % 7 == 0 {
                    recent.remove(key);
                } else {
                    recent.entry(key, || key);
                }
                prop_assert!(recent.len() <= recent.capacity());
                prop_assert_eq!(recent.order.len(), recent.entries.len());
            }
        }
    }
}
