//! Refusals as a gRPC client reads them: status 200, no body, and the outcome in `grpc-status`
//! (the protocol's trailers-only form). A problem document would be "unknown" to it.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CACHE_CONTROL,
    header::CONTENT_TYPE,
};

use super::{body::Payload, decision::Refusal};

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
static GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Whether a request is a gRPC call. gRPC-Web is not: browsers read its status like any other.
pub(super) fn asked(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The response a refusal becomes.
pub(super) fn refusal(refusal: &Refusal) -> Response<Payload> {
    let info = refusal.reason.info();
    let mut response = Response::new(Payload::Own(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC.clone());
    headers.insert(CACHE_CONTROL, NO_STORE.clone());
    headers.insert(&STATUS, HeaderValue::from(code(info.status)));
    // Titles are plain ASCII, and need none of the escapes a message may need.
    headers.insert(&MESSAGE, HeaderValue::from_static(info.title));
    if matches!(info.status, 429 | 503) {
        let wait = refusal.retry_after.unwrap_or(Duration::from_secs(1));
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(&PUSHBACK, HeaderValue::from(wait));
    }
    response
}

/// The status code that says the same (grpc/doc/statuscodes).
fn code(status: u16) -> u16 {
    match StatusCode::from_u16(status).unwrap_or_default() {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED => 12,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => 4,
        StatusCode::CONFLICT => 10,
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::INTERNAL_SERVER_ERROR => 13,
        status if status.is_client_error() => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use gateway_common::Reason;

    use super::*;

    #[test]
    fn knows_a_call_by_its_content_type() {
        let of = |kind| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert!(asked(&of(kind)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json"] {
            assert!(!asked(&of(kind)), "{kind}");
        }
        assert!(!asked(&HeaderMap::new()));
    }

    #[test]
    fn says_every_refusal_as_a_status_of_its_own() {
        for (reason, code) in [
            (Reason::CredentialMissing, "16"),
            (Reason::CredentialForbidden, "7"),
            (Reason::RouteUnknown, "12"),
            (Reason::ClientLimit, "8"),
            (Reason::Overloaded, "14"),
            (Reason::SupplierUnreachable, "14"),
            (Reason::SupplierTimeout, "4"),
            (Reason::PathInvalid, "3"),
            (Reason::Internal, "13"),
        ] {
            let response = refusal(&Refusal::new(reason, "a secret detail"));
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[&STATUS], code);
            assert_eq!(response.headers()[&MESSAGE], reason.info().title);
        }
        for reason in Reason::ALL.iter().filter(|reason| reason.info().status >= 400) {
            assert_ne!(code(reason.info().status), 2, "{reason}");
        }
    }
}
