//! The record of one exchange. It is written when it is dropped: after the last byte, or when the
//! client goes away, at whatever point that is.

use std::{
    borrow::Cow,
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_common::Reason;

use super::{context::RequestContext, decision::Refusal};
use crate::{
    clock,
    proxy::{router::Route, worker::Worker},
    telemetry::RequestRecord,
};

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    pub(crate) context: RequestContext,
    pub(crate) route: Option<Arc<Route>>,
    /// Of the request body, so far.
    pub(crate) bytes_in: Rc<Cell<u64>>,
    /// Which supplier was asked, and how long until its response head.
    pub(crate) supplier: Option<(usize, Duration)>,
    status: u16,
    reason: Option<Reason>,
    detail: Cow<'static, str>,
    bytes_out: u64,
    completed: bool,
}

impl Exchange {
    pub(crate) fn begin(worker: &Rc<Worker>, context: RequestContext) -> Box<Self> {
        worker.shared.ledger.metrics.request_started();
        Box::new(Self {
            worker: Rc::clone(worker),
            bytes_in: Rc::default(),
            context,
            route: None,
            supplier: None,
            status: 0,
            reason: None,
            detail: Cow::Borrowed(""),
            bytes_out: 0,
            completed: false,
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// When it has to be over, the last byte of the response read.
    pub(crate) fn deadline(&self) -> Instant {
        let usual = self.worker.shared.config.proxy.timeouts.request;
        self.context.arrived + self.route.as_ref().map_or(usual, |route| route.timeout)
    }

    /// The route, where its supplier answered.
    pub(crate) fn supplied(&self) -> Option<Arc<Route>> {
        let answered = self.supplier.is_some() && self.reason.is_none();
        self.route.clone().filter(|_| answered)
    }

    /// The response head is decided.
    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        self.status = status.as_u16();
    }

    /// The request was refused. The strike goes out at once, the record when the answer is sent.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        let peer = &self.context.peer;
        self.worker.strike(peer, refusal.reason);
        self.reason = Some(refusal.reason);
        self.detail = refusal.detail;
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes_out = self.bytes_out.saturating_add(bytes);
    }

    pub(crate) fn completed(&mut self) {
        self.completed = true;
    }

    /// The response ends early; too late for another status. What the client did to end it is as
    /// good a strike as before the response.
    pub(crate) fn broke(&mut self, reason: Reason) {
        if self.reason.is_none() && reason != Reason::ClientGone {
            self.worker.strike(&self.context.peer, reason);
        }
        self.reason = self.reason.or(Some(reason));
        self.completed = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.completed {
            self.broke(Reason::ClientGone);
        }
        let context = &self.context;
        let client = context.client.as_deref();
        self.worker.shared.ledger.finished(&RequestRecord {
            wall_ms: clock::wall_ms(),
            request_id: context.id.as_str(),
            trace_id: context.trace.id(),
            peer: context.peer.source,
            client: client.map(|key| key.client.as_str()),
            key: client.map(|key| key.id.as_str()),
            route: self.route.as_ref().map(|route| route.index),
            method: context.head.method.as_str(),
            path: context.path().as_bytes(),
            status: self.status,
            reason: self.reason,
            detail: Some(&*self.detail).filter(|detail| !detail.is_empty()),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out,
            duration: clock::now().saturating_duration_since(context.arrived),
            supplier_duration: self.supplier.map(|(_, duration)| duration),
            supplier: self.supplier.map(|(supplier, _)| supplier),
            tls_version: context.peer.tls,
            http_version: context.version,
            listener: context.peer.listener,
            hits: &context.hits,
        });
    }
}
