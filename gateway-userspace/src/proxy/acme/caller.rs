//! Speaks HTTPS with an authority, for `instant_acme`: over our own TLS, one connection a request,
//! every answer bounded in time and size, and none believed to be what it does not say it is.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::schedule::AWAY;
use crate::{
    ipc::message::FromProxy,
    proxy::{
        outbox::Asks,
        upstream::{Lookup, LookupError},
    },
};

/// One question and its whole answer.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// Addresses that are tried.
const ADDRESSES: usize = 4;

/// Bytes of an answer's body: a chain is a tenth of it.
const BODY: usize = 256 * 1024;

/// Bytes of an answer's head.
const HEAD: usize = 32 * 1024;

const US: &str = concat!("gateway/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{url} is not https")]
    Plain { url: Uri },
    #[error("looking up {host}")]
    Lookup {
        host: String,
        #[source]
        source: LookupError,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("connecting to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{host} said nothing for {} seconds", PATIENCE.as_secs())]
    Late { host: String },
    #[error("speaking HTTP with {host}")]
    Http {
        host: String,
        #[source]
        source: hyper::Error,
    },
    #[error("the answer of {host} is cut off, or over {} KiB", BODY / 1024)]
    Body { host: String },
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
    tls: Arc<ClientConfig>,
    /// The host of the directory, whose addresses the guard protects.
    host: String,
    lookup: Lookup,
    asks: Asks,
    away: Arc<Mutex<Option<Duration>>>,
}

impl Caller {
    pub(super) fn new(tls: Arc<ClientConfig>, host: String, lookup: Lookup, asks: Asks) -> Self {
        Self { tls, host, lookup, asks, away: Arc::default() }
    }

    /// How long the authority wants us to stay away, by its last refusal.
    pub(super) fn away(&self) -> Option<Duration> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let late = CallError::Late { host: host.clone() };
        let answered = timeout(PATIENCE, self.exchange(&host, request)).await;
        let mut response = answered.map_err(|_elapsed| late)??;
        self.heed(&mut response);
        check(&host, &response)?;
        Ok(response)
    }

    async fn exchange(
        &self,
        host: &str,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, Error> {
        let (port, request) = in_origin_form(request)?;
        let stream = self.connect(host, port).await?;
        let failed = |source| CallError::Http { host: host.to_owned(), source };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            whole(host, response).await
        };
        Ok(beside(connection, answering).await?)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, CallError> {
        let host = host.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = self.lookup.addresses(bare).await;
        let mut found = found.map_err(|source| CallError::Lookup { host: host.clone(), source })?;
        found.truncate(ADDRESSES);
        if host == self.host {
            // The guard first: an address has to be protected before it is spoken to.
            let addresses = found.iter().map(IpAddr::to_canonical).collect();
            let told = self.asks.tell(FromProxy::Resolved { name: host.clone(), addresses });
            tracing::debug!(told, %host, "the authority's addresses");
        }
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_invalid| CallError::NoAddress { host: host.clone() })?;
        let mut failure = CallError::NoAddress { host: host.clone() };
        for address in found.into_iter().map(|found| SocketAddr::new(found, port)) {
            let connecting = async {
                let stream = TcpStream::connect(address).await?;
                TlsConnector::from(Arc::clone(&self.tls)).connect(name.clone(), stream).await
            };
            let connected = timeout(CONNECT, connecting).await;
            match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(stream) => return Ok(stream),
                Err(source) => failure = CallError::Connect { address, source },
            }
        }
        Err(failure)
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

/// The port it goes to, and the request as it is said there.
fn in_origin_form(
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<(u16, Request<BodyWrapper<Bytes>>), Error> {
    let uri = request.uri().clone();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let Some(authority) = authority else { return Err(CallError::Plain { url: uri }.into()) };
    let host = HeaderValue::from_str(authority.as_str()).map_err(http::Error::from)?;
    let port = authority.port_u16().unwrap_or(443);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse()?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(US));
    Ok((port, request))
}

async fn whole(host: &str, response: Response<Incoming>) -> Result<BytesResponse, CallError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY).collect().await;
    let body = body.map_err(|_cut| CallError::Body { host: host.to_owned() })?;
    Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
}

/// Drives a connection until there is an answer.
async fn beside<T, E>(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    answering: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::pin!(connection, answering);
    let mut over = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answering => return answer,
            // What was received before its end is in the answer's hands.
            _ended = &mut connection, if !over => over = true,
        }
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
