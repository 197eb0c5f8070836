//! Header fields that no setting may claim.

/// They frame a message, belong to one connection, or are the gateway's own word.
const OURS: [&str; 17] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Whether a field, in lower case, is one of those.
pub(super) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}
