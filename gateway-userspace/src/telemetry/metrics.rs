//! Counters of the request path: plain atomics with bounded labels, made at start, so that a
//! request takes no lock and no allocation to be counted. `scrape` renders them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use gateway_common::Reason;
use http::Method;

use super::Report;

/// Reason numbers are below this.
const REASONS: usize = 256;

/// Labels of `method`. Others are counted as `other`: a stranger must not make series.
pub(crate) const METHODS: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// Labels of `class`; the first is a client that went before an answer.
pub(crate) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the duration histogram, in seconds.
pub(crate) const BOUNDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What became of a request to a supplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Unreachable,
    Timeout,
    Malformed,
    Busy,
    /// The client's body ended early, or it went away.
    Client,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] = [
        Self::Answered,
        Self::Unreachable,
        Self::Timeout,
        Self::Malformed,
        Self::Busy,
        Self::Client,
    ];

    pub(crate) fn of(reason: Reason) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other reasons are the client's")]
        match reason {
            Reason::SupplierUnreachable => Self::Unreachable,
            Reason::SupplierTimeout => Self::Timeout,
            Reason::SupplierMalformed => Self::Malformed,
            Reason::SupplierBusy => Self::Busy,
            _ => Self::Client,
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Client => "client",
        }
    }
}

/// All counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) routes: Vec<RouteMetrics>,
    pub(crate) suppliers: Vec<SupplierMetrics>,
    refusals: Vec<Count>,
    pub(crate) requests_started: Count,
    pub(crate) requests_finished: Count,
    pub(crate) accepted: Count,
    pub(crate) accept_errors: Count,
    pub(crate) strikes_sent: Count,
    pub(crate) feedback_dropped: Count,
    pub(crate) log_dropped: Count,
    pub(crate) log_failed: Count,
}

/// Of one route; the last is for requests that met none.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    pub(crate) name: String,
    /// By method, then class.
    requests: [[Count; CLASSES.len()]; METHODS.len()],
    pub(crate) durations: Histogram,
}

/// Of one supplier.
#[derive(Debug)]
pub(crate) struct SupplierMetrics {
    pub(crate) name: String,
    outcomes: [Count; Outcome::ALL.len()],
}

/// Requests by duration.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; BOUNDS.len() + 1],
    micros: Count,
}

impl Metrics {
    pub(crate) fn new(routes: &[String], suppliers: &[String]) -> Self {
        let none = std::iter::once("none".to_owned());
        Self {
            routes: routes.iter().cloned().chain(none).map(RouteMetrics::new).collect(),
            suppliers: suppliers.iter().cloned().map(SupplierMetrics::new).collect(),
            refusals: std::iter::repeat_with(Count::default).take(REASONS).collect(),
            requests_started: Count::default(),
            requests_finished: Count::default(),
            accepted: Count::default(),
            accept_errors: Count::default(),
            strikes_sent: Count::default(),
            feedback_dropped: Count::default(),
            log_dropped: Count::default(),
            log_failed: Count::default(),
        }
    }

    pub(crate) fn request_started(&self) {
        self.requests_started.add(1);
    }

    pub(crate) fn refused(&self, reason: Reason) {
        if let Some(count) = self.refusals.get(usize::from(reason.number())) {
            count.add(1);
        }
    }

    pub(crate) fn refusals(&self, reason: Reason) -> u64 {
        self.refusals.get(usize::from(reason.number())).map_or(0, Count::get)
    }

    pub(crate) fn supplier(&self, supplier: usize, outcome: Outcome) {
        let of = self.suppliers.get(supplier);
        if let Some(count) = of.and_then(|of| of.outcomes.get(outcome as usize)) {
            count.add(1);
        }
    }

    pub(super) fn finished(&self, report: &Report<'_>) {
        self.requests_finished.add(1);
        let route = match report.route {
            Some((place, _)) => self.routes.get(place),
            None => self.routes.last(),
        };
        let Some(route) = route else { return };
        let class = usize::from(report.status / 100).min(CLASSES.len() - 1);
        let count = route.requests.get(method(report.method)).and_then(|of| of.get(class));
        if let Some(count) = count {
            count.add(1);
        }
        route.durations.observe(report.total);
    }
}

impl RouteMetrics {
    fn new(name: String) -> Self {
        Self { name, requests: Default::default(), durations: Histogram::default() }
    }

    /// Every count that is not zero, with its method and class.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let by_method = METHODS.iter().zip(&self.requests);
        let all = by_method.flat_map(|(method, counts)| {
            CLASSES.iter().zip(counts).map(|(class, count)| (*method, *class, count.get()))
        });
        all.filter(|(_, _, count)| *count > 0)
    }
}

impl SupplierMetrics {
    fn new(name: String) -> Self {
        Self { name, outcomes: Default::default() }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::ALL
            .iter()
            .zip(&self.outcomes)
            .map(|(outcome, count)| (outcome.label(), count.get()))
    }
}

impl Histogram {
    fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
        self.micros.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Sum in seconds, count, and each bucket by itself with its upper bound.
    pub(crate) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().copied().chain(std::iter::once(f64::MAX));
        let buckets: Vec<_> =
            bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.get())).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (Duration::from_micros(self.micros.get()).as_secs_f64(), count, buckets)
    }
}

fn method(method: &Method) -> usize {
    METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1)
}
