//! Proofs that were used, until they are too old to be used again. A store that is full takes no
//! more: forgetting one early would let it be used twice.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gateway_common::Reason;

use crate::proxy::identity::jwt::Fault;

const SHARDS: usize = 16;

/// Of one shard: half a million proofs in all, some 30 MiB. With the usual window that is 3000 a second.
const PROOFS: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(super) struct Seen {
    shards: [Mutex<Shard>; SHARDS],
    turned_away: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    until: HashMap<[u8; 16], u64>,
    swept: u64,
}

impl Seen {
    pub(super) fn once(&self, mark: [u8; 16], until: u64, now: u64) -> Result<(), Fault> {
        let [first, ..] = mark;
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        let shard = &self.shards[usize::from(first) % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.until.get(&mark).is_some_and(|until| now <= *until) {
            return Err(Fault::new(Reason::DpopReplayed, "used before"));
        }
        // Once a second at most: it goes through all of them.
        if shard.until.len() >= PROOFS && shard.swept < now {
            shard.swept = now;
            shard.until.retain(|_, until| now <= *until);
        }
        if shard.until.len() >= PROOFS {
            self.turned_away.fetch_add(1, Relaxed);
            return Err(Fault::new(Reason::DpopBusy, "more proofs than can be remembered"));
        }
        shard.until.insert(mark, until);
        Ok(())
    }

    /// How many are remembered, and how many were turned away.
    pub(super) fn figures(&self) -> (u64, u64) {
        let count = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).until.len() as u64
        };
        (self.shards.iter().map(count).sum(), self.turned_away.load(Relaxed))
    }
}
