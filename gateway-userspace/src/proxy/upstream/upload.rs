//! The request body on its way to a supplier. It knows whom the exchange waits for, the client or
//! the supplier, and keeps the client's error for the one who must answer for it.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{BoxError, OutboundBody};
use crate::clock;

/// Bytes of a body that are kept for sending it again.
const KEPT: usize = 64 * 1024;

/// A request body; without state if there is nothing to send.
pub(super) struct Upload {
    body: Option<OutboundBody>,
    /// Bytes to come, where the body or its Content-Length tells: past them hyper asks no more.
    remaining: Option<u64>,
    progress: Option<Rc<Progress>>,
    /// What has passed, where the request may be sent again.
    kept: Option<Rc<Kept>>,
}

/// A request body as far as it has passed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: RefCell<BytesMut>,
    state: Cell<Keeping>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Keeping {
    #[default]
    Partly,
    Whole,
    /// Over the cap, or with trailers.
    GivenUp,
}

impl Kept {
    /// The body, if all of it is there.
    pub(super) fn whole(&self) -> Option<Bytes> {
        (self.state.get() == Keeping::Whole).then(|| self.bytes.borrow().clone().freeze())
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        let mut bytes = self.bytes.borrow_mut();
        let data = frame.data_ref().filter(|data| bytes.len() + data.len() <= KEPT);
        match data {
            Some(data) if self.state.get() == Keeping::Partly => bytes.extend_from_slice(data),
            Some(_) => {}
            None => {
                self.state.set(Keeping::GivenUp);
                *bytes = BytesMut::new();
            }
        }
    }

    fn finish(&self) {
        if self.state.get() == Keeping::Partly {
            self.state.set(Keeping::Whole);
        }
    }
}

impl Upload {
    pub(super) fn new(body: Option<OutboundBody>, declared: Option<u64>) -> Self {
        let body = body.filter(|body| !body.is_end_stream());
        let progress = body.is_some().then(|| Progress::new(clock::now()));
        let remaining = declared.or(body.as_ref().and_then(|body| body.size_hint().exact()));
        Self { body, remaining, progress, kept: None }
    }

    /// Keeps what passes, for sending it again.
    pub(super) fn keeping(mut self) -> (Self, Rc<Kept>) {
        let kept = Rc::new(Kept::default());
        self.kept = self.progress.is_some().then(|| Rc::clone(&kept));
        (self, kept)
    }

    pub(super) fn empty() -> Self {
        Self { body: None, remaining: None, progress: None, kept: None }
    }

    /// How the upload goes; `None` if there is nothing to send.
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let (Some(body), Some(progress)) = (&mut this.body, &this.progress) else {
            return Poll::Ready(None);
        };
        match body.as_mut().poll_frame(cx) {
            Poll::Pending => {
                progress.enter(Turn::Client);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.remaining = this.remaining.map(|bytes| bytes.saturating_sub(count));
                // hyper asks no more after trailers either.
                let last = frame.is_trailers() || this.remaining == Some(0) || body.is_end_stream();
                progress.enter(if last { Turn::Sent } else { Turn::Supplier });
                if let Some(kept) = &this.kept {
                    kept.keep(&frame);
                    if last {
                        kept.finish();
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                progress.fail(error);
                Poll::Ready(Some(Err(Box::new(Withheld))))
            }
            Poll::Ready(None) => {
                if let Some(kept) = &this.kept {
                    kept.finish();
                }
                progress.enter(Turn::Sent);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Stands for the client's error inside hyper, which would not give it back.
#[derive(Debug, thiserror::Error)]
#[error("the client's body failed")]
struct Withheld;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The supplier has to take what is there.
    Supplier,
    /// The client has to send more.
    Client,
    /// All is handed over.
    Sent,
}

/// Shared by the body inside hyper and the one who waits for the answer.
pub(super) struct Progress {
    turn: Cell<(Turn, Instant)>,
    failure: RefCell<Option<BoxError>>,
}

impl Progress {
    fn new(started: Instant) -> Rc<Self> {
        let turn = Cell::new((Turn::Supplier, started));
        Rc::new(Self { turn, failure: RefCell::new(None) })
    }

    /// Whose turn it is, and since when.
    pub(super) fn turn(&self) -> (Turn, Instant) {
        self.turn.get()
    }

    /// Takes the client's error, if its body failed.
    pub(super) fn take_failure(&self) -> Option<BoxError> {
        self.failure.take()
    }

    fn enter(&self, turn: Turn) {
        self.turn.set((turn, clock::now()));
    }

    fn fail(&self, error: BoxError) {
        self.enter(Turn::Sent);
        self.failure.replace(Some(error));
    }
}
