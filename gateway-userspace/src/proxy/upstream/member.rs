//! What all workers think of one target: whether it may be asked, and since when. Faults in a row
//! take it out for a time that grows; so do questions it does not answer. Time is passed in, in
//! nanoseconds of the monotonic clock.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::config::model::Ejection;

/// Parts of a weight, for a target that comes back slowly.
const WHOLE: u64 = 1000;
/// Its first part, that its recovery can show at all.
const LEAST: u64 = 100;
/// Of this many latencies the newest is one part.
const SMOOTHING: u64 = 8;
/// Doublings of a time, at most.
const DOUBLINGS: u32 = 16;

/// One target's standing.
#[derive(Debug)]
pub(super) struct Member {
    weight: u32,
    in_flight: AtomicU64,
    /// Until the response head, smoothed, in microseconds; 0 before the first.
    latency_us: AtomicU64,
    faults_in_a_row: AtomicU32,
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    /// When it last came back; 0 if it was never away.
    back_since: AtomicU64,
    questions_in_a_row: AtomicU32,
    unhealthy: AtomicBool,
}

/// Whether a target may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Available,
    /// Its requests failed.
    Ejected {
        left: Duration,
    },
    /// It does not answer questions as it should.
    Unhealthy,
}

impl Member {
    pub(super) fn new(weight: u32) -> Self {
        Self {
            weight: weight.max(1),
            in_flight: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            faults_in_a_row: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            back_since: AtomicU64::new(0),
            questions_in_a_row: AtomicU32::new(0),
            unhealthy: AtomicBool::new(false),
        }
    }

    /// One that comes to others which are there already: it gets its part by and by.
    pub(super) fn joining(weight: u32, now: u64) -> Self {
        let member = Self::new(weight);
        member.back_since.store(now, Relaxed);
        member
    }

    pub(super) fn standing(&self, now: u64) -> Standing {
        let until = self.ejected_until.load(Relaxed);
        if until > now {
            return Standing::Ejected { left: Duration::from_nanos(until - now) };
        }
        if self.unhealthy.load(Relaxed) { Standing::Unhealthy } else { Standing::Available }
    }

    pub(super) fn is_available(&self, now: u64) -> bool {
        self.standing(now) == Standing::Available
    }

    pub(super) fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Relaxed) > now
    }

    /// Its part of new requests at this moment, in thousandths of a weight.
    pub(super) fn part(&self, slow_start: Duration, now: u64) -> u64 {
        let since = self.back_since.load(Relaxed).max(self.ejected_until.load(Relaxed));
        let span = nanos(slow_start);
        let away = now.saturating_sub(since);
        if since == 0 || span == 0 || away >= span {
            return u64::from(self.weight) * WHOLE;
        }
        let grown = u128::from(WHOLE) * u128::from(away) / u128::from(span);
        u64::from(self.weight) * u64::try_from(grown).unwrap_or(WHOLE).max(LEAST)
    }

    /// How busy it is for its weight; less is better.
    pub(super) fn load(&self) -> u64 {
        let requests = self.in_flight.load(Relaxed).saturating_add(1);
        requests.saturating_mul(WHOLE) / u64::from(self.weight)
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn latency_us(&self) -> u64 {
        self.latency_us.load(Relaxed)
    }

    pub(super) fn ejections(&self) -> u32 {
        self.ejections.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// A request ended as it should.
    pub(super) fn finished(&self) {
        self.faults_in_a_row.store(0, Relaxed);
    }

    /// It began to answer.
    pub(super) fn answered(&self, latency: Duration) {
        let newest = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let before = self.latency_us.load(Relaxed);
        let smoothed = match before {
            0 => newest,
            _ => (before / SMOOTHING)
                .saturating_mul(SMOOTHING - 1)
                .saturating_add(newest / SMOOTHING),
        };
        self.latency_us.store(smoothed.max(1), Relaxed);
    }

    /// It failed; true where it is due to be left alone.
    pub(super) fn failed(&self, settings: &Ejection) -> bool {
        self.faults_in_a_row.fetch_add(1, Relaxed).saturating_add(1) >= settings.faults
    }

    /// Leaves it alone for a time that doubles with each relapse.
    pub(super) fn eject(&self, settings: &Ejection, now: u64) {
        let last = self.ejected_until.load(Relaxed);
        let relapsed = last != 0 && now.saturating_sub(last) < nanos(settings.longest);
        let times = if relapsed { self.ejections.load(Relaxed) } else { 0 };
        let span = settings.first.saturating_mul(1 << times.min(DOUBLINGS)).min(settings.longest);
        self.ejections.store(times.saturating_add(1), Relaxed);
        self.faults_in_a_row.store(0, Relaxed);
        self.ejected_until.store(now.saturating_add(nanos(span)), Relaxed);
    }

    /// A question was answered well or badly; true where its standing changed.
    pub(super) fn questioned(
        &self,
        well: bool,
        (healthy, unhealthy): (u32, u32),
        now: u64,
    ) -> bool {
        let was_unhealthy = self.unhealthy.load(Relaxed);
        if well != was_unhealthy {
            // As it was before.
            self.questions_in_a_row.store(0, Relaxed);
            return false;
        }
        let in_a_row = self.questions_in_a_row.fetch_add(1, Relaxed).saturating_add(1);
        if in_a_row < if well { healthy } else { unhealthy } {
            return false;
        }
        self.questions_in_a_row.store(0, Relaxed);
        self.unhealthy.store(!well, Relaxed);
        if well {
            self.back_since.store(now, Relaxed);
        }
        true
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn settings() -> Ejection {
        let first = Duration::from_secs(10);
        Ejection { faults: 3, first, longest: Duration::from_mins(1), share: 50 }
    }

    #[test]
    fn only_faults_in_a_row_count_and_each_relapse_is_longer_up_to_the_longest() {
        let member = Member::new(1);
        for _ in 0..2 {
            assert!(!member.failed(&settings()));
            assert!(!member.failed(&settings()));
            member.finished();
        }
        let mut now = SECOND;
        for span in [10, 20, 40, 60, 60] {
            member.eject(&settings(), now);
            let left = Duration::from_secs(span);
            assert_eq!(member.standing(now), Standing::Ejected { left });
            now += span * SECOND;
            assert!(member.is_available(now), "after {span}");
        }
        now += 61 * SECOND;
        member.eject(&settings(), now);
        let left = Duration::from_secs(10);
        assert_eq!(member.standing(now), Standing::Ejected { left }, "a relapse is forgotten");
    }

    #[test]
    fn questions_change_its_standing_only_in_a_row() {
        let member = Member::new(1);
        let ask = |well| member.questioned(well, (2, 3), SECOND);
        for well in [false, false, true, false, false] {
            assert!(!ask(well));
        }
        assert!(ask(false));
        assert_eq!(member.standing(SECOND), Standing::Unhealthy);
        assert!(!ask(true) && !ask(false) && !ask(true));
        assert!(ask(true));
        assert!(member.is_available(SECOND));
    }

    #[test]
    fn what_comes_back_gets_its_part_by_and_by() {
        let member = Member::new(2);
        let slow = Duration::from_secs(10);
        assert_eq!(member.part(slow, SECOND), 2000, "it was never away");
        member.eject(&settings(), SECOND);
        let back = 11 * SECOND;
        for (after, part) in [(0, 200), (5, 1000), (10, 2000), (60, 2000)] {
            assert_eq!(member.part(slow, back + after * SECOND), part, "after {after} s");
        }
        assert_eq!(member.part(Duration::ZERO, back), 2000);
    }
}
