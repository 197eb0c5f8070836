//! A client that speaks TLS with HTTP/1.1 or h2, from an address of its choice.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::certs::{Certificates, NAME};

/// What an honest client waits, however loaded the machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The HTTP version a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    H2,
}

/// Where to connect, from where, and how.
#[derive(Debug, Clone)]
pub struct Client {
    pub server: SocketAddr,
    pub source: Option<IpAddr>,
    pub version: Version,
    /// No step of an exchange takes longer.
    pub patience: Duration,
    tls: Arc<ClientConfig>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An open connection; dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    authority: String,
    patience: Duration,
    /// Drives the connection, for as long as this lives.
    _driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Ask {
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: "POST", body: body.into(), ..Self::get(path) }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Answer {
    /// A header's value as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("reading {:?}", String::from_utf8_lossy(&self.body)))
    }
}

impl Client {
    pub fn new(server: SocketAddr, version: Version, certificates: &Certificates) -> Result<Self> {
        let alpn: &[&[u8]] = match version {
            Version::Http1 => &[b"http/1.1"],
            Version::H2 => &[b"h2"],
        };
        let tls = certificates.client(alpn)?;
        Ok(Self { server, source: None, version, patience: PATIENCE, tls })
    }

    /// The same client, bound to another of the namespace's addresses.
    #[must_use]
    pub fn from(&self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self.clone() }
    }

    /// A TCP connection and nothing more.
    pub async fn dial(&self) -> Result<TcpStream> {
        let socket = match self.server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).context("binding the client's address")?;
        }
        let stream = bounded(self.patience, "connecting", socket.connect(self.server)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A TLS connection, for bytes no HTTP library would write.
    pub async fn handshake(&self) -> Result<TlsStream<TcpStream>> {
        let stream = self.dial().await?;
        let name = ServerName::try_from(NAME).context("naming the server")?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        bounded(self.patience, "the TLS handshake", connector.connect(name, stream)).await
    }

    /// A connection that takes requests.
    pub async fn connect(&self) -> Result<Connection> {
        let io = TokioIo::new(self.handshake().await?);
        let mut driver = JoinSet::new();
        let sender = match self.version {
            Version::Http1 => {
                let (sender, connection) =
                    bounded(self.patience, "HTTP/1.1", http1::handshake(io)).await?;
                driver.spawn(async { drop(connection.await) });
                Sender::Http1(sender)
            }
            Version::H2 => {
                let handshake = http2::handshake(TokioExecutor::new(), io);
                let (sender, connection) = bounded(self.patience, "h2", handshake).await?;
                driver.spawn(async { drop(connection.await) });
                Sender::H2(sender)
            }
        };
        let authority = format!("{NAME}:{}", self.server.port());
        Ok(Connection { sender, authority, patience: self.patience, _driver: driver })
    }

    /// One request on a connection of its own.
    pub async fn once(&self, ask: &Ask) -> Result<Answer> {
        self.connect().await?.send(ask).await
    }
}

impl Connection {
    /// One request; the connection can be used again after.
    pub async fn send(&mut self, ask: &Ask) -> Result<Answer> {
        let request = self.request(ask)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                bounded(self.patience, "readiness", sender.ready()).await?;
                bounded(self.patience, "an answer", sender.send_request(request)).await?
            }
            Sender::H2(sender) => {
                bounded(self.patience, "readiness", sender.ready()).await?;
                bounded(self.patience, "an answer", sender.send_request(request)).await?
            }
        };
        whole(self.patience, response).await
    }

    /// Whether the server closed it.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::H2(sender) => sender.is_closed(),
        }
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>> {
        let mut builder = Request::builder().method(ask.method);
        builder = match self.sender {
            Sender::Http1(_) => builder.uri(&ask.path).header("host", &self.authority),
            Sender::H2(_) => builder.uri(format!("https://{}{}", self.authority, ask.path)),
        };
        for (name, value) in &ask.headers {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(ask.body.clone())).context("building a request")
    }
}

async fn whole(patience: Duration, response: http::Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = bounded(patience, "the answer's body", body.collect()).await?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

async fn bounded<T, E>(
    patience: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T>
where
    E: Into<anyhow::Error>,
{
    let outcome = timeout(patience, work).await;
    let outcome = outcome.map_err(|_elapsed| anyhow!("waited {patience:?} in vain for {what}"))?;
    outcome.map_err(|error| error.into().context(format!("waiting for {what}")))
}
