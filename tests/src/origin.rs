//! A real supplier: HTTP/1.1 on one port, h2 with prior knowledge on another, answering by path.
//!
//! `/status/418`, `/delay/250` (ms), `/big/1000000` (bytes), `/close` (no answer), `/indiscreet`
//! (headers that must not reach a client); everything else is echoed as JSON.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::netns::{Namespace, runtime};

/// Connections one origin serves at a time.
const CONNECTIONS: usize = 8192;

/// Bytes of a body that are echoed.
const ECHO_BYTES: usize = 1024;

/// A supplier in a namespace; dropping it closes its sockets.
#[derive(Debug)]
pub struct Origin {
    pub http1: SocketAddr,
    pub h2c: SocketAddr,
    served: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Origin {
    /// Serves on two free ports of `address`.
    pub fn start(namespace: &Namespace, address: &str) -> Result<Self> {
        let address = format!("{address}:0");
        let (ready, bound) = mpsc::sync_channel(1);
        let (stop, stopped) = watch::channel(false);
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let thread =
            namespace.spawn(move || runtime()?.block_on(serve(&address, &ready, stopped, counter)));
        let Ok((http1, h2c)) = bound.recv() else {
            let outcome = thread.join().map_err(|_panic| anyhow!("the origin panicked"))?;
            return Err(outcome.err().unwrap_or_else(|| anyhow!("the origin did not start")));
        };
        Ok(Self { http1, h2c, served, stop, thread: Some(thread) })
    }

    /// Requests that reached it.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Acquire)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // Nobody listening means it is down already.
        self.stop.send(true).ok();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(
    address: &str,
    ready: &mpsc::SyncSender<(SocketAddr, SocketAddr)>,
    mut stopped: watch::Receiver<bool>,
    served: Arc<AtomicU64>,
) -> Result<()> {
    let plain = TcpListener::bind(address).await.context("binding the origin")?;
    let h2c = TcpListener::bind(address).await.context("binding the origin")?;
    ready.send((plain.local_addr()?, h2c.local_addr()?)).context("reporting the origin")?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = plain.accept(), if connections.len() < CONNECTIONS => {
                connections.spawn(plain_connection(stream, Arc::clone(&served)));
            }
            Ok((stream, _)) = h2c.accept(), if connections.len() < CONNECTIONS => {
                connections.spawn(h2c_connection(stream, Arc::clone(&served)));
            }
        }
    }
}

// A client that goes away ends its connection; there is no one to tell.
async fn plain_connection(stream: TcpStream, count: Arc<AtomicU64>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&count)));
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new());
    drop(connection.serve_connection(TokioIo::new(stream), service).await);
}

async fn h2c_connection(stream: TcpStream, count: Arc<AtomicU64>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&count)));
    let mut connection = http2::Builder::new(TokioExecutor::new());
    connection.timer(TokioTimer::new());
    drop(connection.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    request: Request<Incoming>,
    served: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, anyhow::Error> {
    served.fetch_add(1, Ordering::AcqRel);
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').split('/');
    let (command, argument) = (parts.next().unwrap_or_default(), parts.next());
    let number = argument.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    match command {
        "close" => bail!("asked to close"),
        "delay" => tokio::time::sleep(Duration::from_millis(number.min(60_000))).await,
        "status" => return respond(u16::try_from(number).unwrap_or(500), Bytes::new()),
        "big" => {
            let size = usize::try_from(number).unwrap_or(0).min(64 * 1024 * 1024);
            return respond(200, Bytes::from(vec![b'x'; size]));
        }
        "indiscreet" => return indiscreet(),
        _ => {}
    }
    echo(request).await
}

fn respond(status: u16, body: Bytes) -> Result<Response<Full<Bytes>>> {
    Response::builder().status(status).body(Full::new(body)).context("building an answer")
}

/// Names what it runs on, and sets headers for this hop alone.
fn indiscreet() -> Result<Response<Full<Bytes>>> {
    let builder = Response::builder()
        .header("server", "origin/1.2.3")
        .header("x-powered-by", "lab")
        .header("x-hop", "secret")
        .header("x-kept", "kept");
    builder.body(Full::new(Bytes::from_static(b"indiscreet"))).context("building an answer")
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.context("reading the request's body")?.to_bytes();
    let shown = body.get(..body.len().min(ECHO_BYTES)).unwrap_or_default();
    let report = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "authority": head.uri.authority().map(http::uri::Authority::as_str),
        "version": format!("{:?}", head.version),
        "headers": headers(&head.headers),
        "body_bytes": body.len(),
        "body": String::from_utf8_lossy(shown),
    });
    let response = Response::builder().header("content-type", "application/json");
    response.body(Full::new(Bytes::from(report.to_string()))).context("building an answer")
}

/// Each name with all its values.
fn headers(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())));
        map.insert(name.as_str().to_owned(), values.collect());
    }
    Value::Object(map)
}

/// What `echo` says of one request header: all its values.
pub fn echoed(answer: &Value, header: &str) -> Vec<String> {
    let values = answer.get("headers").and_then(|headers| headers.get(header));
    let values = values.and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
