//! What every response loses and gains: hop-by-hop fields (RFC 9110 section 7.6.1) and fields
//! that tell what the supplier runs go; the request id, `nosniff` and HSTS (RFC 6797) come. A
//! supplier's own stricter HSTS stays.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{SERVER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS},
};

use crate::{
    config::model::Listener,
    proxy::{
        hop_by_hop,
        pipeline::{context::RequestContext, identifiers::REQUEST_ID},
    },
};

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Fields that only tell an attacker what to try.
static REVEALING: [HeaderName; 4] = [
    SERVER,
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-aspnet-version"),
    HeaderName::from_static("x-aspnetmvc-version"),
];

static NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Harden {
    /// `Strict-Transport-Security` of each listener.
    hsts: Vec<Option<HeaderValue>>,
}

impl Harden {
    pub(crate) fn from_config(listeners: &[Listener]) -> Self {
        let of = |listener: &Listener| HeaderValue::from_str(listener.tls.hsts.as_ref()?).ok();
        Self { hsts: listeners.iter().map(of).collect() }
    }

    pub(crate) fn apply(&self, context: &mut RequestContext, headers: &mut HeaderMap) {
        hop_by_hop::strip(headers);
        for name in &REVEALING {
            headers.remove(name);
        }
        headers.insert(&REQUEST_ID, context.id.header());
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF.clone());
        if let Some(Some(hsts)) = self.hsts.get(context.peer.listener) {
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
        }
        if let Some(nonce) = context.nonce.take() {
            headers.insert("dpop-nonce", nonce);
        }
        if let Some(quota) = context.quota.take() {
            headers.insert(&POLICY, quota.policy);
            headers.insert(&LIMIT, quota.limit);
        }
    }
}
