//! Stops asking a supplier whose requests mostly fail: clients get their refusal at once, and it
//! gets time to recover. After a while one request is let through, and decides. Time is passed in.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::member::nanos;
use crate::config::model;

/// Doublings of the time it stays open, at most.
const DOUBLINGS: u32 = 5;

/// One supplier's, shared by all workers. Counts may lose a request at the edge of a window.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: Option<model::Breaker>,
    window_from: AtomicU64,
    requests: AtomicU32,
    faults: AtomicU32,
    /// 0 while requests pass.
    open_until: AtomicU64,
    times: AtomicU32,
    /// Somebody tries whether it is better.
    trial: AtomicBool,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    Free,
    /// This one decides.
    Trial,
    Shut {
        wait: Duration,
    },
}

impl Breaker {
    pub(super) fn new(settings: Option<model::Breaker>) -> Self {
        Self {
            settings,
            window_from: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            open_until: AtomicU64::new(0),
            times: AtomicU32::new(0),
            trial: AtomicBool::new(false),
        }
    }

    pub(super) fn enter(&self, now: u64) -> Entrance {
        let until = self.open_until.load(Relaxed);
        if until == 0 {
            return Entrance::Free;
        }
        if now < until {
            return Entrance::Shut { wait: Duration::from_nanos(until - now) };
        }
        if self.trial.swap(true, Relaxed) {
            return Entrance::Shut { wait: Duration::from_secs(1) };
        }
        Entrance::Trial
    }

    pub(super) fn is_open(&self) -> bool {
        self.open_until.load(Relaxed) != 0
    }

    /// What came of a request.
    pub(super) fn observe(&self, failed: bool, trial: bool, now: u64) {
        let Some(settings) = &self.settings else { return };
        if trial {
            if failed {
                self.open(settings, now);
            } else {
                self.close(now);
            }
            self.trial.store(false, Relaxed);
            return;
        }
        if now.saturating_sub(self.window_from.load(Relaxed)) > nanos(settings.window) {
            self.restart(now);
        }
        let requests = self.requests.fetch_add(1, Relaxed).saturating_add(1);
        let faults = self.faults.fetch_add(u32::from(failed), Relaxed) + u32::from(failed);
        let share = u64::from(faults) * 100 >= u64::from(settings.faults) * u64::from(requests);
        if failed && requests >= settings.requests && share && !self.is_open() {
            self.open(settings, now);
        }
    }

    /// The one that was to decide came to no end.
    pub(super) fn undecided(&self) {
        self.trial.store(false, Relaxed);
    }

    fn open(&self, settings: &model::Breaker, now: u64) {
        let times = self.times.fetch_add(1, Relaxed).min(DOUBLINGS);
        let span = nanos(settings.open.saturating_mul(1 << times));
        self.open_until.store(now.saturating_add(span).max(1), Relaxed);
    }

    fn close(&self, now: u64) {
        self.times.store(0, Relaxed);
        self.restart(now);
        self.open_until.store(0, Relaxed);
    }

    fn restart(&self, now: u64) {
        self.window_from.store(now, Relaxed);
        self.requests.store(0, Relaxed);
        self.faults.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn breaker() -> Breaker {
        Breaker::new(Some(model::Breaker {
            faults: 50,
            requests: 10,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
        }))
    }

    #[test]
    fn opens_when_enough_of_enough_requests_fail_within_the_window() {
        let few = breaker();
        (0..9).for_each(|_| few.observe(true, false, SECOND));
        assert_eq!(few.enter(SECOND), Entrance::Free);
        few.observe(true, false, 20 * SECOND);
        assert_eq!(few.enter(20 * SECOND), Entrance::Free, "the window was another");

        let mostly_good = breaker();
        (0..100).for_each(|n| mostly_good.observe(n % 3 == 0, false, SECOND));
        assert_eq!(mostly_good.enter(SECOND), Entrance::Free);

        let bad = breaker();
        (0..10).for_each(|n| bad.observe(n % 2 == 1, false, SECOND));
        assert_eq!(bad.enter(2 * SECOND), Entrance::Shut { wait: Duration::from_secs(4) });
    }

    #[test]
    fn one_request_decides_whether_it_closes_and_each_failure_doubles_the_wait() {
        let breaker = breaker();
        (0..10).for_each(|_| breaker.observe(true, false, SECOND));
        let later = 6 * SECOND;
        assert_eq!(breaker.enter(later), Entrance::Trial);
        assert!(matches!(breaker.enter(later), Entrance::Shut { .. }), "one at a time");
        breaker.observe(true, true, later);
        assert_eq!(breaker.enter(later), Entrance::Shut { wait: Duration::from_secs(10) });
        assert_eq!(breaker.enter(later + 10 * SECOND), Entrance::Trial);
        breaker.undecided();
        assert_eq!(breaker.enter(later + 10 * SECOND), Entrance::Trial, "a client that left");
        breaker.observe(false, true, later + 11 * SECOND);
        assert_eq!(breaker.enter(later + 11 * SECOND), Entrance::Free);
    }

    #[test]
    fn without_settings_it_never_opens() {
        let off = Breaker::new(None);
        (0..1000).for_each(|_| off.observe(true, false, SECOND));
        assert_eq!(off.enter(SECOND), Entrance::Free);
    }
}
