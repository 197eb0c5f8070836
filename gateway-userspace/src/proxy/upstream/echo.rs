//! The built-in supplier: answers with what arrived, as JSON. It shows what a real supplier would
//! see, but for the values of credentials, which may end in a terminal's history. The body is read
//! as it comes and no more of it kept than [`MAX_SHOWN`].

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::time::timeout_at;

use super::{BoxError, OutboundBody, Payload, UpstreamError, error::ClientStalled};

/// Bytes of a body shown.
const MAX_SHOWN: usize = 64 * 1024;

/// Carry credentials on whatever route they come.
static CREDENTIALS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
];

/// The echo.
#[derive(Debug, Clone)]
pub(super) struct Echo {
    /// Fields that carry credentials by configuration.
    credentials: Vec<HeaderName>,
}

impl Echo {
    pub(super) fn new(credentials: Vec<HeaderName>) -> Self {
        Self { credentials }
    }

    pub(super) async fn send(
        &self,
        request: Request<Option<OutboundBody>>,
        deadline: Instant,
    ) -> Result<Response<Payload>, UpstreamError> {
        let (head, body) = request.into_parts();
        let told = timeout_at(deadline.into(), listen(body))
            .await
            .unwrap_or_else(|_elapsed| Err(Box::new(ClientStalled)))
            .map_err(|source| UpstreamError::RequestBody { source })?;
        let answer = json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "headers": self.show(&head.headers),
            "body_bytes": told.length,
            "body": String::from_utf8_lossy(&told.start),
            "body_truncated": told.length > told.start.len() as u64,
            "trailers": told.trailers.as_ref().map(|trailers| self.show(trailers)),
        });
        Ok(respond(&answer))
    }

    /// The fields by name; the values of a repeated one joined (RFC 9110 5.3).
    fn show(&self, headers: &HeaderMap) -> Map<String, Value> {
        let show = |name: &HeaderName| {
            if CREDENTIALS.contains(name) || self.credentials.contains(name) {
                return "(hidden)".to_owned();
            }
            let values = headers.get_all(name).iter();
            let texts: Vec<_> =
                values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            texts.join(", ")
        };
        headers.keys().map(|name| (name.to_string(), show(name).into())).collect()
    }
}

/// What is kept of a body.
#[derive(Default)]
struct Heard {
    length: u64,
    start: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn listen(body: Option<OutboundBody>) -> Result<Heard, BoxError> {
    let mut heard = Heard::default();
    let Some(mut body) = body else { return Ok(heard) };
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                heard.length += data.len() as u64;
                let room = MAX_SHOWN.saturating_sub(heard.start.len());
                heard.start.extend(data.iter().take(room));
            }
            Err(other) => heard.trailers = other.into_trailers().ok(),
        }
    }
    Ok(heard)
}

fn respond(answer: &Value) -> Response<Payload> {
    let mut response = Response::new(Payload::Own(Bytes::from(answer.to_string())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
