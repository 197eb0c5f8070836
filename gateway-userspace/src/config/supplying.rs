//! How a supplier is treated: the part of the model that says which target takes a request, when
//! one is left alone, and what a supplier in trouble may cost.

use std::time::Duration;

use http::HeaderName;

use super::model::Pair;

/// What all targets of a supplier have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub balance: Balance,
    /// A target that comes back gets its full part only after this long; zero is at once.
    pub slow_start: Duration,
    pub health: Option<Health>,
    pub ejection: Option<Ejection>,
    pub breaker: Option<Breaker>,
    pub bound: Option<Bound>,
    /// Retries per hundred requests.
    pub retry_budget: u32,
    /// Where they differ from `proxy.timeouts`.
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    /// Shown to targets that ask for one.
    pub certificate: Option<Pair>,
    /// SHA-256 of public keys (SPKI), one of which a target must have; empty takes any that the
    /// authorities vouch for.
    pub pins: Vec<[u8; 32]>,
}

/// Which target takes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// Of two, the one with fewer requests under way.
    LeastRequest,
    RoundRobin,
    /// The same target for the same key, as long as it can be reached.
    Hash(HashKey),
}

/// What a target is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The authenticated client, else the address.
    Client,
    Address,
    Header(HeaderName),
    Cookie(String),
}

/// Questions to each target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub path: String,
    pub every: Duration,
    pub timeout: Duration,
    /// Good answers in a row that bring a target back.
    pub healthy: u32,
    /// Bad ones in a row that take it out.
    pub unhealthy: u32,
    /// Good statuses; empty takes any of 200 to 299.
    pub statuses: Vec<u16>,
}

/// A target that fails requests is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Faults in a row.
    pub faults: u32,
    /// Doubles each time it happens again, up to `longest`.
    pub first: Duration,
    pub longest: Duration,
    /// Targets that may be left alone at once, in percent.
    pub share: u32,
}

/// A supplier whose requests mostly fail gets none for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Failed requests, in percent.
    pub faults: u32,
    /// Of at least so many.
    pub requests: u32,
    /// Within this time.
    pub window: Duration,
    /// How long it gets none; doubles while the request sent then fails too.
    pub open: Duration,
}

/// Requests under way at a supplier, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    pub most: u32,
    /// Requests that may wait for room.
    pub queue: u32,
    pub wait: Duration,
}

/// When a route's request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// After the first.
    pub attempts: u8,
    /// Answers that are not taken for one.
    pub statuses: Vec<u16>,
    /// Any method may be repeated, with a body of up to 64 KiB; else only safe ones without.
    pub idempotent: bool,
}
