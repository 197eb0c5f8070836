//! Speaks HTTPS with an authority, for `instant_acme`: by the gateway's own client, and no answer is
//! believed to be what it does not say it is.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::schedule::AWAY;
use crate::{
    config::model::Url,
    proxy::fetch::{Client, FetchError, Terms},
};

/// An authority may stand inside this machine where its URL says so: then it was meant.
pub(super) const TERMS: Terms = Terms {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(30),
    // A chain is a tenth of it.
    body: 256 * 1024,
    local: true,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{url} is not https")]
    Plain { url: String },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{host} answered {status} with {kind}, which no authority says")]
    Unlike { host: String, status: u16, kind: String },
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// A way to one authority.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    away: Arc<Mutex<Option<Duration>>>,
}

impl Caller {
    pub(super) fn new(client: Client) -> Self {
        Self { client, away: Arc::default() }
    }

    /// How long the authority wants us to stay away, by its last refusal.
    pub(super) fn away(&self) -> Option<Duration> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let url = request.uri().to_string();
        let url = Url::read(&url, false).map_err(|_wrong| CallError::Plain { url })?;
        let answer = self.client.ask(&url, request).await.map_err(CallError::from)?;
        let mut response = Response::new(Full::new(answer.body));
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        let mut response = BytesResponse::from(response);
        self.heed(&mut response);
        check(&url.host(), &response)?;
        Ok(response)
    }

    /// Takes note of how long the authority wants us to stay away.
    fn heed(&self, response: &mut BytesResponse) {
        let away = bounded(response);
        let refused = matches!(response.parts.status.as_u16(), 429 | 503);
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away.filter(|_| refused);
    }
}

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().call(request))
    }
}

/// `Retry-After`, and puts it within what can be waited: the library adds it to a time unasked.
pub(super) fn bounded(response: &mut BytesResponse) -> Option<Duration> {
    let headers = &mut response.parts.headers;
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let away = Duration::from_secs(seconds).min(AWAY);
    headers.insert(RETRY_AFTER, HeaderValue::from(away.as_secs()));
    Some(away)
}

/// A page of a proxy in between, or of a web server at a wrong address, is not read as an answer.
pub(super) fn check(host: &str, response: &BytesResponse) -> Result<(), Error> {
    let status = response.parts.status;
    let kind = response.parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("no content type").to_ascii_lowercase();
    let lawful = if status.is_success() { !kind.contains("html") } else { kind.contains("json") };
    if lawful {
        return Ok(());
    }
    let kind = kind.chars().filter(char::is_ascii_graphic).take(64).collect();
    Err(CallError::Unlike { host: host.to_owned(), status: status.as_u16(), kind }.into())
}
