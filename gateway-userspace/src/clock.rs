//! The one clock: monotonic for intervals, wall for what outlives the process.
//!
//! State machines take the time as a parameter; only the edges read it, here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

const NANOS: u64 = 1_000_000_000;

/// Seconds since 1970 on the wall clock, which may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// This time and `duration` more, saturating, rounded up to whole seconds.
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        Self(self.0.saturating_add(seconds))
    }

    /// The time on a wall clock that is `ahead` seconds ahead of `CLOCK_MONOTONIC`.
    pub fn ahead_of_monotonic(ahead: i64, monotonic_ns: u64) -> Self {
        Self((monotonic_ns / NANOS).saturating_add_signed(ahead))
    }

    /// How far this time is ahead of `CLOCK_MONOTONIC`, in seconds.
    pub fn ahead(self, monotonic_ns: u64) -> i64 {
        let seconds = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        seconds(self.0).saturating_sub(seconds(monotonic_ns / NANOS))
    }

    /// How long from `earlier` to this time; zero if this is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Now, for intervals.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Now, for what is stored. A clock before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall() -> Wall {
    Wall(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
}

/// Milliseconds since 1970, for what people read. Never for arithmetic: it may jump.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970, for what is told of a moment. Never for arithmetic with another reading.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the same clock as `bpf_ktime_get_ns`, comparable between
/// processes and with the kernel's drop events.
pub fn monotonic_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(NANOS).saturating_add(nanos)
    })
}
