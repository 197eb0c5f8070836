//! One request as one JSON object: the only form in which a request is written anywhere.
//!
//! Every field is always there, `null` where it does not apply. What a stranger chose goes
//! through the mask and is cut; everything else is ours.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;

use super::{Hit, Metrics, RequestRecord, mask, record::http_version_name, timestamp::Timestamp};

/// Bytes of the fields a stranger chooses, before JSON escapes them.
const METHOD_BYTES: usize = 32;
const PATH_BYTES: usize = 1024;
const DETAIL_BYTES: usize = 256;
const FIELD_BYTES: usize = 64;

/// Rules told of one request, at most.
const RULES: usize = 32;

/// Of syslog, as rules name them.
const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// The fields, in their order in the line.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    time: Timestamp,
    request_id: &'a str,
    trace_id: &'a str,
    client_address: IpAddr,
    client: Option<&'a str>,
    key: Option<&'a str>,
    listener: Option<&'a str>,
    route: Option<&'a str>,
    method: Cow<'a, str>,
    path: Cow<'a, str>,
    status: u16,
    reason: Option<&'static str>,
    detail: Option<Cow<'a, str>>,
    bytes_in: u64,
    bytes_out: u64,
    duration_us: u64,
    supplier: Option<&'a str>,
    supplier_duration_us: Option<u64>,
    tls_version: Option<&'static str>,
    http_version: &'static str,
    rules: Option<Vec<Rule<'a>>>,
}

/// A rule of the firewall that matched. What it matched is not told: it may be a password.
#[derive(Debug, Serialize)]
struct Rule<'a> {
    id: u64,
    message: Cow<'a, str>,
    field: Cow<'a, str>,
    severity: Option<&'static str>,
}

impl<'a> Rule<'a> {
    fn new(hit: &'a Hit) -> Self {
        Self {
            id: hit.rule,
            message: mask::printable(hit.message.as_bytes(), DETAIL_BYTES),
            field: mask::printable(hit.field.as_bytes(), FIELD_BYTES),
            severity: hit.severity.and_then(|level| SEVERITIES.get(usize::from(level))).copied(),
        }
    }
}

impl<'a> Line<'a> {
    /// `metrics` knows the names behind the record's positions.
    pub(super) fn new(record: &RequestRecord<'a>, metrics: &'a Metrics) -> Self {
        Self {
            time: Timestamp(record.wall_ms),
            request_id: record.request_id,
            trace_id: record.trace_id,
            client_address: record.peer.to_canonical(),
            client: record.client,
            key: record.key,
            listener: metrics.listener_name(record.listener),
            route: metrics.route_name(record.route),
            method: mask::printable(record.method.as_bytes(), METHOD_BYTES),
            path: mask::printable(without_query(record.path), PATH_BYTES),
            status: record.status,
            reason: record.reason.map(gateway_common::Reason::name),
            detail: record.detail.map(|detail| mask::printable(detail.as_bytes(), DETAIL_BYTES)),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            duration_us: micros(record.duration),
            supplier: metrics.supplier_name(record.supplier),
            supplier_duration_us: record.supplier_duration.map(micros),
            tls_version: record.tls_version.map(super::TlsVersion::name),
            http_version: http_version_name(record.http_version),
            rules: (!record.hits.is_empty())
                .then(|| record.hits.iter().take(RULES).map(Rule::new).collect()),
        }
    }

    /// The line with its end. Empty only if serialising failed, which these types cannot.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(640);
        if serde_json::to_writer(&mut bytes, self).is_err() {
            bytes.clear();
        } else {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Query values may be anything, credentials first of all.
fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
