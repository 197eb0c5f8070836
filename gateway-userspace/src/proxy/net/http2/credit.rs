//! What a client may cost before it has earned anything. Frames that make us work and carry nothing
//! (PING, SETTINGS, window updates, resets) are spent; what we send it earns more, for a client that
//! downloads has to update windows, and one that asks much may change its mind often. A flood only
//! spends.

use std::time::{Duration, Instant};

/// A balance between nothing and `most`, which grows with time and with what was earned.
#[derive(Debug)]
pub(super) struct Credit {
    left: u32,
    most: u32,
    /// One comes back in this time.
    interval: Duration,
    refilled: Instant,
}

impl Credit {
    pub(super) fn new(most: u32, interval: Duration, now: Instant) -> Self {
        Self { left: most, most, interval, refilled: now }
    }

    /// False if it is used up. `now` is asked for only then.
    pub(super) fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            self.refill(now());
        }
        let had = self.left > 0;
        self.left = self.left.saturating_sub(1);
        had
    }

    pub(super) fn earn(&mut self, amount: u32) {
        self.left = self.left.saturating_add(amount).min(self.most);
    }

    /// Time counts from the last refill, or from the last time the balance was full: never twice.
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let back = passed.as_nanos() / self.interval.as_nanos().max(1);
        self.left = u32::try_from(back).unwrap_or(u32::MAX).min(self.most);
        if back > 0 {
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn a_flood_ends_and_time_brings_it_back() {
        let start = clock::now();
        let mut credit = Credit::new(5, TENTH, start);
        for _ in 0..5 {
            assert!(credit.spend(|| start));
        }
        assert!(!credit.spend(|| start));
        let later = start + 2 * TENTH;
        assert!(credit.spend(|| later) && credit.spend(|| later));
        assert!(!credit.spend(|| later));
        let much_later = start + 1000 * TENTH;
        let spent = (0..100).take_while(|_| credit.spend(|| much_later)).count();
        assert_eq!(spent, 5);
    }

    #[test]
    fn what_is_earned_is_spent_without_a_look_at_the_clock() {
        let mut credit = Credit::new(3, TENTH, clock::now());
        for _ in 0..1000 {
            assert!(credit.spend(|| unreachable!()));
            credit.earn(1);
        }
        credit.earn(1000);
        assert_eq!(credit.left, 3);
    }
}
