//! A place among a bounded number of them, held until it is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// One of the places that a counter counts.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<AtomicU32>);

impl Ticket {
    /// `None` if `most` are taken.
    pub(crate) fn take(taken: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        // Counted first: two racing requests may both be refused, never both admitted.
        if taken.fetch_add(1, Relaxed) >= most {
            taken.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
