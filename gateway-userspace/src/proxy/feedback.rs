//! Turns refusals and successes into words for the guard, which decides what follows from them.
//! Never blocks a request: what does not fit the queue is dropped and counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use tokio::sync::mpsc;

use super::source;
use crate::{
    clock,
    config::model::Bans,
    ipc::message::FromProxy,
    telemetry::{Metrics, StrikeOutcome},
};

/// Strikes and trust that may wait for the guard.
pub(crate) const QUEUE: usize = 4096;

/// One source is reported trusted at most this often; the guard's `bans.trust` is minutes.
const TRUST_EVERY: Duration = Duration::from_secs(5);

/// Sources a worker remembers having reported.
const TRUSTED: usize = 8192;

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Feedback {
    queue: mpsc::Sender<FromProxy>,
    /// Reasons whose weight the configuration changed to or from zero.
    weights: Vec<(Reason, u32)>,
}

impl Feedback {
    pub(crate) fn new(bans: &Bans, queue: mpsc::Sender<FromProxy>) -> Self {
        Self { queue, weights: bans.weights.clone() }
    }

    /// For another configuration, to the same guard.
    pub(crate) fn succeed(&self, bans: &Bans) -> Self {
        Self::new(bans, self.queue.clone())
    }

    /// Reports a refusal that is evidence against its source.
    pub(crate) fn strike(
        &self,
        source: IpAddr,
        reason: Reason,
        behind_proxy: bool,
        metrics: &Metrics,
    ) {
        if self.weight(reason) == 0 {
            return;
        }
        let strike = FromProxy::Strike {
            source,
            reason: reason.number(),
            at_ns: clock::monotonic_ns(),
            behind_proxy,
        };
        match self.queue.try_send(strike) {
            Ok(()) => metrics.strike(StrikeOutcome::Sent),
            Err(_full_or_closed) => metrics.strike(StrikeOutcome::Dropped),
        }
    }

    /// Whether it will be heard.
    fn trust(&self, source: IpAddr, metrics: &Metrics) -> bool {
        let sent = self.queue.try_send(FromProxy::Trust { source }).is_ok();
        if !sent {
            metrics.strike(StrikeOutcome::Dropped);
        }
        sent
    }

    fn weight(&self, reason: Reason) -> u32 {
        let changed = self.weights.iter().find(|(changed, _)| *changed == reason);
        changed.map_or(reason.info().strike, |(_, weight)| *weight)
    }
}

/// Sources a worker reported a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    until: HashMap<IpAddr, Instant>,
}

impl Trusted {
    /// Reports `source`, unless it just was.
    pub(crate) fn report(
        &mut self,
        source: IpAddr,
        now: Instant,
        feedback: &Feedback,
        metrics: &Metrics,
    ) {
        let key = source::counted(source);
        if self.until.get(&key).is_some_and(|until| *until > now) {
            return;
        }
        if self.until.len() >= TRUSTED {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= TRUSTED {
            metrics.strike(StrikeOutcome::Dropped);
            return;
        }
        // What a flood of strikes crowded out is said again with the next success: this word is all
        // that keeps the source from a ban.
        if feedback.trust(source, metrics) {
            self.until.insert(key, now + TRUST_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::proxy::testing;

    const SOURCE: &str = "192.0.2.7";

    fn feedback(size: usize) -> (Feedback, mpsc::Receiver<FromProxy>, Arc<Metrics>) {
        let (queue, waiting) = mpsc::channel(size);
        let mut bans = testing::config().bans;
        bans.weights = vec![(Reason::RouteUnknown, 0), (Reason::Overloaded, 3)];
        (Feedback::new(&bans, queue), waiting, Metrics::new(&testing::config()))
    }

    #[test]
    fn strikes_only_for_reasons_with_a_weight() {
        let (feedback, mut waiting, metrics) = feedback(8);
        let source: IpAddr = SOURCE.parse().unwrap();
        for reason in [Reason::RouteUnknown, Reason::SupplierBusy, Reason::Overloaded] {
            feedback.strike(source, reason, false, &metrics);
        }
        let strike = waiting.try_recv().unwrap();
        let overloaded = Reason::Overloaded.number();
        assert!(matches!(strike, FromProxy::Strike { reason, .. } if reason == overloaded));
        assert!(waiting.try_recv().is_err());
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (feedback, _waiting, metrics) = feedback(1);
        let source: IpAddr = SOURCE.parse().unwrap();
        for _ in 0..5 {
            feedback.strike(source, Reason::PathInvalid, false, &metrics);
        }
        let text = metrics.expose(None);
        assert!(text.contains("gateway_strikes_total{outcome=\"sent\"} 1"), "{text}");
        assert!(text.contains("gateway_strikes_total{outcome=\"dropped\"} 4"), "{text}");
    }

    #[test]
    fn trust_that_found_no_room_is_said_again() {
        let (feedback, mut waiting, metrics) = feedback(1);
        let source: IpAddr = SOURCE.parse().unwrap();
        feedback.strike(source, Reason::PathInvalid, false, &metrics);
        let mut trusted = Trusted::default();
        let now = clock::now();
        trusted.report(source, now, &feedback, &metrics);
        assert!(matches!(waiting.try_recv(), Ok(FromProxy::Strike { .. })));
        trusted.report(source, now, &feedback, &metrics);
        assert_eq!(waiting.try_recv(), Ok(FromProxy::Trust { source }));
    }

    #[test]
    fn a_source_is_trusted_once_in_a_while() {
        let (feedback, mut waiting, metrics) = feedback(8);
        let source: IpAddr = SOURCE.parse().unwrap();
        let mut trusted = Trusted::default();
        let start = clock::now();
        for second in [0, 1, 4, 6] {
            let now = start + Duration::from_secs(second);
            trusted.report(source, now, &feedback, &metrics);
        }
        assert!(waiting.try_recv().is_ok() && waiting.try_recv().is_ok());
        assert!(waiting.try_recv().is_err());
    }
}
