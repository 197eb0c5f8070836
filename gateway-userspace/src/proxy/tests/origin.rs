//! A supplier that does what its path says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Collected, StreamBody, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::lab::Identified;
use crate::config::model::{Host, Protocol, SupplierKind, Target};

type Body = BoxBody<Bytes, std::io::Error>;

/// How an origin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    First,
    Second,
    TlsFirst,
    TlsSecond,
}

/// Counts what reaches it. Ends with the test's runtime.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    speaks: Speaks,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Origin {
    pub(super) async fn start(speaks: Speaks, identified: &Identified) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let tls = tls(speaks, identified);
        let mut task = JoinSet::new();
        let counted = Arc::clone(&connections);
        task.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Relaxed) + 1;
                let tls = tls.clone();
                tasks.spawn(async move {
                    let two = matches!(speaks, Speaks::Second | Speaks::TlsSecond);
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), two, number).await;
                            }
                        }
                        None => serve(TokioIo::new(stream), two, number).await,
                    }
                });
            }
        });
        Self { address, speaks, connections, _task: task }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    pub(super) fn kind(&self) -> SupplierKind {
        SupplierKind::Http(vec![self.target()])
    }

    pub(super) fn target(&self) -> Target {
        let tls = matches!(self.speaks, Speaks::TlsFirst | Speaks::TlsSecond);
        let protocol = if self.speaks == Speaks::Second { Protocol::Http2 } else { Protocol::Auto };
        Target {
            tls,
            host: Host::Address(self.address.ip()),
            port: self.address.port(),
            protocol,
            weight: 1,
        }
    }
}

fn tls(speaks: Speaks, identified: &Identified) -> Option<TlsAcceptor> {
    let protocol = match speaks {
        Speaks::First | Speaks::Second => return None,
        Speaks::TlsFirst => b"http/1.1".to_vec(),
        Speaks::TlsSecond => b"h2".to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(identified.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identified.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![protocol];
    Some(TlsAcceptor::from(Arc::new(config)))
}

async fn serve<I>(io: I, two: bool, connection: usize)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service =
        service_fn(
            move |request| async move { Ok::<_, Infallible>(answer(request, connection).await) },
        );
    if two {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(io, service).await);
    }
}

async fn answer(request: Request<Incoming>, connection: usize) -> Response<Body> {
    match request.uri().path() {
        "/never" => std::future::pending().await,
        "/stall" => streamed(stream::iter([chunk("begin")]).chain(stream::pending())),
        "/long" => streamed(stream::iter((0..64).map(|_| chunk(vec![b'x'; 16 * 1024])))),
        "/endless" => streamed(stream::repeat_with(|| chunk(vec![b'x'; 64 * 1024]))),
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let mut response = streamed(stream::iter([chunk("data"), Frame::trailers(trailers)]));
            response.headers_mut().insert("trailer", HeaderValue::from_static("grpc-status"));
            response
        }
        "/close" => {
            let mut response = told(&request, connection, Collected::default());
            response.headers_mut().insert("connection", HeaderValue::from_static("close"));
            response
        }
        "/revealing" => {
            let mut response = told(&request, connection, Collected::default());
            for name in ["server", "x-powered-by", "keep-alive"] {
                response.headers_mut().insert(name, HeaderValue::from_static("secret/1.2"));
            }
            response
        }
        "/redirect" => {
            let mut response = told(&request, connection, Collected::default());
            *response.status_mut() = StatusCode::FOUND;
            response
                .headers_mut()
                .insert("location", HeaderValue::from_static("http://127.0.0.1/"));
            response
        }
        _ => {
            let (head, body) = request.into_parts();
            let received = body.collect().await.unwrap_or_default();
            told(&Request::from_parts(head, ()), connection, received)
        }
    }
}

fn told<B>(request: &Request<B>, connection: usize, received: Collected<Bytes>) -> Response<Body> {
    let fields = |map: &HeaderMap| -> serde_json::Map<String, Value> {
        map.iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").into()))
            .collect()
    };
    let text = json!({
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": fields(request.headers()),
        "trailers": received.trailers().map(fields),
        "connection": connection,
        "body_bytes": received.to_bytes().len(),
    });
    streamed(stream::iter([chunk(text.to_string())]))
}

fn chunk(bytes: impl Into<Bytes>) -> Frame<Bytes> {
    Frame::data(bytes.into())
}

fn streamed<S>(frames: S) -> Response<Body>
where
    S: futures_util::Stream<Item = Frame<Bytes>> + Send + Sync + 'static,
{
    Response::new(BodyExt::boxed(StreamBody::new(frames.map(Ok))))
}

/// An origin that speaks bytes: each connection gets `answer` after the first read.
pub(super) struct Bytewise {
    pub(super) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Bytewise {
    pub(super) async fn start(answer: impl AsRef<[u8]> + Send + 'static) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok() && !answer.as_ref().is_empty() {
                    drop(stream.write_all(answer.as_ref()).await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        Self { address, _task: task }
    }

    pub(super) fn kind(&self) -> SupplierKind {
        SupplierKind::Http(vec![Target {
            tls: false,
            host: Host::Address(self.address.ip()),
            port: self.address.port(),
            protocol: Protocol::Auto,
            weight: 1,
        }])
    }
}
