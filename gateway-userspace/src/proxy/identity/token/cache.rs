//! What was found of tokens, by their digest. Two generations a shard: when the young one is full it
//! grows old, and what nobody asks for goes with the next. No look-up scans anything.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gateway_common::Reason;

use super::{Digest, Token};
use crate::{clock::Wall, proxy::identity::jwt::Fault};

const SHARDS: usize = 16;

/// Of one generation of one shard: 16384 tokens of an issuer in all.
const TOKENS: usize = 512;

/// Bytes of tokens; what is remembered of each is some times that.
const BYTES: usize = 512 * 1024;

/// Of one issuer's tokens.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    hits: AtomicU64,
    misses: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Digest, Entry>,
    old: HashMap<Digest, Entry>,
    /// Of the young ones.
    bytes: usize,
}

/// What is known, and how long the token is.
type Entry = (Known, usize);

#[derive(Debug, Clone)]
enum Known {
    Valid(Arc<Token>),
    /// Its issuer said so, and may say otherwise after this.
    Inactive(Wall),
}

impl Cache {
    pub(super) fn find(&self, digest: &Digest, now: Wall) -> Option<Result<Arc<Token>, Fault>> {
        let mut shard = self.shard(digest);
        let known = shard.find(digest);
        drop(shard);
        let found = match known {
            Some(Known::Valid(token)) if token.holds(now) => Some(Ok(token)),
            Some(Known::Inactive(until)) if now < until => {
                Some(Err(Fault::new(Reason::TokenInactive, "not active a moment ago")))
            }
            Some(Known::Valid(_) | Known::Inactive(_)) | None => None,
        };
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
        found
    }

    pub(super) fn remember(&self, digest: Digest, token: Arc<Token>, bytes: usize, now: Wall) {
        if token.holds(now) {
            self.add(digest, Known::Valid(token), bytes);
        }
    }

    pub(super) fn inactive(&self, digest: Digest, until: Wall) {
        self.add(digest, Known::Inactive(until), 0);
    }

    /// Tokens remembered; look-ups that found one, that did not, and tokens given up.
    pub(crate) fn figures(&self) -> (u64, [u64; 3]) {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            (shard.young.len() + shard.old.len()) as u64
        };
        let lookups = [&self.hits, &self.misses, &self.dropped];
        (self.shards.iter().map(count).sum(), lookups.map(|counter| counter.load(Relaxed)))
    }

    fn add(&self, digest: Digest, known: Known, bytes: usize) {
        let mut shard = self.shard(&digest);
        let gone = shard.add(digest, known, bytes);
        self.dropped.fetch_add(gone as u64, Relaxed);
    }

    fn shard(&self, digest: &Digest) -> std::sync::MutexGuard<'_, Shard> {
        let [first, ..] = digest;
        let place = usize::from(*first) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&mut self, digest: &Digest) -> Option<Known> {
        if let Some((known, _)) = self.young.get(digest) {
            return Some(known.clone());
        }
        // What is asked for stays.
        let (known, bytes) = self.old.remove(digest)?;
        self.add(*digest, known.clone(), bytes);
        Some(known)
    }

    /// How many others were given up for it.
    fn add(&mut self, digest: Digest, known: Known, bytes: usize) -> usize {
        let mut gone = 0;
        if self.young.len() >= TOKENS || self.bytes + bytes > BYTES {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            (gone, self.bytes) = (old.len(), 0);
        }
        self.bytes += bytes;
        self.young.insert(digest, (known, bytes));
        gone
    }
}
