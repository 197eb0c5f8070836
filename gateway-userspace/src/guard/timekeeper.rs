//! Wall-clock time that a jump of the clock does not bend: what is left of a ban stays left,
//! whether the clock starts in 1970, is set back, or is moved ahead.

use std::time::{Duration, Instant};

use crate::clock::Wall;

/// A clock this far behind the last time stored has lost its time.
const BEHIND: u64 = 300;

/// Between two ticks the clock may be slewed or stepped by so much without a word.
const TOLERANCE: u64 = 5;

/// 2026-01-01. A clock that reads earlier is wrong: this software is younger.
const PLAUSIBLE: Wall = Wall(1_767_225_600);

/// The guard's view of the wall clock.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    /// Added to a clock that lost its time.
    offset: u64,
    expected: Wall,
    at: Instant,
}

/// What happened to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jump {
    /// The clock reads a time that cannot be; ours goes on without it.
    Held { clock: Wall, ours: Wall },
    /// The clock was set; stored times move by so many seconds, so that what is left stays left.
    Moved { seconds: i64 },
}

impl Timekeeper {
    /// Begins with what the clock reads and the last time the store saw.
    pub(crate) fn start(
        clock: Wall,
        last_seen: Option<Wall>,
        now: Instant,
    ) -> (Self, Option<Jump>) {
        let ours = last_seen.filter(|seen| seen.0 > clock.0.saturating_add(BEHIND));
        let expected = ours.unwrap_or(clock);
        let keeper = Self { offset: expected.0.saturating_sub(clock.0), expected, at: now };
        (keeper, ours.map(|ours| Jump::Held { clock, ours }))
    }

    /// The time now, when the clock reads `clock`.
    pub(crate) fn wall(&self, clock: Wall) -> Wall {
        Wall(clock.0.saturating_add(self.offset))
    }

    /// Compares the clock with the time that passed. Called every second or so.
    pub(crate) fn tick(&mut self, clock: Wall, now: Instant) -> Option<Jump> {
        let passed = now.saturating_duration_since(self.at);
        let expected = Wall(self.expected.0.saturating_add(rounded(passed)));
        let read = self.wall(clock);
        if read.0.abs_diff(expected.0) <= TOLERANCE {
            self.rebase(read, now);
            return None;
        }
        Some(self.jumped(clock, expected, now))
    }

    fn jumped(&mut self, clock: Wall, expected: Wall, now: Instant) -> Jump {
        if clock < PLAUSIBLE {
            self.offset = expected.0.saturating_sub(clock.0);
            self.rebase(expected, now);
            return Jump::Held { clock, ours: expected };
        }
        self.offset = 0;
        self.rebase(clock, now);
        Jump::Moved { seconds: difference(clock, expected) }
    }

    fn rebase(&mut self, wall: Wall, now: Instant) {
        self.expected = wall;
        self.at = now;
    }
}

/// `time` moved by `seconds`.
pub(crate) fn moved(time: Wall, seconds: i64) -> Wall {
    Wall(time.0.saturating_add_signed(seconds))
}

fn rounded(passed: Duration) -> u64 {
    passed.saturating_add(Duration::from_millis(500)).as_secs()
}

fn difference(to: Wall, from: Wall) -> i64 {
    let distance = i64::try_from(to.0.abs_diff(from.0)).unwrap_or(i64::MAX);
    if to >= from { distance } else { -distance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const NOON: Wall = Wall(1_800_000_000);

    #[test]
    fn a_steady_clock_never_jumps() {
        let start = clock::now();
        let (mut keeper, jump) = Timekeeper::start(NOON, Some(Wall(NOON.0 - 60)), start);
        assert_eq!(jump, None);
        for second in 1..10_000 {
            let clock = Wall(NOON.0 + second);
            assert_eq!(keeper.tick(clock, start + Duration::from_secs(second)), None);
            assert_eq!(keeper.wall(clock), clock);
        }
    }

    #[test]
    fn a_clock_that_starts_in_1970_continues_from_the_last_time_seen() {
        let start = clock::now();
        let (mut keeper, jump) = Timekeeper::start(Wall(40), Some(NOON), start);
        assert_eq!(jump, Some(Jump::Held { clock: Wall(40), ours: NOON }));
        assert_eq!(keeper.tick(Wall(50), start + Duration::from_secs(10)), None);
        assert_eq!(keeper.wall(Wall(50)), Wall(NOON.0 + 10));
    }

    #[test]
    fn a_lost_clock_that_is_set_right_moves_stored_times_by_what_was_missing() {
        let start = clock::now();
        let (mut keeper, _) = Timekeeper::start(Wall(40), Some(NOON), start);
        let right = Wall(NOON.0 + 3600);
        let jump = keeper.tick(right, start + Duration::from_secs(10));
        assert_eq!(jump, Some(Jump::Moved { seconds: 3590 }));
        assert_eq!(keeper.wall(right), right);
    }

    #[test]
    fn a_clock_set_ahead_or_back_moves_stored_times_with_it() {
        for seconds in [86_400, -86_400, 31_536_000, 6, -6] {
            let start = clock::now();
            let (mut keeper, _) = Timekeeper::start(NOON, None, start);
            let set = moved(NOON, seconds);
            assert_eq!(keeper.tick(set, start), Some(Jump::Moved { seconds }));
            assert_eq!(keeper.tick(Wall(set.0 + 1), start + Duration::from_secs(1)), None);
        }
    }

    #[test]
    fn a_clock_that_falls_to_1970_while_running_is_not_followed() {
        let start = clock::now();
        let (mut keeper, _) = Timekeeper::start(NOON, None, start);
        let later = start + Duration::from_secs(1);
        let ours = Wall(NOON.0 + 1);
        assert_eq!(keeper.tick(Wall(0), later), Some(Jump::Held { clock: Wall(0), ours }));
        assert_eq!(keeper.wall(Wall(0)), ours);
    }
}
