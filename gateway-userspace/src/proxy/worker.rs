//! What one worker thread has for itself, and what all share.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use gateway_common::Reason;

use super::{
    feedback::{Feedback, Trusted},
    identity::keys::Keys,
    net::connections::Connections,
    pipeline::{Stages, context::Peer, identifiers::Generator},
    router::Router,
    upstream::{Suppliers, addresses::Book},
};
use crate::{
    clock,
    config::model::Config,
    telemetry::{Refused, Telemetry},
};

/// Read by all workers. What changes in it is atomic or swapped whole.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) router: Router,
    pub(crate) stages: Stages,
    pub(crate) keys: Arc<Keys>,
    pub(crate) connections: Connections,
    pub(crate) book: Book,
    pub(crate) feedback: Feedback,
    pub(crate) telemetry: Telemetry,
}

/// One thread's own: pools and caches that need no lock.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) suppliers: Suppliers,
    pub(crate) identifiers: RefCell<Generator>,
    trusted: RefCell<Trusted>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, suppliers: Suppliers) -> Rc<Self> {
        Rc::new(Self {
            index,
            shared,
            suppliers,
            identifiers: RefCell::new(Generator::new()),
            trusted: RefCell::default(),
        })
    }

    /// Counts, remembers and reports a refusal.
    pub(crate) fn refused(&self, refused: &Refused<'_>, behind_proxy: bool) {
        let telemetry = &self.shared.telemetry;
        telemetry.refused(self.index, refused);
        self.shared.feedback.strike(
            refused.source,
            refused.reason,
            behind_proxy,
            &telemetry.metrics,
        );
    }

    /// The same for a connection that carried no request.
    pub(crate) fn refused_connection(&self, peer: &Peer, reason: Reason, detail: &str) {
        let refused = Refused {
            at: clock::wall(),
            source: peer.source,
            reason,
            request_id: "",
            route: "",
            method: "",
            path: "",
            detail,
        };
        self.refused(&refused, peer.behind_proxy);
    }

    /// `peer` authenticated and was served.
    pub(crate) fn trust(&self, peer: &Peer) {
        if !peer.behind_proxy {
            let shared = &self.shared;
            let metrics = &shared.telemetry.metrics;
            let mut trusted = self.trusted.borrow_mut();
            trusted.report(peer.source, clock::now(), &shared.feedback, metrics);
        }
    }
}
