//! What one worker thread has for itself, and what all share.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use gateway_common::Reason;

use super::{
    feedback::{Feedback, Trusted},
    guard_time::GuardTime,
    http1::Fault,
    identity::keys::Keys,
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
use crate::{clock, config::model::Config};

/// Read by all workers. What changes in it is atomic or swapped whole.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) router: Router,
    pub(crate) stages: Stages,
    pub(crate) keys: Arc<Keys>,
    /// What keys expire by.
    pub(crate) time: GuardTime,
    pub(crate) connections: Connections,
    pub(crate) handshakes: Handshakes,
    pub(crate) tls: Edge,
    pub(crate) book: Book,
    pub(crate) feedback: Feedback,
    pub(crate) ledger: Ledger,
}

/// One thread's own: pools and caches that need no lock.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) suppliers: Suppliers,
    pub(crate) identifiers: RefCell<Generator>,
    trusted: RefCell<Trusted>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, suppliers: Suppliers) -> Rc<Self> {
        Rc::new(Self {
            shared,
            suppliers,
            identifiers: RefCell::new(Generator::new()),
            trusted: RefCell::default(),
        })
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
