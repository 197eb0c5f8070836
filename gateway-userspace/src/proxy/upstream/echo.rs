//! The built-in supplier of the embedded default: says what arrived, but no credentials.

use bytes::Bytes;
use gateway_common::Reason;
use http::{
    HeaderName, HeaderValue, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE},
};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use super::forward::Outgoing;
use crate::proxy::pipeline::{
    body::{BodyState, Payload, RequestBody},
    decision::Refusal,
};

/// Never told back, on whatever route they come.
static SECRET: [HeaderName; 3] = [AUTHORIZATION, COOKIE, HeaderName::from_static("x-api-key")];

/// Reads the body to its end, keeping only its length, and answers with what it saw.
pub(super) async fn answer(
    request: &Outgoing,
    mut body: RequestBody,
    state: &BodyState,
    credentials: &[HeaderName],
) -> Result<Response<Payload>, Refusal> {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            let reason = state.fault.get().unwrap_or(Reason::ClientGone);
            return Err(Refusal::new(reason, "the request body ended early"));
        }
    }
    let headers: Map<String, Value> = request
        .headers
        .iter()
        .filter(|(name, _)| !SECRET.contains(name) && !credentials.contains(name))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let text = json!({
        "method": request.method.as_str(),
        "path": request.path.path(),
        "query": request.path.query(),
        "headers": headers,
        "body_bytes": state.bytes.get(),
    });
    let mut response = Response::new(Payload::Own(Bytes::from(text.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
