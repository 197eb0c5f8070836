//! The values that labels may have, and where each stands in its family.

use gateway_common::{Reason, reason::Plane};

/// Methods with a label of their own. Any other string a client sends is `other`.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// Label values of `state`: what is known of names of suppliers: addresses, addresses whose time is over, or nothing.
pub const NAME_STATES: [&str; 3] = ["found", "stale", "without"];

/// Label values of `state`: what a target can be, as `gateway status` names it.
pub const TARGET_STATES: [&str; 5] = ["available", "ejected", "unhealthy", "resting", "unresolved"];

/// Label values of `status_class`; the last is for a request without an answer.
pub(super) const STATUS_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// What became of a request to a supplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SupplierOutcome {
    /// An answer with a status below 500.
    Answered,
    /// An answer with a status of 500 or above.
    ServerError,
    Unreachable,
    Timeout,
    Malformed,
    Busy,
    /// Broken off by the client or by a bound of ours.
    Aborted,
}

/// What became of a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrikeOutcome {
    /// Handed to the guard.
    Sent,
    /// The queue to the guard was full, or there is no guard.
    Dropped,
}

/// What became of the copy of a request for a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// Answered, with whatever status.
    Answered,
    Failed,
    /// Too many copies were under way, or the body was over the mirror's cap.
    Dropped,
}

/// What became of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOutcome {
    Written,
    /// The queue was full, or the log is closing.
    Dropped,
    /// The file, pipe or disk refused it.
    Failed,
}

/// What became of reading certificate files again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalOutcome {
    Taken,
    /// For at least one file the last good one stays.
    Refused,
}

impl RenewalOutcome {
    /// Label values in the order of the variants.
    pub(super) const NAMES: [&'static str; 2] = ["taken", "refused"];
}

/// What became of an order for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderOutcome {
    Issued,
    /// The one before stays, and it is tried again.
    Failed,
}

impl OrderOutcome {
    /// Label values in the order of the variants.
    pub(super) const NAMES: [&'static str; 2] = ["issued", "failed"];
}

/// Whose keys are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// By address, before a route is known.
    Anonymous,
    /// Of the route with this index.
    Route(usize),
}

impl SupplierOutcome {
    /// Label values in the order of the variants.
    pub(super) const NAMES: [&'static str; 7] =
        ["answered", "server_error", "unreachable", "timeout", "malformed", "busy", "aborted"];

    /// Reasons that are the supplier's doing.
    const FAULTS: [(Reason, Self); 7] = [
        (Reason::SupplierBody, Self::Malformed),
        (Reason::SupplierQueue, Self::Busy),
        (Reason::SupplierOpen, Self::Unreachable),
        (Reason::SupplierUnreachable, Self::Unreachable),
        (Reason::SupplierTimeout, Self::Timeout),
        (Reason::SupplierMalformed, Self::Malformed),
        (Reason::SupplierBusy, Self::Busy),
    ];

    pub(super) fn of(reason: Option<Reason>, status: u16) -> Self {
        let Some(reason) = reason else {
            return if status >= 500 { Self::ServerError } else { Self::Answered };
        };
        let fault = Self::FAULTS.into_iter().find(|(known, _)| *known == reason);
        fault.map_or(Self::Aborted, |(_, outcome)| outcome)
    }
}

pub(super) fn refusal_reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| reason.info().plane == Plane::Request)
}

pub(super) fn method_position(method: &str) -> usize {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len())
}

pub(super) fn class_position(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status / 100 - 1),
        _ => STATUS_CLASSES.len() - 1,
    }
}
