//! Connections at rest, and how many there may be.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{counts::count, endpoint::Endpoint, link::Http1};

/// Idle HTTP/1.1 connections of one target; no more than there are places.
#[derive(Default)]
pub(super) struct Pool {
    /// With the sweep during which each came home; the last to come is the first to go out again.
    idle: RefCell<VecDeque<(u64, Http1)>>,
    sweeps: Cell<u64>,
}

impl Pool {
    /// The connection used last that can take a request. Those that died at rest fall away.
    pub(super) fn take(&self) -> Option<Http1> {
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
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Ends connections that the supplier closed, and those at rest since before the last sweep.
    pub(super) fn sweep(&self) {
        let sweep = self.sweeps.get();
        self.sweeps.set(sweep.wrapping_add(1));
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
}

/// A bounded number of places at a target.
pub(super) struct Places {
    taken: Rc<Cell<usize>>,
    bound: usize,
    endpoint: Arc<Endpoint>,
}

/// One of them; dropping it frees it.
pub(super) struct Place {
    taken: Rc<Cell<usize>>,
    endpoint: Arc<Endpoint>,
}

impl Places {
    pub(super) fn new(bound: usize, endpoint: Arc<Endpoint>) -> Self {
        Self { taken: Rc::default(), bound, endpoint }
    }

    pub(super) fn take(&self) -> Option<Place> {
        if !self.have_room() {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        count(&self.endpoint.counts.taken);
        Some(Place { taken: Rc::clone(&self.taken), endpoint: Arc::clone(&self.endpoint) })
    }

    pub(super) fn have_room(&self) -> bool {
        self.taken.get() < self.bound
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.set(self.taken.get().saturating_sub(1));
        self.endpoint.counts.taken.fetch_sub(1, Relaxed);
    }
}
