//! The thread that writes: as many lines with one system call as are waiting.

use std::{
    io::{self, Write},
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    thread,
    time::Duration,
};

use tracing::{info, warn};

use super::{Message, State};
use crate::telemetry::LineOutcome;

/// Bytes written at once, at least while lines are waiting.
const BATCH_BYTES: usize = 64 * 1024;

/// How long lines gather once there is one. A writer that waits for each is woken by each: on a
/// busy processor that cost a third of a request in switches between the two threads.
const GATHER: Duration = Duration::from_millis(5);

/// A queue from this on takes what comes meanwhile: 200,000 lines a second.
const ROOMY: usize = 1024;

pub(super) struct Writer<W> {
    file: W,
    state: Arc<State>,
    batch: Vec<u8>,
    gather: Duration,
    /// The last line written is not whole: the next batch starts on a line of its own.
    torn: bool,
    /// The last write failed.
    broken: bool,
}

impl<W: Write> Writer<W> {
    /// `queue` lines may wait.
    pub(super) fn new(file: W, state: Arc<State>, queue: usize) -> Self {
        let gather = if queue < ROOMY { Duration::ZERO } else { GATHER };
        Self { file, state, batch: Vec::new(), gather, torn: false, broken: false }
    }

    /// Until every sender is gone, or the log closes and nothing waits.
    pub(super) fn run(mut self, waiting: &Receiver<Message>) {
        while let Ok(first) = waiting.recv() {
            self.take(first);
            if !self.state.closing.load(Ordering::Relaxed) {
                // Nobody ends it early.
                thread::park_timeout(self.gather);
            }
            while self.fill(waiting) {
                self.flush();
            }
            if self.state.closing.load(Ordering::Relaxed) {
                break;
            }
        }
        self.drain(waiting);
    }

    /// Takes what waits, up to a batch. Says whether there is anything to write.
    fn fill(&mut self, waiting: &Receiver<Message>) -> bool {
        while self.batch.len() < BATCH_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            self.take(next);
        }
        !self.batch.is_empty()
    }

    /// What was queued before the log closed. The queue is bounded and nothing is added to it.
    fn drain(&mut self, waiting: &Receiver<Message>) {
        for message in waiting.try_iter() {
            self.take(message);
            if self.batch.len() >= BATCH_BYTES {
                self.flush();
            }
        }
        self.flush();
    }

    pub(super) fn take(&mut self, message: Message) {
        if let Message::Line(line) = message {
            self.batch.extend_from_slice(&line);
        }
    }

    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let (written, result) = self.write_batch();
        let (done, lost) = self.batch.split_at_checked(written).unwrap_or_default();
        self.torn |= done.last().is_some_and(|byte| *byte != b'\n');
        self.state.metrics.access_log_lines(LineOutcome::Written, line_ends(done));
        self.state.metrics.access_log_lines(LineOutcome::Failed, line_ends(lost));
        self.say_change(result.err());
        self.batch.clear();
    }

    /// How many bytes of the batch were written, and what stopped the rest.
    fn write_batch(&mut self) -> (usize, io::Result<()>) {
        if self.torn {
            match self.file.write_all(b"\n") {
                Ok(()) => self.torn = false,
                Err(error) => return (0, Err(error)),
            }
        }
        let mut written = 0;
        while let Some(rest) = self.batch.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// A full disk fails every batch: said once, and once when it is over.
    fn say_change(&mut self, error: Option<io::Error>) {
        match (error, self.broken) {
            (Some(error), false) => warn!(%error, "access log lines cannot be written"),
            (None, true) => info!("access log lines are written again"),
            (Some(_), true) | (None, false) => return,
        }
        self.broken = !self.broken;
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
