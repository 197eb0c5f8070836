//! Suppliers against real origins on loopback.

mod echo;
mod failures;
mod http1;
mod http2;
mod origin;
mod targets;
mod tls;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use gateway_common::Reason;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde_json::Value;
use tokio::{sync::mpsc, task::LocalSet, time::timeout};

use super::{BoxError, InboundBody, OutboundBody, UpstreamError, Upstreams};
use crate::{
    clock,
    config::model::{Host, Protocol, Supplier, SupplierKind, Target, Timeouts},
};

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

/// Suppliers and what they reported.
struct Lab {
    upstreams: Upstreams,
    resolved: mpsc::Receiver<(String, Vec<IpAddr>)>,
}

impl Lab {
    fn new(suppliers: &[Supplier]) -> Self {
        Self::trusting(suppliers, &HashMap::new()).unwrap()
    }

    fn trusting(
        suppliers: &[Supplier],
        authorities: &HashMap<PathBuf, Vec<u8>>,
    ) -> Result<Self, UpstreamError> {
        let (reports, resolved) = mpsc::channel(8);
        let upstreams = Upstreams::of(suppliers, &timeouts(), authorities, reports)?;
        Ok(Self { upstreams, resolved })
    }

    /// One supplier with one target.
    fn of(target: Target) -> Self {
        Self::new(&[supplier(vec![target])])
    }

    async fn send(
        &self,
        request: Request<OutboundBody>,
    ) -> Result<Response<InboundBody>, UpstreamError> {
        self.upstreams.send(0, request, clock::now() + PATIENCE).await
    }

    async fn get(&self, path: &str) -> Result<Response<InboundBody>, UpstreamError> {
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
        self.target(0)[name].as_u64().unwrap()
    }

    fn target(&self, index: usize) -> Value {
        self.upstreams.status()["suppliers"][0]["targets"][index].clone()
    }
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
    }
}

fn target(address: SocketAddr, protocol: Protocol) -> Target {
    Target { tls: false, host: Host::Address(address.ip()), port: address.port(), protocol }
}

fn request(method: Method, path: &str, body: OutboundBody) -> Request<OutboundBody> {
    Request::builder().method(method).uri(path).body(body).unwrap()
}

fn nothing() -> OutboundBody {
    Empty::new().map_err(never).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> OutboundBody {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> BoxError {
    match never {}
}

/// A body that the test feeds.
fn fed() -> (mpsc::Sender<Result<Frame<Bytes>, BoxError>>, OutboundBody) {
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

async fn text(response: Response<InboundBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The error a body ends with, past the frames before it.
async fn body_fault(response: Response<InboundBody>) -> Box<UpstreamError> {
    let error = response.into_body().collect().await.expect_err("an error");
    error.downcast().expect("an error of the upstream")
}

fn assert_between(elapsed: Duration, least: Duration, most: Duration) {
    assert!(least <= elapsed && elapsed < most, "{elapsed:?} not within {least:?}..{most:?}");
}

fn since(start: Instant) -> Duration {
    clock::now().duration_since(start)
}
