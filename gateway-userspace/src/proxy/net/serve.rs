//! hyper on a watched stream: one driver for both versions, and what their faults mean.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gateway_common::Reason;
use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Sleep, sleep_until, timeout},
};

use super::{
    gate::Gate,
    linger::linger,
    refuse,
    sleeper::Sleeper,
    stream::Watched,
    tunnel::{self, Opened},
    vigil::{Busy, Lapse, Vigil},
};
use crate::{
    clock,
    proxy::{
        http1::{Bounds, Fault},
        pipeline::{self, body::ResponseBody, context::Peer},
        upstream::UpstreamError,
        worker::Worker,
    },
};

/// hyper asks for at least this much.
const LEAST_BUFFER: usize = 8192;

/// What an idle connection gets to say goodbye.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// What a connection that was accepted just before the proxy goes down gets to send its request: the
/// client cannot know, and the next proxy on the same socket would have served it.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// How a conversation ended.
pub(super) enum End {
    Closed(hyper::Result<()>),
    Lapsed(Lapse),
    /// A head that hyper never saw.
    Refused(Fault),
}

/// Serves HTTP/1.1 until the connection ends.
pub(super) async fn first<S>(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    mut stream: S,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let proxy = &worker.shared.config.proxy;
    let vigil = Vigil::new(&proxy.timeouts, true, clock::now());
    let mut builder = http1::Builder::new();
    builder
        // The vigil tells a slow head from an idle connection; hyper's timer does not.
        .header_read_timeout(None)
        .max_headers(usize::from(proxy.head_fields))
        // Without `pipeline_flush`: with it hyper loses its answer to a head that does not parse.
        .max_buf_size((proxy.head_bytes as usize).max(LEAST_BUFFER));
    let bounds = Bounds { bytes: proxy.head_bytes as usize, fields: proxy.head_fields.into() };
    let watched = Watched::new(&mut stream, Rc::clone(&vigil));
    let gate = Gate::new(watched, Rc::clone(&vigil), bounds);
    let opened = Cell::new(None);
    // hyper has room for this future as long as the connection lives: boxed, that is a pointer.
    let service =
        service_fn(|request| Box::pin(answer_first(worker, peer, &vigil, &opened, request)));
    let (end, early) = {
        let mut conversation = Sleeper::new(&builder, gate, service, Rc::clone(&vigil));
        let end = drive(Pin::new(&mut conversation), worker, &vigil, stop.clone()).await;
        (end, conversation.into_gate().map(Gate::into_rest).unwrap_or_default())
    };
    if let (End::Closed(Ok(())), Some(opened)) = (&end, opened.take()) {
        return Box::pin(tunnel::run(worker, opened, &early, stream, stop)).await;
    }
    // What comes seldom is boxed: its future would have a place in that of every connection.
    match end {
        End::Refused(fault) => Box::pin(refuse::head(worker, peer, fault, stream)).await,
        End::Lapsed(Lapse::Head) => {
            let late = Fault::new(Reason::HeadTimeout, "proxy.timeouts.head");
            Box::pin(refuse::head(worker, peer, late, stream)).await;
        }
        End::Closed(_) | End::Lapsed(_) => part(worker, peer, &end, &mut stream).await,
    }
}

pub(super) async fn answer(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    vigil: &Rc<Vigil>,
    request: Request<Incoming>,
) -> Result<Response<Held>, Infallible> {
    let busy = vigil.begin();
    let mut response = pipeline::serve(worker, peer, request).await;
    if vigil.is_ending() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let stall = worker.shared.config.proxy.timeouts.stall;
    Ok(response.map(|body| Held::new(body, busy, stall)))
}

/// Answers, and sets aside what a protocol switch leads to.
async fn answer_first(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    vigil: &Rc<Vigil>,
    opened: &Cell<Option<Opened>>,
    request: Request<Incoming>,
) -> Result<Response<Held>, Infallible> {
    let mut response = answer(worker, peer, vigil, request).await?;
    if let Some(switch) = response.body_mut().take_opened() {
        opened.set(Some(switch));
    }
    Ok(response)
}

/// A response body that keeps its connection from being idle. The client has as long as the route
/// gives to read it, and `proxy.timeouts.stall` for each piece beyond.
pub(super) struct Held {
    /// `None` after a protocol switch.
    body: Option<ResponseBody>,
    stall: Duration,
    deadline: Instant,
    busy: Busy,
}

impl Held {
    fn new(body: ResponseBody, mut busy: Busy, stall: Duration) -> Self {
        let deadline = body.deadline();
        busy.until(deadline);
        Self { body: Some(body), stall, deadline, busy }
    }

