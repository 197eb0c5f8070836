//! The request body on its way to a supplier. It knows whom the exchange waits for, the client or
//! the supplier, and keeps the client's error for the one who must answer for it.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};

use super::{BoxError, OutboundBody};
use crate::clock;

/// A request body; without state if there is nothing to send.
pub(super) struct Upload {
    body: OutboundBody,
    /// Bytes to come, where the body or its Content-Length tells: past them hyper asks no more.
    remaining: Option<u64>,
    progress: Option<Arc<Progress>>,
}

impl Upload {
    pub(super) fn new(body: OutboundBody, declared: Option<u64>) -> Self {
        let progress = (!body.is_end_stream()).then(|| Arc::new(Progress::new(clock::now())));
        let remaining = declared.or(body.size_hint().exact());
        Self { body, remaining, progress }
    }

    pub(super) fn empty() -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Self { body, remaining: None, progress: None }
    }

    /// How the upload goes; `None` if there is nothing to send.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
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
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let Some(progress) = &this.progress else { return polled };
        match polled {
            Poll::Pending => {
                progress.enter(Turn::Client);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.remaining = this.remaining.map(|bytes| bytes.saturating_sub(count));
                let last = this.remaining == Some(0) || this.body.is_end_stream();
                progress.enter(if last { Turn::Sent } else { Turn::Supplier });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                progress.fail(error);
                Poll::Ready(Some(Err(Box::new(Kept))))
            }
            Poll::Ready(None) => {
                progress.enter(Turn::Sent);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Stands for the client's error inside hyper, which would not give it back.
#[derive(Debug, thiserror::Error)]
#[error("the client's body failed")]
struct Kept;

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

/// Shared by the body inside hyper and the one who waits for the answer. Both are on one thread;
/// atomics only because hyper wants a body that could move.
pub(super) struct Progress {
    started: Instant,
    /// Milliseconds since `started`, times four, plus the turn.
    turn: AtomicU64,
    failure: Mutex<Option<BoxError>>,
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self { started, turn: AtomicU64::new(0), failure: Mutex::new(None) }
    }

    /// Whose turn it is, and since when.
    pub(super) fn turn(&self) -> (Turn, Instant) {
        let word = self.turn.load(Ordering::Relaxed);
        let turn = match word & 3 {
            0 => Turn::Supplier,
            1 => Turn::Client,
            _ => Turn::Sent,
        };
        (turn, self.started + Duration::from_millis(word >> 2))
    }

    /// Takes the client's error, if its body failed.
    pub(super) fn take_failure(&self) -> Option<BoxError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn enter(&self, turn: Turn) {
        let elapsed = clock::now().saturating_duration_since(self.started).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX >> 2);
        let code = match turn {
            Turn::Supplier => 0,
            Turn::Client => 1,
            Turn::Sent => 2,
        };
        self.turn.store((elapsed << 2) | code, Ordering::Relaxed);
    }

    fn fail(&self, error: BoxError) {
        self.enter(Turn::Sent);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
    }
}
