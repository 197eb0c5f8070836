//! All that one finished request says about itself, borrowed from where it already lies.

use std::{net::IpAddr, time::Duration};

use gateway_common::Reason;
use http::Version;

/// One finished request, refused or served.
///
/// `path` and `detail` may hold anything a stranger sent: they are masked, escaped and cut where
/// they are written. Header values and query values have no field here, so they cannot leak.
#[derive(Debug, Clone)]
pub struct RequestRecord<'a> {
    /// When it ended: milliseconds since 1970, from `clock::wall_ms`.
    pub wall_ms: u64,
    pub request_id: &'a str,
    pub trace_id: &'a str,
    /// The client as the gateway sees it.
    pub peer: IpAddr,
    /// Name of the authenticated client.
    pub client: Option<&'a str>,
    /// Public part of the credential, never the credential.
    pub key: Option<&'a str>,
    /// Index into `Config::routes`.
    pub route: Option<usize>,
    pub method: &'a str,
    /// As received, of whatever bytes. What follows a `?` is dropped.
    pub path: &'a [u8],
    /// 0 where no answer was sent.
    pub status: u16,
    /// Why it was refused; `None` for a request that was served.
    pub reason: Option<Reason>,
    /// For operators only; the client never reads it.
    pub detail: Option<&'a str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the first byte of the head to the end of the answer.
    pub duration: Duration,
    /// From the request to the supplier until its answer's head.
    pub supplier_duration: Option<Duration>,
    /// Index into `Config::suppliers`, where one was asked.
    pub supplier: Option<usize>,
    pub tls_version: Option<TlsVersion>,
    pub http_version: Version,
    /// Index into `Config::listeners`.
    pub listener: usize,
    /// Rules of the firewall that matched. `data` may hold anything a stranger sent.
    pub hits: &'a [Hit],
}

/// A rule of the firewall that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub rule: u64,
    pub message: String,
    /// What the rule says of the value.
    pub data: String,
    /// Which value, such as `ARGS:id`.
    pub field: String,
    /// From 0, the worst, to 7.
    pub severity: Option<u8>,
    pub tags: Vec<String>,
}

/// The TLS versions that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// Every version, in the order of metric series.
    pub(super) const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// The label in metrics and the access log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// The HTTP version as the access log names it.
pub(super) fn http_version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "unknown",
    }
}
