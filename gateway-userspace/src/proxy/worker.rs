//! What one worker thread has for itself, and what all share.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use gateway_common::Reason;
use rustls::ClientConfig;
use tokio::sync::watch;

use super::{
    acme::Board,
    feedback::{Feedback, Trusted},
    fetch::{Client, Hosts, Terms},
    guard_time::GuardTime,
    http1::Fault,
    identity::{keys::Keys, provider::Providers},
    keeping::Keeping,
    memory::{Level, Memory},
    net::{connections::Connections, handshakes::Handshakes},
    pipeline::{
        Stages,
        context::Peer,
        forward::Suppliers,
        identifiers::{Generator, RequestId},
    },
    record::Ledger,
    router::Router,
    tls::Edge,
    upstream::Book,
};
use crate::{clock, config::model::Config, proxy::upstream::Setup};

/// Read by all workers. What changes in it is atomic or swapped whole.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) router: Router,
    pub(crate) stages: Stages,
    pub(crate) keys: Arc<Keys>,
    /// What keys expire by.
    pub(crate) time: Arc<GuardTime>,
    /// The proxy goes down, and no other one serves in its place.
    pub(crate) hurry: Arc<AtomicBool>,
    /// What this process uses.
    pub(crate) process: Arc<Memory>,
    pub(crate) connections: Connections,
    pub(crate) handshakes: Handshakes,
    pub(crate) tls: Edge,
    pub(crate) acme: Arc<Board>,
    pub(crate) book: Book,
    /// Hosts that the gateway itself asks.
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) keeping: Arc<Keeping>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) feedback: Feedback,
    pub(crate) ledger: Ledger,
}

/// One thread's own: pools and caches that need no lock. A reload makes another one, which shares
/// what does not depend on the configuration; requests go by the one they began with.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) suppliers: Suppliers,
    pub(crate) identifiers: Rc<RefCell<Generator>>,
    trusted: Rc<RefCell<Trusted>>,
    /// How scarce memory is: of this thread, so that no lock of it is shared.
    pressure: Rc<watch::Sender<Level>>,
    /// The one of now.
    seat: Rc<RefCell<Weak<Self>>>,
}

impl Shared {
    /// Whether connections have to end soon.
    pub(crate) fn is_in_a_hurry(&self) -> bool {
        self.hurry.load(Relaxed)
    }

    /// For questions of the gateway's own.
    pub(crate) fn client(&self, tls: Arc<ClientConfig>, terms: Terms) -> Client {
        Client::new(tls, self.book.lookup(), Arc::clone(&self.hosts), terms)
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, suppliers: Suppliers) -> Rc<Self> {
        Self::seated(Self {
            shared,
            suppliers,
            identifiers: Rc::new(RefCell::new(Generator::new())),
            trusted: Rc::default(),
            pressure: Rc::new(watch::Sender::new(Level::Calm)),
            seat: Rc::default(),
        })
    }

    /// The worker of another configuration; from here on it is the latest.
    pub(crate) fn succeed(&self, shared: Arc<Shared>, setup: &Setup) -> Rc<Self> {
        let suppliers = self.suppliers.succeed(&shared.config, setup);
        Self::seated(Self {
            shared,
            suppliers,
            identifiers: Rc::clone(&self.identifiers),
            trusted: Rc::clone(&self.trusted),
            pressure: Rc::clone(&self.pressure),
            seat: Rc::clone(&self.seat),
        })
    }

    /// The worker of the configuration of now.
    pub(crate) fn latest(self: &Rc<Self>) -> Rc<Self> {
        // The thread that ends has let go of it; then any will do.
        self.seat.borrow().upgrade().unwrap_or_else(|| Rc::clone(self))
    }

    /// Tells the connections of this thread.
    pub(crate) fn press(&self, level: Level) {
        self.pressure.send_replace(level);
    }

    pub(crate) fn pressure(&self) -> watch::Receiver<Level> {
        self.pressure.subscribe()
    }

    fn seated(worker: Self) -> Rc<Self> {
        let seat = Rc::clone(&worker.seat);
        let worker = Rc::new(worker);
        *seat.borrow_mut() = Rc::downgrade(&worker);
        worker
    }

    /// A refusal of `peer` is evidence against it.
    pub(crate) fn strike(&self, peer: &Peer, reason: Reason) {
        let shared = &self.shared;
        shared.feedback.strike(peer.source, reason, peer.behind_proxy, &shared.ledger.metrics);
    }

    /// A connection was refused that carried no request.
    pub(crate) fn refused_connection(&self, peer: &Peer, reason: Reason, detail: &str) {
        self.shared.ledger.refused_connection(peer, reason, detail);
        self.strike(peer, reason);
    }

    /// A head was refused that could not be read; returns the id it is remembered by.
    pub(crate) fn refused_head(&self, peer: &Peer, fault: Fault) -> RequestId {
        let id = self.identifiers.borrow_mut().request_id();
        self.shared.ledger.refused_head(peer, id.as_str(), fault.reason, fault.detail);
        self.strike(peer, fault.reason);
        id
    }

    /// `peer` authenticated and was served.
    pub(crate) fn trust(&self, peer: &Peer) {
        if !peer.behind_proxy {
            let shared = &self.shared;
            let metrics = &shared.ledger.metrics;
            let mut trusted = self.trusted.borrow_mut();
            trusted.report(peer.source, clock::now(), &shared.feedback, metrics);
        }
    }
}
