//! One address of a target: its connections, and one exchange on one of them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use hyper::client::conn::http2;
use tokio::time::timeout_at;

use super::{
    UpstreamError,
    counts::{Counts, count},
    dial::{Dialed, Dialer},
    endpoint::Endpoint,
    error::{DialError, Wait},
    exchange::Name,
    flight::Flight,
    link::{Http1, Http2, Lane, Link},
    pool::{Place, Places, Pool},
    setup::PreparedTarget,
    upload::Upload,
};
use crate::config::model::{Protocol, Timeouts};

/// Addresses that share the time for connecting, at most: as many are tried for a request.
const MAX_SHARING: u32 = 3;

/// An address and its connections.
pub(super) struct Target {
    pub(super) name: Name,
    dialer: Dialer,
    pool: Rc<Pool>,
    /// HTTP/1.1 connections, open or opening, and h2 streams.
    places: Places,
    /// The h2 connection all requests share.
    shared: RefCell<Option<Shared>>,
    /// Opens the first connection, or a new shared one.
    flight: Rc<Flight<DialError>>,
    /// What the target spoke the last time; `Auto` is not known yet.
    speaks: Cell<Protocol>,
}

struct Shared {
    sender: http2::SendRequest<Upload>,
    /// Since the last sweep.
    used: Cell<bool>,
}

impl Target {
    pub(super) fn new(
        prepared: &PreparedTarget,
        endpoint: &Arc<Endpoint>,
        timeouts: &Timeouts,
    ) -> Rc<Self> {
        let PreparedTarget { name, protocol, tls, bound } = prepared;
        let speaks = match (*protocol, tls.is_some()) {
            (Protocol::Auto, true) => Protocol::Auto,
            (Protocol::Auto | Protocol::Http1, _) => Protocol::Http1,
            (Protocol::Http2, _) => Protocol::Http2,
        };
        let dialer = Dialer {
            endpoint: Arc::clone(endpoint),
            protocol: *protocol,
            tls: tls.clone(),
            connect: timeouts.connect,
            stall: timeouts.stall,
            sharing: Cell::new(1),
        };
        Rc::new(Self {
            name: name.clone(),
            dialer,
            pool: Rc::default(),
            places: Places::new(*bound, Arc::clone(endpoint)),
            shared: RefCell::new(None),
            flight: Flight::new(),
            speaks: Cell::new(speaks),
        })
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.dialer.endpoint
    }

    /// Of how many addresses of its name this one is.
    pub(super) fn share(&self, addresses: usize) {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        self.dialer.sharing.set(addresses.min(MAX_SHARING));
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.dialer.endpoint.counts
    }

    /// Something to send a request on: at rest or shared, else new. `fresh` leaves those at rest
    /// alone, as one of them has just turned out dead.
    pub(super) async fn link(
        self: &Rc<Self>,
        fresh: bool,
        deadline: Instant,
    ) -> Result<Link, UpstreamError> {
        if let Some(link) = self.existing(fresh)? {
            count(&self.counts().reused);
            return Ok(link);
        }
        let late = |_elapsed| self.late();
        if self.speaks.get() != Protocol::Http1 {
            let opening = self.flight.join(|| Rc::clone(self).open_shared());
            let opened = timeout_at(deadline.into(), opening).await.map_err(late)?;
            opened.map_err(|source| self.unreachable(source))?;
            if let Some(link) = self.existing(false)? {
                return Ok(Link { reused: false, ..link });
            }
        }
        timeout_at(deadline.into(), self.open_own()).await.map_err(late)?
    }

    fn existing(&self, fresh: bool) -> Result<Option<Link>, UpstreamError> {
        if let Some(sender) = self.shared_sender() {
            let place = self.place()?;
            return Ok(Some(Link { lane: Lane::Http2(Http2 { sender, place }), reused: true }));
        }
        // Without room for a new one, one at rest is still better than a refusal.
        let resting = if fresh && self.places.have_room() { None } else { self.pool.take() };
        Ok(resting.map(|connection| Link { lane: Lane::Http1(connection), reused: true }))
    }

    fn shared_sender(&self) -> Option<http2::SendRequest<Upload>> {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|shared| !shared.sender.is_ready()) {
            *shared = None;
        }
        shared.as_ref().map(|shared| {
            shared.used.set(true);
            shared.sender.clone()
        })
    }

    fn place(&self) -> Result<Place, UpstreamError> {
        self.places.take().ok_or_else(|| {
            count(&self.counts().busy);
            UpstreamError::Busy { target: Arc::clone(&self.name.label) }
        })
    }

    /// Opens the connection that may turn out to be h2, and so is for everyone. If it is not, it
    /// goes to rest for the first to take.
    async fn open_shared(self: Rc<Self>) -> Result<(), DialError> {
        match self.dial().await? {
            Dialed::Http2(sender) => self.keep_shared(sender),
            Dialed::Http1 { sender, driver, received } => {
                self.speaks.set(Protocol::Http1);
                if let Some(place) = self.places.take() {
                    let home = Rc::downgrade(&self.pool);
                    self.pool.put(Http1::new(sender, driver, received, home, place));
                }
            }
        }
        Ok(())
    }

    /// Opens an HTTP/1.1 connection for one request, unless the target has gone over to h2.
    async fn open_own(&self) -> Result<Link, UpstreamError> {
        let place = self.place()?;
        let dialed = self.dial().await.map_err(|error| self.unreachable(Arc::new(error)))?;
        let lane = match dialed {
            Dialed::Http2(sender) => {
                self.keep_shared(sender.clone());
                Lane::Http2(Http2 { sender, place })
            }
            Dialed::Http1 { sender, driver, received } => {
                self.speaks.set(Protocol::Http1);
                let home = Rc::downgrade(&self.pool);
                Lane::Http1(Http1::new(sender, driver, received, home, place))
            }
        };
        Ok(Link { lane, reused: false })
    }

    async fn dial(&self) -> Result<Dialed, DialError> {
        let dialed = self.dialer.dial().await;
        let counts = self.counts();
        count(if dialed.is_ok() { &counts.dialed } else { &counts.dial_failed });
        self.dialer.endpoint.reached(dialed.is_ok());
        dialed
    }

    fn keep_shared(&self, sender: http2::SendRequest<Upload>) {
        self.speaks.set(Protocol::Http2);
        self.shared.replace(Some(Shared { sender, used: Cell::new(true) }));
    }

    fn unreachable(&self, source: Arc<DialError>) -> UpstreamError {
        UpstreamError::Unreachable { target: Arc::clone(&self.name.label), source }
    }

    fn late(&self) -> UpstreamError {
        UpstreamError::Timeout { target: Arc::clone(&self.name.label), wait: Wait::Deadline }
    }

    /// Ends what has not been used since the last sweep.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|shared| !shared.used.replace(false)) {
            *shared = None;
        }
    }

    /// For tests: what this worker alone knows.
    #[cfg(test)]
    pub(super) fn state(&self) -> (Protocol, usize) {
        (self.speaks.get(), self.pool.len())
    }
}
