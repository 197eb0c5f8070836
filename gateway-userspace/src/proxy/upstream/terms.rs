//! What a request asks of its supplier beyond being answered.

use std::time::{Duration, Instant};

use crate::config::model::Retry;

/// A request's own waits, key and retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'r> {
    /// When all has to be over.
    pub(crate) deadline: Instant,
    /// Until the response head; `None` is the supplier's own.
    pub(crate) first_byte: Option<Duration>,
    /// What a target is chosen by, where one is chosen so.
    pub(crate) key: Option<u64>,
    pub(crate) retry: Option<&'r Retry>,
}

impl From<Instant> for Terms<'_> {
    fn from(deadline: Instant) -> Self {
        Self { deadline, first_byte: None, key: None, retry: None }
    }
}
