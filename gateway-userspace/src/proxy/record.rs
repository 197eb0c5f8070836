//! What the proxy writes down: numbers, the access log, and what `gateway why` remembers.

use std::{sync::Arc, time::Duration};

use gateway_common::Reason;
use http::Version;

use super::pipeline::context::Peer;
use crate::{
    clock,
    config::model::Config,
    telemetry::{AccessLog, Metrics, RefusalMemory, RequestRecord},
};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: AccessLog,
    pub(crate) memory: RefusalMemory,
}

impl Ledger {
    /// For another configuration: the same numbers, log and memory, by other names.
    pub(crate) fn succeed(&self, config: &Config) -> Self {
        let metrics = self.metrics.succeed(config);
        Self {
            log: self.log.with_names(Arc::clone(&metrics)),
            memory: self.memory.with_names(Arc::clone(&metrics)),
            metrics,
        }
    }

    /// A request is over.
    pub(crate) fn finished(&self, record: &RequestRecord<'_>) {
        self.metrics.request(record);
        self.metrics.request_ended();
        self.log.write(record);
        match record.reason {
            // Who breaks off was not refused, and must not push out those who were.
            None | Some(Reason::ClientGone) => {}
            Some(Reason::LimiterFull) => {
                self.metrics.limiter_full();
                self.memory.remember(record);
            }
            Some(_) => self.memory.remember(record),
        }
    }

    /// A connection was refused that carried no request. It has no line in the access log.
    pub(crate) fn refused_connection(&self, peer: &Peer, reason: Reason, detail: &str) {
        self.metrics.refusal(reason);
        self.memory.remember(&Self::unread(peer, "", reason, detail));
    }

    /// A request was refused that could not be read: of what it asked for nothing is known.
    pub(crate) fn refused_head(&self, peer: &Peer, id: &str, reason: Reason, detail: &str) {
        self.metrics.request_started();
        self.finished(&Self::unread(peer, id, reason, detail));
    }

    fn unread<'r>(peer: &Peer, id: &'r str, reason: Reason, detail: &'r str) -> RequestRecord<'r> {
        RequestRecord {
            wall_ms: clock::wall_ms(),
            request_id: id,
            trace_id: "",
            peer: peer.source,
            client: None,
            key: None,
            route: None,
            method: "",
            path: b"",
            status: reason.info().status,
            reason: Some(reason),
            detail: Some(detail),
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            supplier_duration: None,
            supplier: None,
            tls_version: peer.tls,
            http_version: Version::HTTP_11,
            listener: peer.listener,
            hits: &[],
        }
    }
}
