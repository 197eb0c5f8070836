//! Packs answers for clients that take that, where the route says so. An answer that mixes a secret
//! with what an attacker can put into the request tells the secret by its length (BREACH), so by
//! default none is packed for who is known by what a browser sends by itself.

mod body;

use std::sync::{Arc, atomic::AtomicU32};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING,
        CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, SET_COOKIE,
    },
};
use http_body::Body as _;

use self::body::Compressing;
use crate::{
    config::model,
    proxy::{
        coding::{Coding, STALE, accept, encode::Encoder},
        fields,
        pipeline::{body::Payload, context::RequestContext, ticket::Ticket},
        router::Route,
    },
};

/// Answers that are packed at a time, by all workers: each holds up to two megabytes. Further ones go
/// out as they are.
const MOST: u32 = 512;

/// The settings of all routes, by route index.
#[derive(Debug)]
pub(crate) struct Compress {
    routes: Vec<Option<model::Compress>>,
    under_way: Arc<AtomicU32>,
}

impl Compress {
    pub(crate) fn from_config(routes: &[model::Route]) -> Self {
        let routes = routes.iter().map(|route| route.compress.clone()).collect();
        Self { routes, under_way: Arc::default() }
    }

    /// For another configuration: answers under way go on counting.
    pub(crate) fn succeed(&self, routes: &[model::Route]) -> Self {
        Self { under_way: Arc::clone(&self.under_way), ..Self::from_config(routes) }
    }

    /// What the answer to this request may be packed with; to be asked while its fields are there.
    pub(crate) fn wish(&self, route: &Route, context: &RequestContext) -> Option<Coding> {
        let settings = self.settings(route)?;
        let headers = &context.head.headers;
        let guarded = !settings.credentials && is_ambient(context);
        if guarded || context.grpc || fields::says(headers, &CACHE_CONTROL, "no-transform") {
            return None;
        }
        accept::choose(headers, &settings.codings)
    }

    /// A supplier's answer, as the client gets it.
    pub(crate) fn response(
        &self,
        route: &Route,
        context: &mut RequestContext,
        mut response: Response<Payload>,
    ) -> Response<Payload> {
        let Some(settings) = self.settings(route) else { return response };
        if !may_be_packed(settings, &response) {
            return response;
        }
        // Caches have to know even where this client got the answer as it is.
        fields::vary(response.headers_mut(), ACCEPT_ENCODING.as_str());
        let sets = !settings.credentials && response.headers().contains_key(SET_COOKIE);
        let bodiless = context.head.method == Method::HEAD || response.body().is_end_stream();
        let Some(coding) = context.wish.filter(|_| !sets && !bodiless) else { return response };
        let Some(place) = Ticket::take(&self.under_way, MOST) else {
            context.left_unpacked = true;
            return response;
        };
        let Ok(encoder) = Encoder::new(coding) else { return response };
        mark(response.headers_mut(), coding);
        response
            .map(|payload| Payload::Recoded(Box::new(Compressing::new(payload, encoder, place))))
    }

    fn settings(&self, route: &Route) -> Option<&model::Compress> {
        self.routes.get(route.index)?.as_ref()
    }
}

/// Whether the client is known by what a browser adds to any site's request. A key in a field of its
/// own, or a bearer token, no other site can make it send.
fn is_ambient(context: &RequestContext) -> bool {
    let headers = &context.head.headers;
    let bearer = |value: &HeaderValue| {
        value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
    };
    headers.contains_key(COOKIE)
        || context.peer.certificate.is_some()
        || headers.get(AUTHORIZATION).is_some_and(|value| !bearer(value))
}

fn may_be_packed(settings: &model::Compress, response: &Response<Payload>) -> bool {
    let headers = response.headers();
    let status = response.status();
    let whole = status != StatusCode::PARTIAL_CONTENT && !headers.contains_key(CONTENT_RANGE);
    let length = response.body().size_hint().exact();
    whole
        && !status.is_informational()
        && !headers.contains_key(CONTENT_ENCODING)
        && !fields::says(headers, &CACHE_CONTROL, "no-transform")
        && length.is_none_or(|length| length >= settings.bytes || response.body().is_end_stream())
        && headers.get(CONTENT_TYPE).is_some_and(|value| is_among(&settings.types, value))
}

/// Whether a media type is one of the patterns. gRPC frames its own messages, and server-sent events
/// are asked for by name alone.
fn is_among(patterns: &[String], value: &HeaderValue) -> bool {
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = String::from_utf8_lossy(kind.trim_ascii()).to_ascii_lowercase();
    if kind.starts_with("application/grpc") {
        return false;
    }
    let events = kind == "text/event-stream";
    patterns.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if events => *pattern == kind,
        (Some(end), _) => kind.ends_with(end),
        (None, Some(start)) => kind.starts_with(start),
        (None, None) => *pattern == kind,
    })
}

/// Makes the fields those of the packed answer: other bytes under the same strong tag would be
/// joined by caches (RFC 9110 section 8.8.3.3).
fn mark(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    for name in STALE.iter().chain([&ACCEPT_RANGES]) {
        headers.remove::<&HeaderName>(name);
    }
    let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else {
        return;
    };
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) => headers.insert(ETAG, weak),
        Err(_unlawful) => headers.remove(ETAG),
    };
}

#[cfg(test)]
mod tests {
    use http::header::VARY;

    use super::*;
    use crate::config::testing::sample;

    #[test]
    fn types_are_matched_by_pattern_but_streams_of_messages_by_name() {
        let listed = sample("[proxy]\ncompress = true\n").proxy.compress.unwrap().types;
        let is = |kind: &'static str| is_among(&listed, &HeaderValue::from_static(kind));
        for kind in ["text/html; charset=utf-8", "Application/JSON", "application/hal+json"] {
            assert!(is(kind), "{kind}");
        }
        for kind in ["image/png", "text/event-stream", "application/grpc+json", "application/zip"] {
            assert!(!is(kind), "{kind}");
        }
        let asked = ["text/event-stream".to_owned()];
        assert!(is_among(&asked, &HeaderValue::from_static("text/event-stream")));
    }

    #[test]
    fn a_strong_tag_is_weakened_once_and_vary_is_said_once() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"1\""));
        headers.insert(VARY, HeaderValue::from_static("origin, Accept-Encoding"));
        for _ in 0..2 {
            mark(&mut headers, Coding::Brotli);
            fields::vary(&mut headers, ACCEPT_ENCODING.as_str());
        }
        assert_eq!(headers[ETAG], "W/\"1\"");
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
    }
}
