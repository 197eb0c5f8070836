//! A rate limit per key: governor's GCRA over a store of ours, because governor's own never
//! evicts and has no bound on keys. A full store refuses new keys rather than forgetting known
//! ones; the refusal has a reason of its own, by which it is counted.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::StateStore,
};

use crate::{clock, config::model::Rate};

/// Keys are spread over this many locks; held for one lookup each.
const SHARDS: usize = 16;

/// Below this many keys one lock is enough, and the bound is exact.
const SMALL: u32 = 4096;

/// A full shard looks for idle keys at most this often.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// What the limit says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within {
        remaining: u32,
    },
    Over {
        wait: Duration,
    },
    /// No room for another key.
    Full,
}

/// The clock of `clock.rs` as governor wants it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GatewayClock;

impl Clock for GatewayClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        clock::now()
    }
}

/// One limit over many keys, shared by all workers.
pub(crate) struct Limiter<K, C: Clock = GatewayClock> {
    gcra: RateLimiter<Cell, OnCell, C, StateInformationMiddleware>,
    clock: C,
    start: C::Instant,
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    keys_a_shard: usize,
}

struct Shard<K> {
    cells: HashMap<K, Cell>,
    swept: u64,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub(crate) fn new(rate: Rate, keys: u32) -> Self {
        Self::with_clock(rate, keys, GatewayClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    fn with_clock(rate: Rate, keys: u32, clock: C) -> Self {
        let count = if keys < SMALL { 1 } else { SHARDS };
        let gcra = RateLimiter::new(quota(rate), OnCell, clock.clone());
        Self {
            gcra,
            // Read after governor's own start, so that an idle key is seen late, never early.
            start: clock.now(),
            clock,
            shards: (0..count)
                .map(|_| Mutex::new(Shard { cells: HashMap::new(), swept: 0 }))
                .collect(),
            hasher: RandomState::new(),
            keys_a_shard: (keys as usize).div_ceil(count).max(1),
        }
    }

    /// Counts one event of `key`.
    pub(crate) fn check(&self, key: &K) -> Verdict {
        let Some(cell) = self.cell(key) else { return Verdict::Full };
        match self.gcra.check_key(&cell) {
            Ok(state) => Verdict::Within { remaining: state.remaining_burst_capacity() },
            Err(until) => Verdict::Over { wait: until.wait_time_from(self.clock.now()) },
        }
    }

    /// Keys held.
    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).cells.len()).sum()
    }

    /// Forgets keys that are back at their full burst: they read the same as new ones.
    pub(crate) fn sweep(&self) {
        let now = self.elapsed();
        for shard in &self.shards {
            lock(shard).sweep(now);
        }
    }

    fn cell(&self, key: &K) -> Option<Cell> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default();
        let mut shard = lock(self.shards.get(hash % self.shards.len())?);
        if let Some(cell) = shard.cells.get(key) {
            return Some(cell.clone());
        }
        if shard.cells.len() >= self.keys_a_shard {
            shard.sweep_if_due(self.elapsed());
        }
        if shard.cells.len() >= self.keys_a_shard {
            return None;
        }
        let cell = Cell(Arc::new(AtomicU64::new(0)));
        shard.cells.insert(key.clone(), cell.clone());
        Some(cell)
    }

    fn elapsed(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }
}

impl<K> Shard<K> {
    fn sweep_if_due(&mut self, now: u64) {
        let pause = u64::try_from(SWEEP_EVERY.as_nanos()).unwrap_or(u64::MAX);
        if now >= self.swept.saturating_add(pause) {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: u64) {
        self.swept = now;
        // A cell in use elsewhere is about to be written.
        self.cells.retain(|_, cell| Arc::strong_count(&cell.0) > 1 || cell.0.load(Relaxed) > now);
    }
}

/// The theoretical arrival time of one key; 0 is none yet.
#[derive(Clone)]
struct Cell(Arc<AtomicU64>);

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cell {}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// The cell itself is the key, so that finding it and counting on it stay apart.
struct OnCell;

impl StateStore for OnCell {
    type Key = Cell;

    fn measure_and_replace<T, F, E>(&self, key: &Cell, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut seen = key.0.load(Relaxed);
        loop {
            let (outcome, next) = measure((seen != 0).then_some(Nanos::new(seen)))?;
            match key.0.compare_exchange_weak(seen, next.as_u64().max(1), Relaxed, Relaxed) {
                Ok(_) => return Ok(outcome),
                Err(other) => seen = other,
            }
        }
    }
}

impl<K, C: Clock> fmt::Debug for Limiter<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("keys_a_shard", &self.keys_a_shard).finish_non_exhaustive()
    }
}

fn quota(rate: Rate) -> Quota {
    let interval = rate.interval().max(Duration::from_nanos(1));
    // Governor multiplies both as u64 nanoseconds.
    let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let most = u32::try_from((u64::MAX / 4) / nanos.max(1)).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(rate.burst.min(most)).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(interval)
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(burst)
}

/// A poisoned lock means a panic in a map insert; the map itself is whole.
fn lock<K>(shard: &Mutex<Shard<K>>) -> std::sync::MutexGuard<'_, Shard<K>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1), burst: 5 };

    fn limiter(keys: u32) -> (Limiter<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::with_clock(TEN, keys, clock.clone()), clock)
    }

    #[test]
    fn gives_a_burst_then_the_rate_and_says_how_long_to_wait() {
        let (limiter, clock) = limiter(8);
        for left in (0..5).rev() {
            assert_eq!(limiter.check(&1), Verdict::Within { remaining: left });
        }
        assert_eq!(limiter.check(&1), Verdict::Over { wait: Duration::from_millis(100) });
        clock.advance(Duration::from_millis(100));
        assert!(matches!(limiter.check(&1), Verdict::Within { .. }));
        assert!(matches!(limiter.check(&1), Verdict::Over { .. }));
    }

    #[test]
    fn one_key_does_not_pay_for_another() {
        let (limiter, _clock) = limiter(8);
        for _ in 0..20 {
            limiter.check(&1);
        }
        assert_eq!(limiter.check(&2), Verdict::Within { remaining: 4 });
    }

    #[test]
    fn holds_twice_the_rate_to_the_rate() {
        let (limiter, clock) = limiter(8);
        let mut passed = 0;
        for _ in 0..400 {
            passed += u32::from(matches!(limiter.check(&1), Verdict::Within { .. }));
            clock.advance(Duration::from_millis(50));
        }
        assert!((200..=205).contains(&passed), "{passed} of 200 and a burst of 5");
    }

    #[test]
    fn a_full_store_refuses_new_keys_keeps_known_ones_and_recovers() {
        let (limiter, clock) = limiter(4);
        for key in 0..4 {
            assert!(matches!(limiter.check(&key), Verdict::Within { .. }));
        }
        assert_eq!(limiter.check(&9), Verdict::Full);
        assert!(matches!(limiter.check(&0), Verdict::Within { .. }));
        clock.advance(Duration::from_secs(2));
        assert!(matches!(limiter.check(&9), Verdict::Within { .. }), "idle keys make room");
        assert!(limiter.keys() <= 4);
    }

    #[test]
    fn an_extreme_rate_does_not_overflow() {
        let slow = Rate { count: 1, per: Duration::from_hours(24 * 365), burst: u32::MAX };
        let limiter: Limiter<u32> = Limiter::new(slow, 4);
        assert!(matches!(limiter.check(&1), Verdict::Within { .. }));
    }
}
