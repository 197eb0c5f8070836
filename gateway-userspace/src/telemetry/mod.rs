//! What the gateway tells about its work: metrics, the access log, and a memory of refusals for
//! `gateway why`. The runner reports here; stages do not know it.

pub(crate) mod access_log;
pub(crate) mod admin;
pub mod memory;
pub(crate) mod metrics;
pub(crate) mod scrape;

use std::{net::IpAddr, sync::Arc, time::Duration};

use gateway_common::Reason;
use http::{Method, Version};

use self::{access_log::AccessLog, memory::Memory, metrics::Metrics};
use crate::clock::Wall;

/// One finished request.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: &'a str,
    pub(crate) source: IpAddr,
    pub(crate) port: u16,
    /// Empty for a stranger.
    pub(crate) client: &'a str,
    pub(crate) key: &'a str,
    /// Place and name.
    pub(crate) route: Option<(usize, &'a str)>,
    pub(crate) method: &'a Method,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// 0 where the client went before an answer.
    pub(crate) status: u16,
    pub(crate) reason: Option<Reason>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) total: Duration,
    pub(crate) supplier: Option<Duration>,
    pub(crate) tls: &'a str,
    pub(crate) version: Version,
}

/// One refusal, as it happens.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) at: Wall,
    pub(crate) source: IpAddr,
    pub(crate) reason: Reason,
    pub(crate) request_id: &'a str,
    pub(crate) route: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) detail: &'a str,
}

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Memory,
    /// `None` with `log.access = "off"`.
    pub(crate) log: Option<AccessLog>,
}

impl Telemetry {
    /// Counts and remembers a refusal of worker number `worker`.
    pub(crate) fn refused(&self, worker: usize, refused: &Refused<'_>) {
        self.metrics.refused(refused.reason);
        self.memory.remember(worker, refused);
    }

    /// Counts and logs a finished request.
    pub(crate) fn finished(&self, report: &Report<'_>) {
        self.metrics.finished(report);
        if let Some(log) = &self.log {
            log.write(report);
        }
    }
}
