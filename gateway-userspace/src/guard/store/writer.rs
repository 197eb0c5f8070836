//! The thread that writes. The event loop hands it batches over a bounded queue and goes on; a
//! command that must be durable waits for its own batch.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::{Change, StoreError, Stored, database::Database};

/// Batches that may wait for the disk.
const QUEUE: usize = 256;

/// Changes kept while the queue is full or the disk fails; what comes on top is counted and lost.
const BACKLOG: usize = 2_000_000;

/// How soon a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Says when a batch is on the disk, or why it is not.
pub(crate) type Durable = oneshot::Receiver<Result<(), String>>;

/// The guard's end of the store.
#[derive(Debug)]
pub(crate) struct Store {
    queue: Option<SyncSender<Batch>>,
    backlog: VecDeque<Batch>,
    backlog_changes: usize,
    meter: Arc<Meter>,
    thread: Option<JoinHandle<()>>,
}

/// What the store counts.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    errors: AtomicU64,
    lost: AtomicU64,
    pending: AtomicU64,
}

/// The numbers of a [`Meter`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Writes that failed.
    pub(crate) errors: u64,
    /// Changes that found no room to wait.
    pub(crate) lost: u64,
    /// Changes that wait for the disk to recover.
    pub(crate) pending: u64,
}

#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

impl Store {
    /// Opens the store in `folder`, reads it and starts the writer.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Stored), StoreError> {
        let database = Database::open(folder)?;
        let stored = database.load()?;
        let (queue, batches) = sync_channel(QUEUE);
        let meter = Arc::new(Meter::default());
        let writer = Writer::new(folder.to_owned(), database, Arc::clone(&meter));
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&batches))
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        let store = Self {
            queue: Some(queue),
            backlog: VecDeque::new(),
            backlog_changes: 0,
            meter,
            thread: Some(thread),
        };
        Ok((store, stored))
    }

    /// Hands changes to the writer without waiting for them.
    pub(crate) fn submit(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.enqueue(Batch { changes, done: None });
        }
        self.flush();
    }

    /// Hands changes to the writer; the receiver says when they are on the disk.
    pub(crate) fn submit_durable(&mut self, changes: Vec<Change>) -> Durable {
        let (done, durable) = oneshot::channel();
        self.enqueue(Batch { changes, done: Some(done) });
        self.flush();
        durable
    }

    /// What was counted.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            errors: self.meter.errors.load(Ordering::Relaxed),
            lost: self.meter.lost.load(Ordering::Relaxed),
            pending: self.meter.pending.load(Ordering::Relaxed),
        }
    }

    fn enqueue(&mut self, batch: Batch) {
        if self.backlog_changes.saturating_add(batch.changes.len()) > BACKLOG {
            self.meter.lose(batch.changes.len());
            return;
        }
        self.backlog_changes += batch.changes.len();
        self.backlog.push_back(batch);
    }

    fn flush(&mut self) {
        let Some(queue) = &self.queue else { return };
        while let Some(batch) = self.backlog.pop_front() {
            let changes = batch.changes.len();
            match queue.try_send(batch) {
                Ok(()) => self.backlog_changes -= changes,
                Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                    self.backlog.push_front(batch);
                    return;
                }
            }
        }
    }
}

impl Drop for Store {
    /// Waits until all that was handed over is written: a ban made just before the guard stops
    /// must be there when it starts.
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            for batch in self.backlog.drain(..) {
                if queue.send(batch).is_err() {
                    break;
                }
            }
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's thread panicked");
        }
    }
}

impl Meter {
    fn lose(&self, changes: usize) {
        self.lost.fetch_add(u64::try_from(changes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What a change is about: of two on the same thing the later one counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Ban(IpNet),
    Allow(IpNet),
    Key(String),
    Offender(IpNet),
    Policy,
    Seen,
}

impl Subject {
    fn of(change: &Change) -> Self {
        match change {
            Change::Ban(net, _) => Self::Ban(*net),
            Change::Allow(net, _) => Self::Allow(*net),
            Change::Key(id, _) => Self::Key(id.clone()),
            Change::Offender(net, _) => Self::Offender(*net),
            Change::Policy(_) => Self::Policy,
            Change::Seen(_) => Self::Seen,
        }
    }
}

struct Writer {
    folder: PathBuf,
    database: Option<Database>,
    /// Merged changes that are not on the disk.
    pending: BTreeMap<Subject, Change>,
    meter: Arc<Meter>,
    failing: bool,
}

impl Writer {
    fn new(folder: PathBuf, database: Database, meter: Arc<Meter>) -> Self {
        let pending = BTreeMap::new();
        Self { folder, database: Some(database), pending, meter, failing: false }
    }

    fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            match batches.recv_timeout(RETRY) {
                Ok(first) => {
                    self.write(std::iter::once(first).chain(batches.try_iter().take(QUEUE)));
                }
                Err(RecvTimeoutError::Timeout) => self.write(std::iter::empty()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Merges batches into one transaction and answers those who wait.
    fn write(&mut self, batches: impl Iterator<Item = Batch>) {
        let mut waiting = Vec::new();
        for batch in batches {
            batch.changes.into_iter().for_each(|change| self.merge(change));
            waiting.extend(batch.done);
        }
        let written = self.commit();
        self.report(written.as_ref().err());
        for done in waiting {
            let answer = written.as_ref().map_err(ToString::to_string).copied();
            // A caller that left does not need to know.
            drop(done.send(answer));
        }
    }

    fn merge(&mut self, change: Change) {
        let subject = Subject::of(&change);
        if self.pending.len() >= BACKLOG && !self.pending.contains_key(&subject) {
            self.meter.lose(1);
            return;
        }
        self.pending.insert(subject, change);
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // After a failed write redb refuses everything until it is opened again.
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.folder)?,
        };
        database.apply(self.pending.values())?;
        self.pending.clear();
        self.database = Some(database);
        Ok(())
    }

    fn report(&mut self, failure: Option<&StoreError>) {
        let pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        self.meter.pending.store(pending, Ordering::Relaxed);
        match failure {
            Some(error) => {
                self.meter.errors.fetch_add(1, Ordering::Relaxed);
                if !self.failing {
                    error!(%error, pending, "store not written; bans stay in force in the kernel");
                }
            }
            None if self.failing => info!("store written again"),
            None => {}
        }
        self.failing = failure.is_some();
    }
}
