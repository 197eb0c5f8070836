//! The built-in supplier: answers with what arrived, as JSON. It shows what a real supplier would
//! see, but for the values of credentials, which may end in a terminal's history. The body is read
//! as it comes and no more of it kept than [`MAX_SHOWN`].

use std::{cell::Cell, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::{
    BoxError, InboundBody, OutboundBody, UpstreamError, error::ClientStalled, target::count,
};

/// Bytes of a body shown.
const MAX_SHOWN: usize = 64 * 1024;

/// The echo and how often it answered.
#[derive(Debug)]
pub(super) struct Echo {
    name: String,
    answered: Cell<u64>,
}

impl Echo {
    pub(super) fn new(name: String) -> Self {
        Self { name, answered: Cell::new(0) }
    }

    pub(super) async fn send(
        &self,
        request: Request<OutboundBody>,
        deadline: Instant,
    ) -> Result<Response<InboundBody>, UpstreamError> {
        let (head, body) = request.into_parts();
        let told = timeout_at(deadline.into(), listen(body))
            .await
            .unwrap_or_else(|_elapsed| Err(Box::new(ClientStalled)))
            .map_err(|source| UpstreamError::RequestBody { source })?;
        let answer = json!({
            "method": head.method.as_str(),
            "path": head.uri.path_and_query().map_or("/", |path| path.as_str()),
            "headers": show(&head.headers),
            "body_length": told.length,
            "body": String::from_utf8_lossy(&told.start),
            "body_truncated": told.length > told.start.len() as u64,
            "trailers": told.trailers.as_ref().map(show),
        });
        count(&self.answered);
        Ok(respond(&answer))
    }

    pub(super) fn status(&self) -> Value {
        json!({ "name": self.name, "kind": "echo", "answered": self.answered.get() })
    }
}

/// What is kept of a body.
#[derive(Default)]
struct Heard {
    length: u64,
    start: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn listen(mut body: OutboundBody) -> Result<Heard, BoxError> {
    let mut heard = Heard::default();
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

fn respond(answer: &Value) -> Response<InboundBody> {
    let body = Full::new(Bytes::from(answer.to_string()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Name and value of each field, in order, so that repeated ones show.
fn show(headers: &HeaderMap) -> Vec<[String; 2]> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = if is_credential(name) {
                "(hidden)".to_owned()
            } else {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            [name.to_string(), value]
        })
        .collect()
}

fn is_credential(name: &HeaderName) -> bool {
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name)
}
