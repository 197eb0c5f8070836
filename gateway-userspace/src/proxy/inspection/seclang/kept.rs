//! What rules keep between transactions: `IP`, `GLOBAL`, `SESSION`, `USER`, `RESOURCE`. Bounded: past
//! the bound nothing new is kept, which is counted; rules then see a collection that is empty.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::variable::Variable;

/// Entries in all collections together, at most.
const ENTRIES: usize = 100_000;

/// Names in one entry, at most.
const NAMES: usize = 64;

/// Bytes of one value, at most.
const BYTES: usize = 1024;

type Place = (Variable, Vec<u8>);

/// The collections of all transactions.
#[derive(Debug, Default)]
pub struct Kept {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Place, Entry>,
    turned_away: u64,
}

#[derive(Debug, Default)]
struct Entry {
    values: HashMap<Vec<u8>, Value>,
}

#[derive(Debug)]
struct Value {
    bytes: Vec<u8>,
    until: Instant,
}

impl Kept {
    /// Names and values of an entry.
    pub(super) fn all(&self, place: &Place, now: Instant) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.with(|inner| {
            let values = inner.entries.get(place).into_iter().flat_map(|entry| &entry.values);
            let living = values.filter(|(_, value)| value.until > now);
            living.map(|(name, value)| (name.clone(), value.bytes.clone())).collect()
        })
        .unwrap_or_default()
    }

    pub(super) fn set(
        &self,
        place: &Place,
        name: &[u8],
        bytes: &[u8],
        until: Instant,
        now: Instant,
    ) {
        self.with(|inner| {
            let full = inner.entries.len() >= ENTRIES && !inner.entries.contains_key(place);
            if full {
                inner.entries.retain(|_, entry| entry.values.values().any(|v| v.until > now));
            }
            let full = inner.entries.len() >= ENTRIES && !inner.entries.contains_key(place);
            if full || bytes.len() > BYTES {
                inner.turned_away += 1;
                return;
            }
            let entry = inner.entries.entry(place.clone()).or_default();
            if entry.values.len() >= NAMES && !entry.values.contains_key(name) {
                inner.turned_away += 1;
                return;
            }
            // A time it was given stays: `expirevar` counts from when it ran.
            let kept = entry.values.get(name).filter(|value| value.until > now);
            let until = kept.map_or(until, |value| value.until);
            entry.values.insert(name.to_vec(), Value { bytes: bytes.to_vec(), until });
        });
    }

    pub(super) fn remove(&self, place: &Place, name: &[u8]) {
        self.with(|inner| {
            if let Some(entry) = inner.entries.get_mut(place) {
                entry.values.remove(name);
            }
        });
    }

    pub(super) fn expire(&self, place: &Place, name: &[u8], until: Instant) {
        self.with(|inner| {
            let entry = inner.entries.get_mut(place);
            if let Some(value) = entry.and_then(|entry| entry.values.get_mut(name)) {
                value.until = until;
            }
        });
    }

    /// Values that found no room.
    pub fn turned_away(&self) -> u64 {
        self.with(|inner| inner.turned_away).unwrap_or_default()
    }

    /// A lock that a panic left behind keeps nothing more: rules see empty collections.
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        self.inner.lock().ok().map(|mut inner| act(&mut inner))
    }
}

/// How long what has no time of its own is kept.
pub(super) fn until(now: Instant, seconds: u64) -> Instant {
    now.checked_add(Duration::from_secs(seconds.min(86_400))).unwrap_or(now)
}
