//! Refusals as responses: RFC 9457 problem documents from the one table of reasons. What tells a
//! revoked key from an unknown one stays in our log: the client's text comes from the title alone.

use std::fmt::Write as _;

use bytes::Bytes;
use gateway_common::Reason;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER,
        SEC_WEBSOCKET_ACCEPT, UPGRADE,
    },
};

use super::{
    body::Payload, context::RequestContext, decision::Refusal, identifiers::RequestId,
    stages::normalize::METHODS,
};
use crate::config::model::Redirect;

static PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The response a refusal becomes.
pub(crate) fn refusal(refusal: &Refusal, id: &RequestId) -> Response<Payload> {
    let info = refusal.reason.info();
    let status = StatusCode::from_u16(info.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Payload::Own(problem(info.title, status, id.as_str())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM.clone());
    headers.insert(CACHE_CONTROL, NO_STORE.clone());
    if let Some((name, value)) = &refusal.header {
        headers.insert(name, value.clone());
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let seconds = refusal.retry_after.map_or(1, |wait| wait.as_secs() + 1);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A route's redirect. Origin and form of the path are the configuration's; what the request gives
/// are segments of its normalized path, and its query.
pub(crate) fn redirect(
    context: &RequestContext,
    redirect: &Redirect,
) -> Result<Response<Payload>, Refusal> {
    let unlawful = |what: &'static str| Refusal::new(Reason::Internal, what);
    let status = StatusCode::from_u16(redirect.status)
        .map_err(|_source| unlawful("the redirect has no lawful status"))?;
    let query = context.head.uri.query().filter(|_| redirect.query);
    let location = [
        redirect.origin.as_deref().unwrap_or_default(),
        context.onward.as_deref().unwrap_or("/"),
        query.map_or("", |_| "?"),
        query.unwrap_or_default(),
    ];
    let location = HeaderValue::try_from(location.concat())
        .map_err(|_source| unlawful("the redirect leads to no lawful address"))?;
    let mut response = Response::new(Payload::Own(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// What the gateway itself takes.
pub(crate) fn options() -> Response<Payload> {
    let mut response = Response::new(Payload::Own(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response
}

/// Makes a head one that opens a WebSocket, on the connection that carries it.
pub(crate) fn with_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Makes a switch of protocols what it is on a stream of h2 (RFC 8441 section 5): a success. The
/// supplier's answer to our key is for nobody else.
pub(crate) fn opened(response: &mut Response<Payload>) {
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
}

/// Makes a response of ours one to HEAD: the length stays, the body goes. hyper would send it in
/// h2, which clients take as a breach of protocol.
pub(crate) fn without_body(response: &mut Response<Payload>) {
    if let Payload::Own(bytes) = response.body_mut()
        && !bytes.is_empty()
    {
        let length = std::mem::take(bytes).len();
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

/// The problem document. Titles are of the table: plain text without quotes.
pub(crate) fn problem(title: &str, status: StatusCode, id: &str) -> Bytes {
    let mut text = String::with_capacity(192);
    text.push_str(r#"{"type":"urn:problem-type:gateway:"#);
    text.extend(title.chars().map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }));
    // Writing to a string does not fail.
    if write!(text, r#"","title":"{title}","status":{},"request_id":"{id}"}}"#, status.as_u16())
        .is_err()
    {
        text.clear();
    }
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::pipeline::identifiers::Generator;

    fn document(reason: Reason) -> (StatusCode, serde_json::Value) {
        let id = Generator::new().request_id();
        let response = refusal(&Refusal::new(reason, "a secret detail"), &id);
        let status = response.status();
        let Payload::Own(bytes) = response.into_body() else { panic!("not ours") };
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["request_id"], id.as_str());
        (status, json)
    }

    #[test]
    fn every_reason_of_a_request_is_a_problem_document_without_its_detail() {
        for reason in Reason::ALL.iter().filter(|reason| reason.info().status >= 400) {
            let (status, json) = document(*reason);
            assert_eq!(json["status"], status.as_u16());
            assert_eq!(json["title"], reason.info().title);
            assert!(!json.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_revoked_key_reads_like_an_unknown_one() {
        let (_, mut revoked) = document(Reason::CredentialRevoked);
        let (_, unknown) = document(Reason::CredentialUnknown);
        revoked["request_id"] = unknown["request_id"].clone();
        assert_eq!(revoked, unknown);
    }

    #[test]
    fn says_when_to_come_back() {
        let wait = Duration::from_millis(2500);
        let refused = Refusal::new(Reason::ClientLimit, "").retry_after(wait);
        let response = refusal(&refused, &Generator::new().request_id());
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }
}
