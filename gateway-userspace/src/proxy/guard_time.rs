//! The guard's wall clock. The system's own may start in 1970, or be set at any moment; expired API
//! keys would be valid again. What the guard last said holds without it, by `CLOCK_MONOTONIC`.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{self, Wall};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct GuardTime {
    ahead: AtomicI64,
}

impl GuardTime {
    pub(crate) fn new(ahead: i64) -> Self {
        Self { ahead: AtomicI64::new(ahead) }
    }

    /// The guard's clock was set, or has drifted.
    pub(crate) fn set(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    pub(crate) fn wall(&self) -> Wall {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Wall::ahead_of_monotonic(ahead, clock::monotonic_ns())
    }
}
