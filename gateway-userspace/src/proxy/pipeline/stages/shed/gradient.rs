//! How many requests a route may have in flight so that none of them queues: fewer as soon as the
//! supplier takes longer than when it was idle, more while it does not. The gradient of Envoy's
//! adaptive concurrency and of Netflix' concurrency-limits, by the median of a window.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A window has at least this many answers and takes at least this long, so that it has seen a
/// supplier that pauses (collects garbage, say) between its pauses too.
const ANSWERS: usize = 32;
const WINDOW: Duration = Duration::from_millis(100);

/// Answers of a window that are looked at; those past them come too soon after each other to tell
/// anything new.
const KEPT: usize = 256;

/// Time and a half is no queue yet; nor is what a scheduler takes.
const TOLERATED: f64 = 1.5;
const SCHEDULER: f64 = 0.002;

/// No window takes more than half.
const STEEPEST: f64 = 0.5;

/// A supplier that serves fewer at a time is better bounded by a number.
const LEAST: u32 = 8;

/// What the supplier takes when idle is measured anew this often: at half the concurrency, for a
/// window, so that a supplier that became slower for good is not held to what it was.
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// Shared by all workers. One short lock an answer, on routes that ask for it alone.
#[derive(Debug)]
pub(super) struct Gradient {
    limit: AtomicU32,
    most: u32,
    course: Mutex<Course>,
}

#[derive(Debug)]
struct Course {
    limit: f64,
    /// Seconds of the supplier when idle.
    idle: Option<f64>,
    window: Window,
    probe: Probe,
    probed: Instant,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    seconds: Vec<f64>,
    answers: usize,
    /// Most requests in flight.
    peak: u32,
}

/// Answers that were asked for before the limit was halved are let pass first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    No,
    Emptying,
    Measuring,
}

impl Gradient {
    pub(super) fn new(most: u32, now: Instant) -> Self {
        let course = Course {
            limit: f64::from(most),
            idle: None,
            window: Window::new(now),
            probe: Probe::No,
            probed: now,
        };
        Self { limit: AtomicU32::new(most), most, course: Mutex::new(course) }
    }

    pub(super) const fn most(&self) -> u32 {
        self.most
    }

    /// Requests that may be in flight now.
    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// The supplier took `took` for its answer while `in_flight` requests were under way.
    pub(super) fn learn(&self, took: Duration, in_flight: u32, now: Instant) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        course.window.add(took, in_flight);
        if course.window.is_over(now) {
            course.turn(f64::from(self.most), now);
            self.limit.store(course.now(), Relaxed);
        }
    }
}

impl Course {
    /// Ends a window.
    fn turn(&mut self, most: f64, now: Instant) {
        let window = std::mem::replace(&mut self.window, Window::new(now));
        let peak = f64::from(window.peak);
        let median = window.median();
        match self.probe {
            Probe::Emptying => self.probe = Probe::Measuring,
            Probe::Measuring => {
                self.idle = Some(median);
                (self.probe, self.probed) = (Probe::No, now);
            }
            Probe::No => {
                let idle = self.idle.map_or(median, |idle| idle.min(median));
                self.idle = Some(idle);
                self.adapt(idle, median, peak, most);
                if now.saturating_duration_since(self.probed) >= PROBE_EVERY {
                    self.probe = Probe::Emptying;
                }
            }
        }
    }

    fn adapt(&mut self, idle: f64, median: f64, peak: f64, most: f64) {
        let gradient = ((idle * TOLERATED + SCHEDULER) / median).clamp(STEEPEST, 1.0);
        let wanted = if gradient < 1.0 {
            // Of what was there: a limit far above it would take long to be felt.
            let there = self.limit.min(peak);
            there * gradient + there.sqrt()
        } else if peak * 2.0 >= self.limit {
            self.limit + self.limit.sqrt()
        } else {
            // What nobody asked for was not tried.
            self.limit
        };
        let least = f64::from(LEAST).min(most);
        self.limit = wanted.clamp(least, most);
    }

    fn now(&self) -> u32 {
        let limit = if self.probe == Probe::No { self.limit } else { self.limit / 2.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and a bound that was a u32"
        )]
        let whole = limit.ceil().max(1.0) as u32;
        whole
    }
}

