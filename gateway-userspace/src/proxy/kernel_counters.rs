//! The kernel's counters, asked of the guard at a scrape, with an end to the wait.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::outbox::Asks;
use crate::ipc::message::{FromProxy, KernelReport};

/// A scrape does not wait longer for a guard that is away or busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// Scrapes that may wait at once; as many as the admin listener has connections.
const WAITING: usize = 16;

/// Questions that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct KernelCounters {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<KernelReport>>>,
}

impl KernelCounters {
    /// Asks the guard; `None` where it does not answer in time.
    pub(crate) async fn ask(&self, asks: &Asks) -> Option<KernelReport> {
        let id = self.next.fetch_add(1, Relaxed);
        let (answer, waiting) = oneshot::channel();
        if !self.wait(id, answer) || !asks.tell(FromProxy::KernelCounters { id }) {
            self.forget(id);
            return None;
        }
        let report = timeout(PATIENCE, waiting).await;
        self.forget(id);
        report.ok()?.ok()
    }

    /// The guard answered. An answer nobody waits for any longer is dropped.
    pub(crate) fn answer(&self, id: u64, report: KernelReport) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if waiting.is_none_or(|waiting| waiting.send(report).is_err()) {
            tracing::debug!(id, "the guard's counters came too late");
        }
    }

    fn wait(&self, id: u64, answer: oneshot::Sender<KernelReport>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return false;
        }
        waiting.insert(id, answer);
        true
    }

    fn forget(&self, id: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