    /// What a protocol switch leads to.
    pub(super) fn take_opened(&mut self) -> Option<Opened> {
        let switched = self.body.as_mut().and_then(ResponseBody::take_switched)?;
        self.body.take().map(|record| Opened { switched, record })
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            // hyper asks once the client took what was there, so this begins a wait of its own: for
            // the supplier, which its own patience ends first, or for the client.
            let deadline = self.deadline.max(clock::now() + self.stall);
            self.busy.until(deadline);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What both versions have in common.
pub(super) trait Conversation: Future<Output = hyper::Result<()>> {
    /// Ends it after the requests in flight.
    fn finish(self: Pin<&mut Self>);

    /// Gives back what only the next request needs, if it can.
    fn rest(self: Pin<&mut Self>) {}
}

impl<I, B, S, E> Conversation for http2::Connection<I, S, E>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

pub(super) async fn drive<C: Conversation>(
    mut conversation: Pin<&mut C>,
    worker: &Rc<Worker>,
    vigil: &Vigil,
    mut stop: watch::Receiver<bool>,
) -> End {
    let mut timer = pin!(sleep_until(clock::now().into()));
    let mut stopping = *stop.borrow();
    let mut finished = false;
    let mut pressure = worker.pressure();
    vigil.squeeze(*pressure.borrow_and_update());
    let mut chance = pin!(sleep_until((clock::now() + last_chance(worker)).into()));
    if stopping {
        vigil.end();
    }
    loop {
        let waits = vigil.owes_an_answer() || vigil.takes_turns() && !worker.shared.is_in_a_hurry();
        if stopping && !finished && (!waits || chance.is_elapsed()) {
            finished = true;
            conversation.as_mut().finish();
        }
        tokio::select! {
            // What has arrived is read before an idle connection is ended.
            biased;
            end = poll_fn(|cx| poll(conversation.as_mut(), timer.as_mut(), vigil, cx)) => {
                match end {
                    End::Lapsed(Lapse::Drowsy) => {
                        conversation.as_mut().rest();
                        continue;
                    }
                    End::Lapsed(Lapse::Idle) if vigil.is_squeezed() => {
                        worker.shared.ledger.metrics.closed_for_memory();
                    }
                    End::Lapsed(Lapse::Idle) => {}
                    End::Closed(_) | End::Refused(_) | End::Lapsed(_) => return end,
                }
                conversation.as_mut().finish();
                return match timeout(GOODBYE, conversation).await {
                    Ok(closed) => End::Closed(closed),
                    Err(_elapsed) => end,
                };
            }
            Ok(()) = pressure.changed() => vigil.squeeze(*pressure.borrow_and_update()),
            () = vigil.asked(), if stopping && !finished => {}
            () = &mut chance, if stopping && !finished => {}
            _ = stop.changed(), if !stopping => {
                stopping = true;
                vigil.end();
                chance.as_mut().reset((clock::now() + last_chance(worker)).into());
            }
        }
    }
}

/// How long a connection may wait for a request before it is closed unasked. Where others
/// serve on there is no hurry: a request on its way to a connection that is closed would be lost.
fn last_chance(worker: &Rc<Worker>) -> Duration {
    if !worker.shared.is_in_a_hurry() {
        let drain = worker.latest().shared.config.proxy.timeouts.drain;
        return drain.saturating_sub(GOODBYE).max(LAST_CHANCE);
    }
    LAST_CHANCE
}

fn poll<C: Conversation>(
    conversation: Pin<&mut C>,
    mut timer: Pin<&mut Sleep>,
    vigil: &Vigil,
    cx: &mut Context<'_>,
) -> Poll<End> {
    if let Poll::Ready(closed) = conversation.poll(cx) {
        return Poll::Ready(End::Closed(closed));
    }
    if let Some(fault) = vigil.refusal() {
        return Poll::Ready(End::Refused(fault));
    }
    while let Some((deadline, lapse)) = vigil.next() {
        // A timer that fires early costs one look; moving it with every request costs more.
        if deadline < timer.deadline().into_std() || timer.is_elapsed() {
            timer.as_mut().reset(deadline.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if clock::now() >= deadline {
            return Poll::Ready(End::Lapsed(lapse));
        }
    }
    Poll::Pending
}

/// Reports what an ending says about the peer, and closes an ended conversation without a reset.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    peer: &Peer,
    end: &End,
    stream: &mut S,
) {
    if let Some((reason, detail)) = judge(end) {
        worker.refused_connection(peer, reason, &detail);
    }
    if matches!(end, End::Closed(_)) {
        linger(stream).await;
    }
}

/// What an ending says about the peer, if anything.
fn judge(end: &End) -> Option<(Reason, String)> {
    // Not to read is no attack by itself: the exchange was recorded as broken off.
    let End::Closed(Err(error)) = end else { return None };
    if error.is_parse_too_large() {
        return Some((Reason::HeadTooLarge, error.to_string()));
    }
    error.is_parse().then(|| (Reason::HeadMalformed, error.to_string()))
}
