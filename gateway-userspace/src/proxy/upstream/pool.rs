//! Connections at rest, and how many there may be. A connection comes home from inside a response
//! body, which hyper's server wants to be able to move between threads: hence a channel, and not a
//! shared deque.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

use super::link::Http1;

/// Idle HTTP/1.1 connections of one target.
pub(super) struct Pool {
    home: mpsc::Sender<Http1>,
    arrivals: RefCell<mpsc::Receiver<Http1>>,
    /// With the sweep during which each came home; the last to come is the first to go out again.
    idle: RefCell<VecDeque<(u64, Http1)>>,
    sweeps: Cell<u64>,
}

impl Pool {
    /// Room for all connections that `bound` lets exist.
    pub(super) fn new(bound: usize) -> Self {
        let (home, arrivals) = mpsc::channel(bound.max(1));
        Self {
            home,
            arrivals: RefCell::new(arrivals),
            idle: RefCell::default(),
            sweeps: Cell::new(0),
        }
    }

    /// Where a connection goes when its exchange is over.
    pub(super) fn home(&self) -> mpsc::Sender<Http1> {
        self.home.clone()
    }

    /// The connection used last that can take a request. Those that died at rest fall away.
    pub(super) fn take(&self) -> Option<Http1> {
        self.welcome();
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop_back())
            .map(|(_, connection)| connection)
            .find(Http1::is_ready)
    }

    /// Puts a connection to rest.
    pub(super) fn put(&self, connection: Http1) {
        self.idle.borrow_mut().push_back((self.sweeps.get(), connection));
    }

    /// How many are at rest.
    pub(super) fn len(&self) -> usize {
        self.welcome();
        self.idle.borrow().len()
    }

    /// Ends connections that the supplier closed, and those at rest since before the last sweep.
    pub(super) fn sweep(&self) {
        self.welcome();
        let sweep = self.sweeps.get();
        self.sweeps.set(sweep + 1);
        let resting = self.idle.take();
        let mut kept = self.idle.borrow_mut();
        for (since, connection) in resting {
            if since < sweep || !connection.is_ready() {
                connection.retire();
            } else {
                kept.push_back((since, connection));
            }
        }
    }

    fn welcome(&self) {
        let mut arrivals = self.arrivals.borrow_mut();
        while let Ok(connection) = arrivals.try_recv() {
            self.put(connection);
        }
    }
}

/// A bounded number of places.
pub(super) struct Places {
    taken: Arc<AtomicUsize>,
    bound: usize,
}

/// One of them; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(bound: usize) -> Self {
        Self { taken: Arc::default(), bound }
    }

    pub(super) fn take(&self) -> Option<Place> {
        // Only this worker takes; a place freed elsewhere meanwhile errs on the full side.
        if !self.have_room() {
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(&self.taken)))
    }

    pub(super) fn have_room(&self) -> bool {
        self.taken() < self.bound
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
