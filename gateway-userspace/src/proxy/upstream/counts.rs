//! What happened at one target, on all workers, for `gateway status`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dialed: AtomicU64,
    pub(super) dial_failed: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) busy: AtomicU64,
    /// HTTP/1.1 connections, and h2 streams, at this moment.
    pub(super) taken: AtomicU64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counts {
    pub(super) fn status(&self) -> Value {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        json!({
            "answered": read(&self.answered),
            "failed": read(&self.failed),
            "retried": read(&self.retried),
            "dialed": read(&self.dialed),
            "dial_failed": read(&self.dial_failed),
            "reused": read(&self.reused),
            "busy": read(&self.busy),
            "taken": read(&self.taken),
        })
    }
}
