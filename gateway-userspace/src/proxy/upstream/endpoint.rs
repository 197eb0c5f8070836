//! One address of a target, as all workers know it: its standing, and whether it can be reached.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    choose::hash,
    counts::Counts,
    member::{Member, Standing, nanos},
};
use crate::{clock, telemetry::TARGET_STATES};

/// One that could not be connected to is asked last for this long.
const REST: Duration = Duration::from_secs(2);

/// An address of a target.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// The place of its target in the supplier.
    pub(super) target: usize,
    pub(super) member: Member,
    /// Its target's.
    pub(super) counts: Arc<Counts>,
    /// What keys are spread by: the same wherever else in the list it stands.
    pub(super) mark: u64,
    /// On the monotonic clock, in nanoseconds; 0 for one that can be reached.
    rests_until: AtomicU64,
    /// The name does not lead here any more: what is under way ends, and nothing new begins.
    gone: AtomicBool,
}

impl Endpoint {
    /// With what an earlier one knows of being reached.
    pub(super) fn new(
        (address, target): (SocketAddr, usize),
        member: Member,
        counts: &Arc<Counts>,
        earlier: Option<&Self>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            target,
            member,
            counts: Arc::clone(counts),
            mark: hash((target, address)),
            rests_until: AtomicU64::new(earlier.map_or(0, |e| e.rests_until.load(Relaxed))),
            gone: AtomicBool::new(false),
        })
    }

    /// Whether requests may be sent there before others that may not.
    pub(super) fn is_good(&self, now: u64) -> bool {
        self.member.is_available(now) && !self.rests() && !self.is_gone()
    }

    /// Whether connecting failed a moment ago.
    pub(super) fn rests(&self) -> bool {
        let until = self.rests_until.load(Relaxed);
        until != 0 && clock::monotonic_ns() < until
    }

    /// Notes what came of connecting.
    pub(super) fn reached(&self, reached: bool) {
        let until = if reached { 0 } else { clock::monotonic_ns().saturating_add(nanos(REST)) };
        self.rests_until.store(until, Relaxed);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// The name leads here no more, or again.
    pub(super) fn leave(&self, gone: bool) {
        self.gone.store(gone, Relaxed);
    }

    pub(super) fn state(&self, now: u64) -> &'static str {
        let [available, ejected, unhealthy, resting, _unresolved] = TARGET_STATES;
        match self.member.standing(now) {
            Standing::Ejected { .. } => ejected,
            Standing::Unhealthy => unhealthy,
            Standing::Available if self.rests() => resting,
            Standing::Available => available,
        }
    }

    pub(super) fn why(&self, now: u64) -> String {
        match self.member.standing(now) {
            Standing::Ejected { left } => {
                format!("its requests failed; back in {} s", left.as_secs() + 1)
            }
            Standing::Unhealthy => "it does not answer health checks as it should".to_owned(),
            Standing::Available => String::new(),
        }
    }

    pub(super) fn status(&self, now: u64) -> Value {
        json!({
            "address": self.address,
            "state": self.state(now),
            "why": self.why(now),
            "in_flight": self.member.in_flight(),
            "latency_us": self.member.latency_us(),
            "ejections": self.member.ejections(),
        })
    }
}
