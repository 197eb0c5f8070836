//! What waits to be told to the guard besides strikes: few and small messages, so that a flood of
//! strikes never crowds them out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use crate::ipc::message::FromProxy;

/// Messages that may wait.
pub(crate) const QUEUE: usize = 256;

/// The sending end.
#[derive(Debug, Clone)]
pub(crate) struct Asks {
    queue: mpsc::Sender<FromProxy>,
    dropped: Arc<AtomicU64>,
}

impl Asks {
    pub(crate) fn new() -> (Self, mpsc::Receiver<FromProxy>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue, dropped: Arc::default() }, waiting)
    }

    /// Queues a message; false, and counted, where the guard is too far behind.
    pub(crate) fn tell(&self, message: FromProxy) -> bool {
        let taken = self.queue.try_send(message).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Relaxed);
        }
        taken
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}
