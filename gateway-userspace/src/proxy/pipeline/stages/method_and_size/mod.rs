//! The route's methods, its body cap by the declared length, and no protocol switch but those it
//! takes: all told by the head, before a byte of the body is read. A body without a declared length is cut while it
//! streams, by `pipeline::body`.

use gateway_common::Reason;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{
        ALLOW, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
        TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};
use hyper::ext::Protocol;

use crate::proxy::{
    fields,
    pipeline::{
        context::RequestContext,
        decision::{Decision, Refusal},
    },
    router::Route,
};

pub(crate) fn check(context: &mut RequestContext, route: &Route) -> Decision {
    let head = &context.head;
    // TRACE would echo what the gateway adds to a request.
    if !route.takes(&head.method) || head.method == Method::TRACE {
        return Refusal::new(Reason::MethodRefused, "not among the route's methods")
            .with_header(ALLOW, route.allow.clone())
            .into();
    }
    if context.is_extended_connect() || switches_protocol(&head.headers) {
        if let Err(detail) = websocket(head, route) {
            return Refusal::new(Reason::UpgradeRefused, detail).into();
        }
        context.websocket = true;
    }
    let head = &context.head;
    match declared_length(&head.headers) {
        Ok(length) if length <= route.body_bytes => Decision::Continue,
        Ok(_) => Refusal::new(Reason::BodyTooLarge, "Content-Length over the route's cap").into(),
        Err(()) => Refusal::new(Reason::HeadMalformed, "Content-Length is no number").into(),
    }
}

fn switches_protocol(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) && fields::says(headers, &CONNECTION, "upgrade")
}

/// Whether the request opens a WebSocket where the route takes one (RFC 6455 section 4.2.1, RFC 8441
/// section 5). Strict: a supplier that refuses what we took for an opening would leave us with a
/// tunnel that it takes for requests.
fn websocket(head: &Parts, route: &Route) -> Result<(), &'static str> {
    if !route.websocket {
        return Err("the route has no upgrade");
    }
    if head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING) {
        return Err("a WebSocket is opened without a body");
    }
    let named = match head.extensions.get::<Protocol>() {
        Some(protocol) => Some(protocol.as_ref()),
        None => named_in_http1(head)?,
    };
    if !named.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err("another protocol than WebSocket");
    }
    if only(head, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err("another version of WebSocket than 13");
    }
    Ok(())
}

/// The protocol that an HTTP/1.1 request asks for. In h2 there is neither method nor key to check.
fn named_in_http1(head: &Parts) -> Result<Option<&[u8]>, &'static str> {
    if head.version != Version::HTTP_11 || head.method != Method::GET {
        return Err("a WebSocket is opened by GET in HTTP/1.1");
    }
    // Sixteen bytes in base64.
    if only(head, &SEC_WEBSOCKET_KEY).is_none_or(|key| key.len() != 24) {
        return Err("no Sec-WebSocket-Key");
    }
    Ok(only(head, &UPGRADE))
}

fn only<'h>(head: &'h Parts, name: &HeaderName) -> Option<&'h [u8]> {
    fields::only(&head.headers, name).map(HeaderValue::as_bytes)
}

/// The declared body length; zero where none is declared.
fn declared_length(headers: &HeaderMap) -> Result<u64, ()> {
    let mut longest = 0;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(());
        }
        let text = value.to_str().or(Err(()))?;
        longest = longest.max(text.parse().or(Err(()))?);
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reads_lengths_as_digits_only() {
        let with =
            |value| HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(value))]);
        assert_eq!(declared_length(&HeaderMap::new()), Ok(0));
        assert_eq!(declared_length(&with("17")), Ok(17));
        for bad in ["", "+1", "-1", "0x10", "1, 1", "99999999999999999999"] {
            assert_eq!(declared_length(&with(bad)), Err(()), "{bad}");
        }
    }

    #[test]
    fn sees_an_upgrade_in_any_list_and_case() {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        assert!(!switches_protocol(&headers));
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        assert!(switches_protocol(&headers));
    }
}
