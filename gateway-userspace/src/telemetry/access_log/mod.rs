//! The access log: workers queue finished lines, one thread writes them.
//!
//! A worker never waits for a disk or for a reader of a pipe: a full queue drops the line and
//! counts it. A log that cannot be written is counted and said once, and never stops a request.

mod writer;

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fmt, fs, io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use thiserror::Error;

use super::{LineOutcome, Metrics, RequestRecord, line::Line};
use writer::Writer;

/// Why there is no access log.
#[derive(Debug, Error)]
pub enum AccessLogError {
    #[error("starting the access log's thread")]
    Thread(#[source] io::Error),
}

/// A handle to the log, for every worker one. The last one dropped ends the writer.
#[derive(Clone)]
pub struct AccessLog {
    queue: Option<Arc<Queue>>,
    /// Knows the names behind a record's positions.
    names: Arc<Metrics>,
}

struct Queue {
    lines: SyncSender<Message>,
    state: Arc<State>,
    /// Nothing is ever sent: it disconnects when the writer has ended.
    ended: Mutex<Receiver<Infallible>>,
}

/// What workers and the writer both look at.
struct State {
    metrics: Arc<Metrics>,
    closing: AtomicBool,
}

enum Message {
    Line(Vec<u8>),
    /// Wakes an idle writer, which then sees that the log is closing.
    Close,
}

impl AccessLog {
    /// Writes to `file`; without one (`log.access = "off"`) lines go nowhere and are not counted.
    /// At most `queue` lines wait.
    pub fn start(
        file: Option<OwnedFd>,
        queue: u32,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AccessLogError> {
        let names = Arc::clone(&metrics);
        let Some(file) = file else { return Ok(Self { queue: None, names }) };
        let bound = usize::try_from(queue).unwrap_or(usize::MAX).max(1);
        let (lines, waiting) = sync_channel(bound);
        let (end, ended) = sync_channel(0);
        let state = Arc::new(State { metrics, closing: AtomicBool::new(false) });
        let writer = Writer::new(fs::File::from(file), Arc::clone(&state), bound);
        // Owned through `ended`: `close` waits for it, and it ends with the last sender.
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                writer.run(&waiting);
                drop(end);
            })
            .map_err(AccessLogError::Thread)?;
        let queue = Queue { lines, state, ended: Mutex::new(ended) };
        Ok(Self { queue: Some(Arc::new(queue)), names })
    }

    /// The same log for requests of another configuration.
    pub fn with_names(&self, names: Arc<Metrics>) -> Self {
        Self { queue: self.queue.clone(), names }
    }

    /// Queues the line of a request, or counts it as dropped. Never waits.
    pub fn write(&self, record: &RequestRecord<'_>) {
        let Some(queue) = &self.queue else { return };
        let metrics = &self.names;
        let line = || Message::Line(Line::new(record, metrics).to_bytes());
        if queue.state.closing.load(Ordering::Relaxed) || queue.lines.try_send(line()).is_err() {
            metrics.access_log_lines(LineOutcome::Dropped, 1);
        }
    }

    /// Takes no more lines and waits until those queued are written, at most for `deadline`.
    /// False if they were not: a pipe that nobody reads holds the writer, not the caller.
    pub fn close(&self, deadline: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        queue.state.closing.store(true, Ordering::Relaxed);
        // A full queue has a busy writer, which looks by itself; an ended one needs no word.
        drop(queue.lines.try_send(Message::Close));
        let ended = queue.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(deadline), Err(RecvTimeoutError::Disconnected))
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("on", &self.queue.is_some()).finish_non_exhaustive()
    }
}
