//! What a supplier gets of a request: the caller's fields without hop-by-hop ones, credentials and
//! claims about where it came from; and ours in their place.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST, TE},
    uri::PathAndQuery,
};

use super::opening;
use crate::proxy::{
    fields, hop_by_hop,
    identity::keys,
    pipeline::{context::RequestContext, identifiers::REQUEST_ID, respond},
};

static FORWARDED: HeaderName = HeaderName::from_static("forwarded");
static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// What only a gateway may say; a stranger's are removed. `Proxy` is httpoxy (CVE-2016-5385).
static OURS: [HeaderName; 17] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("proxy"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    // Of a client's certificate (RFC 9440), and as Envoy, nginx, Traefik and clouds call it.
    HeaderName::from_static("client-cert"),
    HeaderName::from_static("client-cert-chain"),
    HeaderName::from_static("x-forwarded-client-cert"),
    HeaderName::from_static("ssl-client-cert"),
    HeaderName::from_static("x-ssl-client-cert"),
    HeaderName::from_static("x-forwarded-tls-client-cert"),
];

/// Takes the fields out of the context and makes them the supplier's. `credentials` are the fields
/// that identities read. `None` where the path cannot be forwarded.
pub(super) fn request(
    context: &mut RequestContext,
    credential: Option<&HeaderName>,
    credentials: &[HeaderName],
) -> Option<Request<()>> {
    let path = path(context)?;
    let mut headers = std::mem::take(&mut context.head.headers);
    let trailers = takes_trailers(&headers);
    hop_by_hop::strip(&mut headers);
    // hyper frames the body anew, and answers `Expect` when the body is asked for.
    for name in [&CONTENT_LENGTH, &EXPECT, &HOST] {
        headers.remove(name);
    }
    strip_claims(&mut headers);
    strip_credentials(&mut headers, credential, credentials);
    identify(&mut headers, context);
    if context.websocket {
        respond::with_websocket(&mut headers);
        if context.is_extended_connect() {
            context.accept = Some(opening::begin(&mut headers)?);
        }
    } else if trailers {
        // We take them too; gRPC servers refuse who does not say so.
        headers.insert(TE, TRAILERS.clone());
    }
    let mut request = Request::new(());
    request.method_mut().clone_from(&context.head.method);
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Some(request)
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    fields::says(headers, &TE, "trailers")
}

fn path(context: &RequestContext) -> Option<PathAndQuery> {
    let normalized = context.target.as_ref().and_then(|target| target.rewritten.as_deref());
    let sent = context.head.uri.path_and_query();
    let Some(path) = context.onward.as_deref().or(normalized) else { return sent.cloned() };
    let whole = match sent.and_then(PathAndQuery::query) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(whole).ok()
}

fn strip_claims(headers: &mut HeaderMap) {
    // One look at each of the few fields there are is less than a search for each of ours.
    let claims: Vec<HeaderName> =
        headers.keys().filter(|name| claims(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// CGI heirs read `X_Forwarded_For` and `X-Forwarded-For` as one variable.
fn claims(name: &str) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let same = |ours: &&str| ours.len() == name.len() && ours.bytes().eq(name.bytes().map(dashed));
    OURS.iter().any(|ours| same(&ours.as_str()))
}

/// The credential that was used never goes on; nor does a key of ours in a field that another
/// identity reads.
fn strip_credentials(headers: &mut HeaderMap, used: Option<&HeaderName>, all: &[HeaderName]) {
    if let Some(used) = used {
        headers.remove(used);
        if *used == AUTHORIZATION {
            // Its proof is of no use to anybody else.
            headers.remove("dpop");
        }
    }
    for name in all {
        if headers.get_all(name).iter().any(|value| keys::resembles(value.as_bytes())) {
            headers.remove(name);
        }
    }
}

fn identify(headers: &mut HeaderMap, context: &RequestContext) {
    headers.insert(&REQUEST_ID, context.id.header());
    context.trace.write(headers);
    let scheme = context.claims.scheme.unwrap_or("https");
    headers.insert(&PROTO, HeaderValue::from_static(scheme));
    let certificate = context.peer.certificate.as_deref();
    if let Some((name, value)) = certificate.and_then(|shown| shown.forwarded.as_ref()) {
        headers.insert(name, value.clone());
    }
    let sent_host = context.target.as_ref().map(|target| &target.sent_host);
    if let Some(host) = context.claims.host.as_ref().or(sent_host) {
        headers.insert(&FORWARDED_HOST, host.clone());
    }
    let source = context.peer.source;
    let mut text = String::with_capacity(64);
    // Writing to a string does not fail.
    let bare = write!(text, "{source}").is_ok();
    if bare && let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(&FOR, value);
    }
    text.clear();
    let written = match source {
        IpAddr::V4(v4) => write!(text, "for={v4};proto={scheme}"),
        // RFC 7239 section 6: an IPv6 node is bracketed and quoted.
        IpAddr::V6(v6) => write!(text, "for=\"[{v6}]\";proto={scheme}"),
    };
    if written.is_ok()
        && let Ok(value) = HeaderValue::from_str(&text)
    {
        headers.insert(&FORWARDED, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_what_strangers_claim_in_either_spelling() {
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "x_forwarded_for", "x-forwarded_host", "forwarded", "proxy"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("evil"));
        }
        headers.insert("x_other", HeaderValue::from_static("kept"));
        strip_claims(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x_other"]);
    }

    #[test]
    fn removes_the_used_credential_and_stray_keys_but_not_the_suppliers_own() {
        let used = HeaderName::from_static("x-api-key");
        let all = [used.clone(), HeaderName::from_static("authorization")];
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("gwk_a_b"));
        headers.insert("authorization", HeaderValue::from_static("Bearer gwk_a_b"));
        strip_credentials(&mut headers, Some(&used), &all);
        assert!(headers.is_empty());

        headers.insert("authorization", HeaderValue::from_static("Bearer of-the-supplier"));
        strip_credentials(&mut headers, Some(&used), &all);
        assert!(headers.contains_key("authorization"));
    }
}
