//! The response body on its way to the client. It holds the connection it comes from: read to its
//! end, the connection goes back to the pool; dropped before, the connection closes (HTTP/1.1) or
//! the stream is reset (h2).

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, upgrade::Upgraded};
use tokio::time::{Sleep, sleep_until};

use super::{
    UpstreamError,
    crew::{Attempt, Visit},
    error::Wait,
    link::Http1,
    pool::Place,
    upload::{Progress, Turn},
};
use crate::clock;

/// What the request holds at its supplier until the body is over.
#[derive(Debug)]
pub(super) struct Stay {
    pub(super) attempt: Attempt,
    pub(super) _visit: Visit,
}

/// What a body keeps busy.
pub(super) enum Hold {
    Connection(Http1),
    Stream { _place: Place },
}

/// A response body on its way to the client.
pub enum Payload {
    /// Written by the gateway; empty once sent.
    Own(Bytes),
    Supplier(Box<Download>),
    /// A supplier's body in another coding.
    Recoded(Box<dyn Body<Data = Bytes, Error = UpstreamError> + Unpin>),
    /// No body: the connection is another protocol's from here on.
    Switched(Box<Switched>),
}

/// A supplier's connection after HTTP. It keeps its place among the target's connections.
pub struct Switched {
    pub(crate) stream: Upgraded,
    _connection: Http1,
    /// The request it was counts as under way at its target.
    stay: Option<Stay>,
}

impl Switched {
    pub(super) fn new(stream: Upgraded, connection: Http1) -> Self {
        Self { stream, _connection: connection, stay: None }
    }
}

impl std::fmt::Debug for Switched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switched").finish_non_exhaustive()
    }
}

/// A response body from a supplier.
pub struct Download {
    body: Incoming,
    /// `None` once the body is over, well or badly.
    hold: Option<Hold>,
    stay: Option<Stay>,
    upload: Option<Rc<Progress>>,
    target: Arc<str>,
    /// A body has no other end than this: a stream may outlive its route's timeout for as long as
    /// bytes flow (server-sent events, long downloads).
    stall: Duration,
    /// When the last frame came; kept only while `timer` is set.
    last: Instant,
    /// Set the first time the body has to be waited for: most never are.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(super) fn new(
        body: Incoming,
        hold: Hold,
        upload: Option<Rc<Progress>>,
        target: Arc<str>,
        stall: Duration,
    ) -> Self {
        let (last, timer) = (clock::now(), None);
        Self { body, hold: Some(hold), stay: None, upload, target, stall, last, timer }
    }

    /// The body is whole: the connection is free for the next request.
    fn finish(&mut self) {
        if let Some(stay) = self.stay.take() {
            stay.attempt.finished();
        }
        if let Some(Hold::Connection(connection)) = self.hold.take() {
            release(connection, self.upload.as_deref());
        }
    }

    /// Waits until the next frame is overdue.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<UpstreamError> {
        loop {
            let now = clock::now();
            let timer = match &mut self.timer {
                Some(timer) => timer,
                none => {
                    self.last = now;
                    none.insert(Box::pin(sleep_until((now + self.stall).into())))
                }
            };
            ready!(timer.as_mut().poll(cx));
            let overdue = self.last + self.stall;
            if now >= overdue {
                let target = Arc::clone(&self.target);
                return Poll::Ready(UpstreamError::Timeout { target, wait: Wait::Body });
            }
            timer.as_mut().reset(overdue.into());
        }
    }

    fn end_with(
        &mut self,
        error: UpstreamError,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        self.hold = None;
        if let Some(mut stay) = self.stay.take()
            && is_the_targets(&error)
        {
            stay.attempt.failed();
        }
        Poll::Ready(Some(Err(error)))
    }

    fn fault(&self, error: hyper::Error) -> UpstreamError {
        match self.upload.as_ref().and_then(|upload| upload.take_failure()) {
            Some(source) => UpstreamError::RequestBody { source },
            None => UpstreamError::of_exchange(&self.target, error),
        }
    }
}

/// Past the deadline the client may be to blame, which read too slowly.
fn is_the_targets(error: &UpstreamError) -> bool {
    let late = matches!(error, UpstreamError::Timeout { wait: Wait::Deadline, .. });
    error.is_the_targets() && !late
}

/// Gives a connection back whose response is read. One whose request is still being sent cannot
/// be used again and, as nobody would wait for it, ends here.
pub(super) fn release(connection: Http1, upload: Option<&Progress>) {
    if upload.is_none_or(|upload| upload.turn().0 == Turn::Sent) {
        connection.go_home();
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        if this.hold.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.last = clock::now();
                // hyper's servers ask no more after trailers.
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let fault = this.fault(error);
                this.end_with(fault)
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let overdue = ready!(this.poll_overdue(cx));
                this.end_with(overdue)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.hold.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Payload {
    /// Keeps what the request holds until the body is over.
    pub(super) fn holding(self, stay: Stay) -> Self {
        match self {
            Self::Own(bytes) => {
                stay.attempt.finished();
                Self::Own(bytes)
            }
            Self::Supplier(mut body) => {
                body.stay = Some(stay);
                Self::Supplier(body)
            }
            // Recoded after it left its supplier, which the body inside holds.
            Self::Recoded(body) => Self::Recoded(body),
            Self::Switched(mut switched) => {
                stay.attempt.finished();
                switched.stay = Some(stay);
                Self::Switched(switched)
            }
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Own(_) => "Own",
            Self::Supplier(_) => "Supplier",
            Self::Recoded(_) => "Recoded",
            Self::Switched(_) => "Switched",
        };
        f.debug_struct(kind).finish_non_exhaustive()
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Supplier(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Recoded(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Switched(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Supplier(body) => body.is_end_stream(),
            Self::Recoded(body) => body.is_end_stream(),
            Self::Switched(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Supplier(body) => body.size_hint(),
            Self::Recoded(body) => body.size_hint(),
            Self::Switched(_) => SizeHint::with_exact(0),
        }
    }
}
