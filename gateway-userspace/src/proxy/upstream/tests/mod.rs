//! Suppliers against real origins on loopback.

mod echo;
mod failures;
mod http1;
mod http2;
mod origin;
mod targets;
mod tls;

use std::{
    convert::Infallible,
    future::Future,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use gateway_common::Reason;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::Value;
use tokio::{sync::mpsc, task::LocalSet, time::timeout};

use super::{
    Book, BoxError, OutboundBody, Payload, Setup, Upstream, UpstreamError, Upstreams,
    target as running,
};
use crate::{
    clock,
    config::model::{Config, Host, Protocol, Supplier, SupplierKind, Target, Timeouts},
    proxy::{
        outbox::Asks,
        secrets::Secrets,
        testing,
        tls::{SupplierTls, TlsError, suppliers as tls_settings},
    },
};

/// A body that could go anywhere, as tests also serve it.
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The waits of the suppliers under test.
const FIRST_BYTE: Duration = Duration::from_millis(400);
const STALL: Duration = Duration::from_millis(300);

/// Runs a test as a worker would: one thread and a `LocalSet`.
fn on_worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let whole = local.run_until(async { timeout(PATIENCE, test).await });
    runtime.block_on(whole).expect("the test hangs");
}

/// Suppliers and what is known of them.
struct Lab {
    upstreams: Upstreams,
    book: Book,
}

impl Lab {
    async fn new(suppliers: &[Supplier]) -> Self {
        Self::trusting(suppliers, &[]).await.unwrap()
    }

    async fn trusting(suppliers: &[Supplier], files: &[(&str, &[u8])]) -> Result<Self, TlsError> {
        let mut config = testing::config();
        config.suppliers = suppliers.to_vec();
        config.proxy.timeouts = timeouts();
        let tls = tls_settings(&config, &secrets(files))?;
        Ok(Self::start(&config, &tls).await)
    }

    async fn start(config: &Config, tls: &SupplierTls) -> Self {
        let book = Book::new(config);
        let (asks, _told) = Asks::new();
        book.prepare(&asks).await;
        let setup = Setup::new(config, tls, &book).unwrap();
        Self { upstreams: Upstreams::new(&setup), book }
    }

    /// One supplier with one target.
    async fn of(target: Target) -> Self {
        Self::new(&[supplier(vec![target])]).await
    }

    async fn send(
        &self,
        request: Request<Option<OutboundBody>>,
    ) -> Result<Response<Payload>, UpstreamError> {
        self.upstreams.send(0, request, clock::now() + PATIENCE).await
    }

    async fn get(&self, path: &str) -> Result<Response<Payload>, UpstreamError> {
        self.send(request(Method::GET, path, nothing())).await
    }

    /// The text of a response that has to come.
    async fn text(&self, path: &str) -> String {
        text(self.get(path).await.unwrap()).await
    }

    async fn refusal(&self, path: &str) -> UpstreamError {
        self.get(path).await.expect_err("an error")
    }

    /// A number from the status of the first target.
    fn figure(&self, name: &str) -> u64 {
        self.target(0)["counts"][name].as_u64().unwrap()
    }

    fn target(&self, index: usize) -> Value {
        self.book.status()[index].clone()
    }

    /// The first target as the worker sees it: what it speaks, and its connections at rest.
    fn state(&self) -> (Protocol, usize) {
        self.running().state()
    }

    fn running(&self) -> Rc<running::Target> {
        Rc::clone(self.supplier().front().targets.first().unwrap())
    }

    fn supplier(&self) -> &super::Supplier {
        match self.upstreams.all.first().map(|(_, upstream)| &**upstream) {
            Some(Upstream::Http(supplier)) => supplier,
            Some(Upstream::Echo(_)) | None => panic!("not an HTTP supplier"),
        }
    }
}

fn secrets(files: &[(&str, &[u8])]) -> Secrets {
    let mut secrets = Secrets::default();
    for (path, bytes) in files {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        secrets.add((*path).to_owned(), &file).unwrap();
    }
    secrets
}

fn timeouts() -> Timeouts {
    Timeouts {
        handshake: PATIENCE,
        head: PATIENCE,
        body: PATIENCE,
        idle: PATIENCE,
        request: PATIENCE,
        connect: Duration::from_millis(800),
        first_byte: FIRST_BYTE,
        stall: STALL,
        drain: PATIENCE,
    }
}

fn supplier(targets: Vec<Target>) -> Supplier {
    Supplier {
        name: "ledger".to_owned(),
        kind: SupplierKind::Http(targets),
        connections: 8,
        ca: None,
        local: true,
        profile: crate::config::defaults::profile(),
    }
}

pub(super) fn target(address: SocketAddr, protocol: Protocol) -> Target {
    Target {
        tls: false,
        host: Host::Address(address.ip()),
        port: address.port(),
        protocol,
        weight: 1,
    }
}

fn request(method: Method, path: &str, body: AnyBody) -> Request<Option<OutboundBody>> {
    let body = Some(body).filter(|body| !http_body::Body::is_end_stream(body));
    let body = body.map(|body| -> OutboundBody { Box::pin(body) });
    Request::builder().method(method).uri(path).body(body).unwrap()
}

fn nothing() -> AnyBody {
    Empty::new().map_err(never).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> BoxError {
    match never {}
}

/// A body that the test feeds.
fn fed() -> (mpsc::Sender<Result<Frame<Bytes>, BoxError>>, AnyBody) {
    let (feed, frames) = mpsc::channel(4);
    let frames = stream::unfold(frames, |mut frames: mpsc::Receiver<_>| async move {
        frames.recv().await.map(|frame| (frame, frames))
    });
    (feed, BodyExt::boxed_unsync(StreamBody::new(frames)))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers(value: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", value.parse().unwrap());
    Frame::trailers(trailers)
}

async fn text(response: Response<Payload>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The error a body ends with, past the frames before it.
async fn body_fault(response: Response<Payload>) -> UpstreamError {
    response.into_body().collect().await.expect_err("an error")
}

fn assert_between(elapsed: Duration, least: Duration, most: Duration) {
    assert!(least <= elapsed && elapsed < most, "{elapsed:?} not within {least:?}..{most:?}");
}

fn since(start: Instant) -> Duration {
    clock::now().duration_since(start)
}
