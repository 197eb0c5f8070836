//! The record of one exchange. It is written when it is dropped: after the last byte, or when the
//! client goes away, at whatever point that is.

use std::{rc::Rc, sync::Arc, time::Duration};

use gateway_common::Reason;

use super::{body::BodyState, context::RequestContext};
use crate::{
    clock,
    proxy::{router::Route, worker::Worker},
    telemetry::{Refused, Report},
};

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    pub(crate) context: RequestContext,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) body: Rc<BodyState>,
    /// Until the supplier's response head.
    pub(crate) supplier: Option<Duration>,
    status: u16,
    reason: Option<Reason>,
    bytes_out: u64,
    completed: bool,
}

impl Exchange {
    pub(crate) fn begin(worker: &Rc<Worker>, context: RequestContext) -> Box<Self> {
        worker.shared.telemetry.metrics.request_started();
        Box::new(Self {
            worker: Rc::clone(worker),
            body: BodyState::new(context.arrived),
            context,
            route: None,
            supplier: None,
            status: 0,
            reason: None,
            bytes_out: 0,
            completed: false,
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The response head is decided.
    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        self.status = status.as_u16();
    }

    /// The request was refused: counted, remembered, and evidence against its source.
    pub(crate) fn refused(&mut self, reason: Reason, detail: &str) {
        self.reason = Some(reason);
        let context = &self.context;
        let refused = Refused {
            at: context.wall,
            source: context.peer.source,
            reason,
            request_id: context.id.as_str(),
            route: self.route.as_ref().map_or("", |route| &route.name),
            method: context.head.method.as_str(),
            path: context.path(),
            detail,
        };
        self.worker.refused(&refused, context.peer.behind_proxy);
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes_out = self.bytes_out.saturating_add(bytes);
    }

    pub(crate) fn completed(&mut self) {
        self.completed = true;
    }

    /// The response ends early; too late for another status.
    pub(crate) fn broke(&mut self, reason: Reason) {
        if self.reason.is_none() {
            self.reason = Some(reason);
            self.worker.shared.telemetry.metrics.refused(reason);
        }
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
        self.worker.shared.telemetry.finished(&Report {
            request_id: context.id.as_str(),
            trace_id: context.trace.id(),
            source: context.peer.source,
            port: context.peer.port,
            client: client.map_or("", |key| &key.client),
            key: client.map_or("", |key| &key.id),
            route: self.route.as_ref().map(|route| (route.index, &*route.name)),
            method: &context.head.method,
            host: context.host(),
            path: context.path(),
            status: self.status,
            reason: self.reason,
            bytes_in: self.body.bytes.get(),
            bytes_out: self.bytes_out,
            total: clock::now().saturating_duration_since(context.arrived),
            supplier: self.supplier,
            tls: context.peer.tls,
            version: context.version,
        });
    }
}