impl Window {
    const fn new(began: Instant) -> Self {
        Self { began, seconds: Vec::new(), answers: 0, peak: 0 }
    }

    fn add(&mut self, took: Duration, in_flight: u32) {
        self.answers += 1;
        self.peak = self.peak.max(in_flight);
        if self.seconds.len() < KEPT {
            self.seconds.push(took.as_secs_f64());
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.answers >= ANSWERS && now.saturating_duration_since(self.began) >= WINDOW
    }

    /// Never 0: it divides.
    fn median(mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        let middle = self.seconds.get(self.seconds.len() / 2).copied();
        middle.unwrap_or_default().max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// A supplier that serves `at_once` requests at a time, each in `service`; the others wait.
    struct Supplier {
        at_once: f64,
        service: f64,
    }

    /// Lets `demand` requests be in flight for `time`, or as many as the limit has room for; the
    /// highest and lowest limit of the second half come back.
    fn run(
        gradient: &Gradient,
        supplier: &Supplier,
        demand: u32,
        time: Duration,
        now: &mut Instant,
    ) -> (u32, u32) {
        let (start, mut seen) = (*now, (u32::MAX, 0));
        while *now < start + time {
            let in_flight = demand.min(gradient.limit());
            let took = supplier.service * (f64::from(in_flight) / supplier.at_once).max(1.0);
            gradient.learn(Duration::from_secs_f64(took), in_flight, *now);
            *now += Duration::from_secs_f64(took / f64::from(in_flight));
            if *now > start + time / 2 {
                seen = (seen.0.min(gradient.limit()), seen.1.max(gradient.limit()));
            }
        }
        seen
    }

    #[test]
    fn an_overload_is_held_near_what_the_supplier_serves_at_once() {
        let mut now = clock::now();
        let gradient = Gradient::new(10_000, now);
        let supplier = Supplier { at_once: 50.0, service: 0.02 };
        run(&gradient, &supplier, 20, Duration::from_secs(5), &mut now);
        assert_eq!(gradient.limit(), 10_000, "who does not queue is not bounded");
        let (low, high) = run(&gradient, &supplier, 5000, Duration::from_secs(40), &mut now);
        // Not below what it serves at once, or it would idle; not above thrice, or they would wait.
        assert!(low >= 45 && high <= 150, "{low}..{high}");
    }

    #[test]
    fn a_supplier_that_is_slower_for_good_is_measured_anew() {
        let mut now = clock::now();
        let gradient = Gradient::new(1000, now);
        let fast = Supplier { at_once: 100.0, service: 0.01 };
        run(&gradient, &fast, 60, Duration::from_secs(5), &mut now);
        let slow = Supplier { service: 0.1, ..fast };
        run(&gradient, &slow, 60, Duration::from_secs(20), &mut now);
        assert!(gradient.limit() < 60, "ten times as slow looks like a queue at first");
        run(&gradient, &slow, 60, Duration::from_mins(2), &mut now);
        assert!(gradient.limit() >= 60, "{}", gradient.limit());
    }

    #[test]
    fn room_comes_back_with_the_supplier() {
        let mut now = clock::now();
        let gradient = Gradient::new(400, now);
        let healthy = Supplier { at_once: 200.0, service: 0.02 };
        run(&gradient, &healthy, 100, Duration::from_secs(3), &mut now);
        let ill = Supplier { at_once: 10.0, ..healthy };
        run(&gradient, &ill, 300, Duration::from_secs(10), &mut now);
        assert!(gradient.limit() < 60, "{}", gradient.limit());
        run(&gradient, &healthy, 150, Duration::from_secs(10), &mut now);
        assert!(gradient.limit() >= 150, "{}", gradient.limit());
    }

    #[test]
    fn a_small_bound_is_never_passed() {
        let mut now = clock::now();
        let gradient = Gradient::new(3, now);
        let supplier = Supplier { at_once: 1.0, service: 0.05 };
        let (low, high) = run(&gradient, &supplier, 100, Duration::from_secs(130), &mut now);
        assert!(low >= 1 && high <= 3, "{low}..{high}");
    }
}
