//! The opening of a WebSocket in HTTP/1.1 for a client that opens it in h2 (RFC 8441 section 5). There
//! the handshake has no key: towards the supplier we are the client, and check what it makes of ours.

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use gateway_common::Reason;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
};

use crate::proxy::pipeline::{body::Payload, decision::Refusal};

/// What a supplier hashes behind the key (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Puts a key of ours into the request. The answer's `Sec-WebSocket-Accept` has to be what this
/// returns; `None` if there is no randomness.
pub(super) fn begin(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).ok()?;
    let key = BASE64_STANDARD.encode(nonce);
    let expected = HeaderValue::try_from(accept(&key)).ok()?;
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::try_from(key).ok()?);
    Some(expected)
}

/// The answer to a key (RFC 6455 section 4.2.2).
fn accept(key: &str) -> String {
    let whole = [key, GUID].concat();
    BASE64_STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes()))
}

/// The answer, if it may be told to the client. A success without a switch may not: in h2 success is
/// what opens the tunnel.
pub(super) fn settle(
    expected: &HeaderValue,
    response: Response<Payload>,
) -> Result<Response<Payload>, Refusal> {
    let wrong = |detail| Err(Refusal::new(Reason::SupplierMalformed, detail));
    if matches!(response.body(), Payload::Switched(_)) {
        let mut accepted = response.headers().get_all(SEC_WEBSOCKET_ACCEPT).iter();
        if accepted.next() != Some(expected) || accepted.next().is_some() {
            return wrong("the supplier did not answer the key of a WebSocket");
        }
    } else if response.status().is_success() {
        return wrong("the supplier answered a WebSocket with a page");
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_key_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let (mut one, mut other) = (HeaderMap::new(), HeaderMap::new());
        assert_ne!(begin(&mut one), begin(&mut other));
        assert_ne!(one[SEC_WEBSOCKET_KEY], other[SEC_WEBSOCKET_KEY]);
        assert_eq!(one[SEC_WEBSOCKET_KEY].len(), 24);
    }
}
