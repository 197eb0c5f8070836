//! Bodies on their way through: the request's with its cap and its patience, the response's with
//! the record that is written when it ends. Nothing is buffered.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gateway_common::Reason;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{exchange::Exchange, patience::Patience};
use crate::{clock, proxy::upstream::body::SupplierBody};

/// Why a request body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the request body is over the route's cap")]
    TooLarge,
    #[error("the request body stopped arriving")]
    Timeout,
    #[error("the client broke off")]
    Client(#[source] hyper::Error),
}

/// What the other side of an exchange may know of a request body.
#[derive(Debug)]
pub(crate) struct BodyState {
    pub(crate) bytes: Cell<u64>,
    pub(crate) fault: Cell<Option<Reason>>,
    pub(crate) ended: Cell<bool>,
    /// The last time a part went to the supplier.
    pub(crate) moved: Cell<Instant>,
}

impl BodyState {
    pub(crate) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self {
            bytes: Cell::new(0),
            fault: Cell::new(None),
            ended: Cell::new(false),
            moved: Cell::new(now),
        })
    }
}

/// A request body that counts, and ends in a fault past its cap or the client's time.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    state: Rc<BodyState>,
    cap: u64,
    patience: Patience,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, state: Rc<BodyState>, cap: u64, wait: Duration) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        state.ended.set(incoming.is_none());
        Self { incoming, state, cap, patience: Patience::new(wait) }
    }

    /// The same absence of a body, for a second attempt.
    pub(crate) fn empty(state: Rc<BodyState>) -> Self {
        Self { incoming: None, state, cap: 0, patience: Patience::new(Duration::ZERO) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_none()
    }

    fn fail(
        &mut self,
        reason: Reason,
        fault: BodyFault,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.incoming = None;
        self.state.fault.set(Some(reason));
        Poll::Ready(Some(Err(fault)))
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.patience.renew();
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let total = self.state.bytes.get().saturating_add(length);
        self.state.bytes.set(total);
        if total > self.cap {
            return self.fail(Reason::BodyTooLarge, BodyFault::TooLarge);
        }
        self.state.moved.set(clock::now());
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.count(frame),
            Poll::Ready(Some(Err(error))) => {
                self.fail(Reason::ClientGone, BodyFault::Client(error))
            }
            Poll::Ready(None) => {
                self.incoming = None;
                self.state.ended.set(true);
                self.state.moved.set(clock::now());
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.patience.poll_lost(cx));
                self.fail(Reason::BodyTimeout, BodyFault::Timeout)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Where a response body comes from.
#[derive(Debug)]
pub enum Payload {
    /// Written by the gateway; empty once sent.
    Own(Bytes),
    Supplier(Box<SupplierBody>),
}

/// A response body on its way to the client; its end, or its drop, ends the exchange.
#[derive(Debug)]
pub struct ResponseBody {
    payload: Payload,
    exchange: Box<Exchange>,
}

impl ResponseBody {
    pub(crate) fn new(payload: Payload, exchange: Box<Exchange>) -> Self {
        Self { payload, exchange }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.payload {
            Payload::Own(bytes) if bytes.is_empty() => None,
            Payload::Own(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Payload::Supplier(body) => ready!(Pin::new(body.as_mut()).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                this.exchange.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Some(Err(error)) => this.exchange.broke(error.reason()),
            None => this.exchange.completed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Own(bytes) => bytes.is_empty(),
            Payload::Supplier(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Supplier(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper does not poll a body whose end it knows from its length.
        if self.is_end_stream() {
            self.exchange.completed();
        }
    }
}

/// Why a response body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the supplier broke off")]
    Supplier(#[source] hyper::Error),
    #[error("the supplier stopped sending")]
    Stalled,
    #[error("the route's time is over")]
    Late,
}

impl BodyError {
    fn reason(&self) -> Reason {
        match self {
            Self::Supplier(_) => Reason::SupplierMalformed,
            Self::Stalled | Self::Late => Reason::SupplierTimeout,
        }
    }
}
