//! Clients: one that speaks HTTP as it should, and one that sends whatever bytes it likes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) type Body = BoxBody<Bytes, std::io::Error>;

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

enum Sender {
    First(http1::SendRequest<Body>),
    Second(http2::SendRequest<Body>),
}

/// A connection, and the task that drives it.
pub(super) struct Client {
    sender: Sender,
    tasks: JoinSet<()>,
}

/// A response, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let stream = handshake(address, tls).await.unwrap();
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let mut tasks = JoinSet::new();
        let io = TokioIo::new(stream);
        let sender = if two {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tasks.spawn(async { drop(connection.await) });
            Sender::Second(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tasks.spawn(async { drop(connection.await) });
            Sender::First(sender)
        };
        Self { sender, tasks }
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(full("")).unwrap()).await
    }

    pub(super) async fn get_with(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = self.request(Method::GET, path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(full("")).unwrap()).await
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    pub(super) async fn try_send(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        let exchange = async {
            let response = match &mut self.sender {
                Sender::First(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Second(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (head, body) = response.into_parts();
            let collected = body.collect().await?;
            let trailers = collected.trailers().cloned();
            let (status, headers, body) = (head.status, head.headers, collected.to_bytes());
            Ok(Answer { status, headers, body, trailers })
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    pub(super) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let builder = Request::builder().method(method);
        match self.sender {
            Sender::First(_) => builder.uri(path).header("host", "localhost"),
            Sender::Second(_) => builder.uri(format!("https://localhost{path}")),
        }
    }

    /// Breaks off.
    pub(super) fn abort(mut self) {
        self.tasks.abort_all();
    }
}

pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub(super) async fn handshake(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(tls).connect(name, stream).await
}

/// Sends bytes over TLS and returns all that comes back.
pub(super) async fn raw(address: SocketAddr, tls: Arc<ClientConfig>, bytes: &[u8]) -> String {
    let mut stream = handshake(address, tls).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("an end in time"));
    String::from_utf8_lossy(&answer).into_owned()
}
