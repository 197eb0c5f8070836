//! hyper on a watched stream: one driver for both versions, and what their faults mean.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gateway_common::Reason;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    gate::Gate,
    linger::linger,
    refuse,
    stream::Watched,
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
    let io = TokioIo::new(Gate::new(watched, Rc::clone(&vigil), bounds));
    let service = service_fn(|request| answer(worker, peer, &vigil, request));
    let end = {
        let mut connection = builder.serve_connection(io, service);
        drive(Pin::new(&mut connection), &vigil, stop).await
    };
    match end {
        End::Refused(fault) => refuse::head(worker, peer, fault, stream).await,
        End::Lapsed(Lapse::Head) => {
            let late = Fault::new(Reason::HeadTimeout, "proxy.timeouts.head");
            refuse::head(worker, peer, late, stream).await;
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
    let mut busy = vigil.begin();
    let response = pipeline::serve(worker, peer, request).await;
    busy.until(response.body().deadline());
    Ok(response.map(|body| Held { body, _busy: busy }))
}

/// A response body that keeps its connection from being idle.
pub(super) struct Held {
    body: ResponseBody,
    _busy: Busy,
}

impl Body for Held {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What both versions have in common.
pub(super) trait Conversation: Future<Output = hyper::Result<()>> {
    /// Ends it after the requests in flight.
    fn finish(self: Pin<&mut Self>);
}

impl<I, B, S> Conversation for http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
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
    vigil: &Vigil,
    mut stop: watch::Receiver<bool>,
) -> End {
    let mut timer = pin!(sleep_until(Instant::from_std(clock::now())));
    let mut stopping = *stop.borrow();
    let mut finished = false;
    let mut chance = pin!(sleep_until(Instant::from_std(clock::now()) + LAST_CHANCE));
    loop {
        if stopping && !finished && (!vigil.owes_an_answer() || chance.is_elapsed()) {
            finished = true;
            conversation.as_mut().finish();
        }
        tokio::select! {
            // What has arrived is read before an idle connection is ended.
            biased;
            end = poll_fn(|cx| poll(conversation.as_mut(), timer.as_mut(), vigil, cx)) => {
                let End::Lapsed(Lapse::Idle) = end else { return end };
                conversation.as_mut().finish();
                return match timeout(GOODBYE, conversation).await {
                    Ok(closed) => End::Closed(closed),
                    Err(_elapsed) => end,
                };
            }
            () = vigil.asked(), if stopping && !finished => {}
            () = &mut chance, if stopping && !finished => {}
            _ = stop.changed(), if !stopping => {
                stopping = true;
                chance.as_mut().reset(Instant::from_std(clock::now()) + LAST_CHANCE);
            }
        }
    }
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
        let deadline = Instant::from_std(deadline);
        // A timer that fires early costs one look; moving it with every request costs more.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if Instant::from_std(clock::now()) >= deadline {
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
