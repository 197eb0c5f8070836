//! Copies of requests for a second supplier. Nobody waits for their answers: a copy is sent once
//! the request's body has passed, on a task of its own, and only while there is room for it.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{
    Request,
    header::{AUTHORIZATION, COOKIE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::{task::JoinSet, time::timeout_at};

use crate::{
    clock,
    proxy::{
        pipeline::exchange::Exchange,
        router,
        upstream::{BoxError, OutboundBody, Upstreams},
    },
    telemetry::{Metrics, MirrorOutcome},
};

/// Copies of one worker that may be under way.
const UNDER_WAY: usize = 64;
/// Bytes of a request that are kept for its copy.
const KEPT: usize = 64 * 1024;
/// Bytes of an answer that are read, so that its connection can be used again.
const READ: usize = 256 * 1024;

/// One worker's copies.
#[derive(Debug)]
pub(super) struct Mirrors {
    upstreams: Rc<Upstreams>,
    /// Ended with the worker.
    tasks: Rc<RefCell<JoinSet<()>>>,
}

impl Mirrors {
    pub(super) fn new(upstreams: &Rc<Upstreams>) -> Self {
        Self { upstreams: Rc::clone(upstreams), tasks: Rc::default() }
    }

    /// The request, which gives a copy of itself away as its body passes.
    pub(super) fn copy(
        &self,
        mirror: router::Mirror,
        exchange: &Exchange,
        request: Request<Option<OutboundBody>>,
    ) -> Request<Option<OutboundBody>> {
        let now = clock::now();
        let copy = Copy {
            upstreams: Rc::clone(&self.upstreams),
            tasks: Rc::clone(&self.tasks),
            metrics: Arc::clone(&exchange.worker().shared.ledger.metrics),
            supplier: mirror.supplier,
            patience: exchange.deadline().saturating_duration_since(now),
            head: head(&request, mirror.credentials),
        };
        request.map(|body| {
            let Some(body) = body else {
                copy.send(Bytes::new());
                return None;
            };
            let tee: OutboundBody = Box::pin(Tee { body, copy: Some(copy), kept: BytesMut::new() });
            Some(tee)
        })
    }
}

fn head<B>(request: &Request<B>, credentials: bool) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    head.headers_mut().clone_from(request.headers());
    if !credentials {
        for name in [AUTHORIZATION, COOKIE] {
            head.headers_mut().remove(name);
        }
    }
    head
}

/// A copy that waits for its body.
struct Copy {
    upstreams: Rc<Upstreams>,
    tasks: Rc<RefCell<JoinSet<()>>>,
    metrics: Arc<Metrics>,
    supplier: usize,
    patience: Duration,
    head: Request<()>,
}

impl Copy {
    fn send(self, body: Bytes) {
        let tasks = Rc::clone(&self.tasks);
        let mut tasks = tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= UNDER_WAY {
            self.metrics.mirrored(MirrorOutcome::Dropped);
            return;
        }
        drop(tasks.spawn_local(self.run(body)));
    }

    fn give_up(self) {
        self.metrics.mirrored(MirrorOutcome::Dropped);
    }

    async fn run(self, body: Bytes) {
        let deadline = clock::now() + self.patience;
        let body = Some(body).filter(|body| !body.is_empty());
        let body = body.map(|body| -> OutboundBody {
            Box::pin(Full::new(body).map_err(|never| match never {}))
        });
        let request = self.head.map(|()| body);
        let answered = answered(&self.upstreams, self.supplier, request, deadline);
        let answered = timeout_at(deadline.into(), answered).await.unwrap_or(false);
        let outcome = if answered { MirrorOutcome::Answered } else { MirrorOutcome::Failed };
        self.metrics.mirrored(outcome);
    }
}

async fn answered(
    upstreams: &Upstreams,
    supplier: usize,
    request: Request<Option<OutboundBody>>,
    deadline: Instant,
) -> bool {
    let Ok(response) = upstreams.send(supplier, request, deadline).await else { return false };
    let mut body = Limited::new(response.into_body(), READ);
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            // Too long or broken: the answer was there, its connection ends with it.
            break;
        }
    }
    true
}

/// A request body of which a copy is kept while it passes.
struct Tee {
    body: OutboundBody,
    /// `None` once given away or given up.
    copy: Option<Copy>,
    kept: BytesMut,
}

impl Tee {
    fn keep(&mut self, data: &Bytes) {
        if self.copy.is_none() {
            return;
        }
        if self.kept.len() + data.len() <= KEPT {
            self.kept.extend_from_slice(data);
        } else if let Some(copy) = self.copy.take() {
            self.kept = BytesMut::new();
            copy.give_up();
        }
    }

    fn end(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.send(std::mem::take(&mut self.kept).freeze());
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.keep(data);
                }
                // Past its length nobody asks a body for its end.
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.end();
                }
            }
            Some(Err(_)) => {
                if let Some(copy) = this.copy.take() {
                    copy.give_up();
                }
            }
            None => this.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
