//! Fields that are for one connection only (RFC 9110 section 7.6.1): removed in both directions,
//! with those a `Connection` field names.

use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE},
};

use super::fields;

static ALWAYS: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes them. `Trailer` is end to end and stays: hyper sends only the trailers it names.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    // Seldom there; to look at the few fields is less than to search for each of these.
    if headers.keys().any(|name| ALWAYS.contains(name)) {
        for name in &ALWAYS {
            headers.remove(name);
        }
    }
}

fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let tokens = fields::members(headers, &CONNECTION);
    tokens.filter_map(|token| HeaderName::from_bytes(token).ok()).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn removes_the_known_ones_and_those_named_in_every_connection_field() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "3"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
