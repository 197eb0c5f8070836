//! HTTPS for questions that the gateway itself asks: of authorities, identity providers, token
//! endpoints. One connection a question, every answer bounded in time and size, no redirects, no
//! content codings, no addresses inside this machine unless that is meant.

mod error;
mod hosts;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

pub(crate) use self::{error::FetchError, hosts::Hosts};
use super::upstream::{Lookup, permitted};
use crate::config::model::Url;

/// Addresses that are tried.
const ADDRESSES: usize = 4;

/// Bytes of an answer's head.
const HEAD: usize = 32 * 1024;

const US: &str = concat!("gateway/", env!("CARGO_PKG_VERSION"));

/// What a question may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// One address, its handshake included.
    pub(crate) connect: Duration,
    /// A question and its whole answer.
    pub(crate) total: Duration,
    /// Bytes of the answer's body.
    pub(crate) body: usize,
    /// Loopback and link-local addresses are meant.
    pub(crate) local: bool,
}

/// Asks. Cheap to clone; of no thread and no configuration but its TLS settings and resolver.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
    lookup: Lookup,
    hosts: Arc<Hosts>,
    terms: Terms,
}

/// A whole answer, which is no redirect.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Answer {
    /// In lower case, without parameters; empty where none was said.
    pub(crate) fn content_type(&self) -> String {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }

    /// `application/json`, or a type that ends in `+json`.
    pub(crate) fn is_json(&self) -> bool {
        let kind = self.content_type();
        kind == "application/json" || kind.ends_with("+json")
    }
}

impl Client {
    pub(crate) fn new(
        tls: Arc<ClientConfig>,
        lookup: Lookup,
        hosts: Arc<Hosts>,
        terms: Terms,
    ) -> Self {
        Self { tls, lookup, hosts, terms }
    }

    /// The body of a JSON document at `url`, with its answer's head.
    pub(crate) async fn get(&self, url: &Url, accept: &'static str) -> Result<Answer, FetchError> {
        let request = Request::get(&url.path)
            .header(http::header::ACCEPT, accept)
            .body(http_body_util::Empty::<Bytes>::new())
            .map_err(|source| FetchError::Request { url: url.clone(), source })?;
        self.ask(url, request).await
    }

    /// Sends `request`, whose target and host are set here, and waits for the whole answer.
    pub(crate) async fn ask<B>(&self, url: &Url, request: Request<B>) -> Result<Answer, FetchError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let late = || FetchError::Late { host: url.host(), total: self.terms.total };
        let answered = timeout(self.terms.total, self.exchange(url, request)).await;
        answered.map_err(|_elapsed| late())?
    }

    async fn exchange<B>(&self, url: &Url, request: Request<B>) -> Result<Answer, FetchError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = addressed(url, request)?;
        let stream = self.connect(url).await?;
        let failed = |source| FetchError::Http { host: url.host(), source };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            self.whole(url, response).await
        };
        beside(connection, answering).await
    }

    async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, FetchError> {
        let host = url.host();
        let name = ServerName::try_from(host.clone())
            .map_err(|_invalid| FetchError::NoAddress { host: host.clone() })?;
        let mut failure = FetchError::NoAddress { host: host.clone() };
        for address in self.addresses(&host).await? {
            let address = SocketAddr::new(address, url.port);
            let connecting = self.shake_hands(url, address, name.clone());
            let connected = timeout(self.terms.connect, connecting).await;
            match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(stream) => return Ok(stream),
                Err(source) => failure = FetchError::Connect { address, source },
            }
        }
        Err(failure)
    }

    /// The guard first: an address has to be protected before it is spoken to.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, FetchError> {
        let found = self.lookup.addresses(host).await;
        let found = found.map_err(|source| FetchError::Lookup { host: host.to_owned(), source })?;
        let some = !found.is_empty();
        let mut lawful: Vec<IpAddr> = found.iter().map(IpAddr::to_canonical).collect();
        lawful.retain(|address| permitted(*address, self.terms.local));
        lawful.truncate(ADDRESSES);
        if some && lawful.is_empty() {
            return Err(FetchError::Local { host: host.to_owned() });
        }
        self.hosts.learn(host, &lawful);
        Ok(lawful)
    }

    async fn shake_hands(
        &self,
        url: &Url,
        address: SocketAddr,
        name: ServerName<'static>,
    ) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        if !url.tls {
            return Ok(Box::new(stream));
        }
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Box::new(stream))
    }

    async fn whole(&self, url: &Url, response: Response<Incoming>) -> Result<Answer, FetchError> {
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        if status.is_redirection() {
            return Err(FetchError::Redirect { host: url.host(), status: status.as_u16() });
        }
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(FetchError::Packed { host: url.host() });
        }
        let most = self.terms.body;
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|_cut| FetchError::Body { host: url.host(), most })?;
        Ok(Answer { status, headers, body: body.to_bytes() })
    }
}

/// In origin form, with the fields that every request has.
fn addressed<B>(url: &Url, mut request: Request<B>) -> Result<Request<B>, FetchError> {
    let failed = |source| FetchError::Request { url: url.clone(), source };
    let host = HeaderValue::from_str(&url.authority).map_err(|error| failed(error.into()))?;
    *request.uri_mut() =
        url.path.parse().map_err(|error: http::uri::InvalidUri| failed(error.into()))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(US));
    Ok(request)
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
