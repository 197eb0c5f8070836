//! Connections of one worker to one target. HTTP/1.1 ones are lent whole and kept in a stack, so
//! that the warmest is used again; h2 ones are shared by streams. Their number is bounded: past
//! it, a request is refused at once rather than queued.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use hyper::client::conn::{http1, http2};
use tokio::sync::Mutex;

use super::dial::{Connected, DialFault, Dialer};
use crate::{clock, proxy::pipeline::body::RequestBody};

/// An idle connection older than this is not trusted to be still open at the other end.
const IDLE: Duration = Duration::from_mins(1);

/// Streams of one h2 connection, at most, whatever the supplier offers.
const STREAMS: usize = 1024;

/// What a target spoke when last dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Http1,
    Http2,
}

/// The connections to one target.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) dialer: Dialer,
    idle: RefCell<VecDeque<Idle>>,
    shared: RefCell<Vec<Stream>>,
    open: Rc<Cell<u32>>,
    most: u32,
    speaks: Cell<Speaks>,
    /// Held while the first connection tells what the target speaks, and to open h2 ones one by
    /// one: a burst must not open a connection a request.
    dialing: Mutex<()>,
}

/// A right to use a connection.
#[derive(Debug)]
pub(crate) enum Lease {
    Whole(Whole),
    Stream(Stream),
}

/// An HTTP/1.1 connection.
pub(crate) struct Whole {
    pub(crate) sender: http1::SendRequest<RequestBody>,
    pool: Rc<Pool>,
    /// It carried a request before: the supplier may have closed it meanwhile.
    pub(crate) reused: bool,
}

/// One of the streams of an h2 connection; each clone counts.
pub(crate) struct Stream {
    pub(crate) sender: http2::SendRequest<RequestBody>,
    in_flight: Rc<Cell<usize>>,
    /// Streams the supplier allows at this moment.
    offered: Rc<Cell<usize>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// Counts an open connection until its task ends.
#[derive(Debug)]
pub(crate) struct Permit(Rc<Cell<u32>>);

impl Pool {
    pub(crate) fn new(dialer: Dialer, most: u32) -> Rc<Self> {
        Rc::new(Self {
            dialer,
            idle: RefCell::default(),
            shared: RefCell::default(),
            open: Rc::default(),
            most,
            speaks: Cell::new(Speaks::Unknown),
            dialing: Mutex::new(()),
        })
    }

    /// A connection: a pooled one unless `fresh`, else a new one.
    pub(crate) async fn lease(self: &Rc<Self>, fresh: bool) -> Result<Lease, DialFault> {
        if !fresh && let Some(lease) = self.pooled().await {
            return Ok(lease);
        }
        if self.speaks.get() == Speaks::Http1 {
            return self.dial().await;
        }
        let first = self.dialing.lock().await;
        // Whoever waited may find what the first one opened.
        if let Some(lease) = self.stream() {
            return Ok(lease);
        }
        if self.speaks.get() == Speaks::Http1 {
            drop(first);
        }
        self.dial().await
    }

    /// Closes what nobody used for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| {
            !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < IDLE
        });
        self.shared.borrow_mut().retain(|stream| !stream.sender.is_closed());
    }

    async fn pooled(self: &Rc<Self>) -> Option<Lease> {
        if let Some(lease) = self.stream() {
            return Some(lease);
        }
        loop {
            let mut idle = self.idle.borrow_mut().pop_back()?;
            let age = clock::now().saturating_duration_since(idle.since);
            // Given back a moment ago, its task may still have to notice the end of the response.
            if age < IDLE && idle.sender.ready().await.is_ok() {
                let whole = Whole { sender: idle.sender, pool: Rc::clone(self), reused: true };
                return Some(Lease::Whole(whole));
            }
        }
    }

    fn stream(&self) -> Option<Lease> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|stream| !stream.sender.is_closed());
        shared.iter().find(|stream| stream.has_room()).map(|stream| Lease::Stream(stream.share()))
    }

    async fn dial(self: &Rc<Self>) -> Result<Lease, DialFault> {
        let permit = self.permit().ok_or(DialFault::Busy)?;
        match self.dialer.connect(permit).await? {
            Connected::Http1(sender) => {
                self.speaks.set(Speaks::Http1);
                let pool = Rc::clone(self);
                Ok(Lease::Whole(Whole { sender, pool, reused: false }))
            }
            Connected::Http2(sender, offered) => {
                self.speaks.set(Speaks::Http2);
                let stream = Stream { sender, in_flight: Rc::default(), offered };
                let lease = stream.share();
                self.shared.borrow_mut().push(stream);
                Ok(Lease::Stream(lease))
            }
        }
    }

    fn permit(&self) -> Option<Permit> {
        if self.open.get() >= self.most {
            // An idle connection that is about to close still counts; make room.
            self.sweep(clock::now());
        }
        if self.open.get() >= self.most {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Permit(Rc::clone(&self.open)))
    }
}

impl Lease {
    /// The response is read to its end: an HTTP/1.1 connection waits for the next request.
    pub(crate) fn give_back(self) {
        if let Self::Whole(Whole { sender, pool, .. }) = self
            && !sender.is_closed()
        {
            pool.idle.borrow_mut().push_back(Idle { sender, since: clock::now() });
        }
    }

    pub(crate) fn reused(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.reused,
            // Any stream but the first may meet a connection that is going away.
            Self::Stream(_) => true,
        }
    }
}

impl Stream {
    fn has_room(&self) -> bool {
        self.in_flight.get() < self.offered.get().clamp(1, STREAMS)
    }

    fn share(&self) -> Self {
        self.in_flight.set(self.in_flight.get() + 1);
        Self {
            sender: self.sender.clone(),
            in_flight: Rc::clone(&self.in_flight),
            offered: Rc::clone(&self.offered),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("reused", &self.reused).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
