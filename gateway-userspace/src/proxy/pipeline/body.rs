//! Bodies on their way through: the request's with its cap and its patience, the response's with
//! the record that is written when it ends. Nothing is buffered.

use std::{
    cell::Cell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use gateway_common::Reason;
use http::{HeaderMap, header::CONTENT_ENCODING};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{
    context::Packed, decision::Refusal, exchange::Exchange, patience::Patience, ticket::Ticket,
};
pub use crate::proxy::upstream::Payload;
use crate::proxy::{
    coding::{
        STALE,
        decode::{self, Decoding},
    },
    http1::Fault,
    upstream::{Switched, UpstreamError},
};

/// Why a request body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the request body is over the route's cap")]
    TooLarge,
    #[error("the request body stopped arriving")]
    Timeout,
    #[error(transparent)]
    Coding(decode::Fault),
    #[error("the client broke off")]
    Client(#[source] hyper::Error),
}

impl BodyFault {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Timeout => Reason::BodyTimeout,
            Self::Coding(decode::Fault::TooLarge) => Reason::DecodedTooLarge,
            Self::Coding(decode::Fault::Ratio) => Reason::DecodedRatio,
            Self::Coding(decode::Fault::Corrupt) => Reason::CodingInvalid,
            Self::Client(error) => fault(error).map_or(Reason::ClientGone, |fault| fault.reason),
        }
    }
}

/// What the gate in front of hyper found in the body, if that is why hyper gave up.
fn fault(error: &hyper::Error) -> Option<Fault> {
    let io = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    io.get_ref()?.downcast_ref().copied()
}

/// What a failed exchange is called: a fault of the request body is the client's, wherever it
/// surfaced.
pub(super) fn reason(error: &UpstreamError) -> Reason {
    if let UpstreamError::RequestBody { source } = error
        && let Some(fault) = source.downcast_ref::<BodyFault>()
    {
        return fault.reason();
    }
    error.reason()
}

/// A request body that counts, and ends in a fault past its cap or the client's time.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    bytes: Rc<Cell<u64>>,
    cap: u64,
    patience: Patience,
    unpacking: Option<Unpacking>,
    /// Frames that a stage looked at, on their way still.
    held: VecDeque<Frame<Bytes>>,
}

/// A body that is decoded on its way.
#[derive(Debug)]
struct Unpacking {
    decoding: Decoding,
    _place: Ticket,
}

impl RequestBody {
    /// `bytes` is where the length so far is noted.
    pub(crate) fn new(incoming: Incoming, bytes: Rc<Cell<u64>>, cap: u64, wait: Duration) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Self {
            incoming,
            bytes,
            cap,
            patience: Patience::new(wait),
            unpacking: None,
            held: VecDeque::new(),
        }
    }

    /// The body as its supplier is to get it: decoded, under fields that say so.
    pub(crate) fn unpacked(mut self, packed: Packed, headers: &mut HeaderMap) -> Self {
        if self.is_empty() {
            return self;
        }
        let Packed { decoding, place } = packed;
        headers.remove(CONTENT_ENCODING);
        for name in &STALE {
            headers.remove(name);
        }
        self.unpacking = Some(Unpacking { decoding, _place: place });
        self
    }

    /// Reads on until `most` bytes or the end are there, and keeps them for who comes next. What was
    /// read, and whether it is all.
    pub(crate) async fn hold(&mut self, most: usize) -> Result<(Bytes, bool), BodyFault> {
        let mut ahead = Ahead::read(self, most).await?;
        // Another stage may have held more of it than this one asked for.
        ahead.frames.append(&mut self.held);
        self.held = ahead.frames;
        Ok((ahead.bytes, ahead.whole))
    }

    /// Something else in its place.
    pub(crate) fn replace(&mut self, with: Bytes) {
        self.incoming = None;
        self.unpacking = None;
        self.held = VecDeque::from([Frame::data(with)]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_none() && self.held.is_empty()
    }

    fn fail(&mut self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.incoming = None;
        Poll::Ready(Some(Err(fault)))
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.patience.renew();
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let total = self.bytes.get().saturating_add(length);
        self.bytes.set(total);
        if total > self.cap {
            return self.fail(BodyFault::TooLarge);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// As it came.
    fn poll_arrived(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.count(frame),
            Poll::Ready(Some(Err(error))) => self.fail(BodyFault::Client(error)),
            Poll::Ready(None) => {
                self.incoming = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.patience.poll_lost(cx));
                self.fail(BodyFault::Timeout)
            }
        }
    }

    /// What is in it. Each turn gives one piece at most.
    fn poll_unpacked(
        &mut self,
        mut unpacking: Unpacking,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            match unpacking.decoding.next() {
                Ok(Some(piece)) => {
                    self.unpacking = Some(unpacking);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Ok(None) => {}
                Err(fault) => return self.fail(BodyFault::Coding(fault)),
            }
            let last = match self.poll_arrived(cx) {
                Poll::Pending => {
                    self.unpacking = Some(unpacking);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        unpacking.decoding.feed(data);
                        continue;
                    }
                    Err(trailers) => Some(Ok(trailers)),
                },
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Some(Err(fault))),
                Poll::Ready(None) => None,
            };
            return match unpacking.decoding.finish() {
                Ok(()) => Poll::Ready(last),
                Err(fault) => self.fail(BodyFault::Coding(fault)),
            };
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(held) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(held)));
        }
        match self.unpacking.take() {
            Some(unpacking) => self.poll_unpacked(unpacking, cx),
            None => self.poll_arrived(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.incoming.as_ref().is_none_or(Body::is_end_stream);
        self.held.is_empty() && self.unpacking.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.unpacking.is_some() {
            return SizeHint::default();
        }
        let left = self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        behind(&self.held, &left)
    }
}

/// What was read of a body ahead of who it is for.
struct Ahead {
    /// `most` of them, at most.
    bytes: Bytes,
    frames: VecDeque<Frame<Bytes>>,
    /// The frames are all there are.
    whole: bool,
}

impl Ahead {
    async fn read<B>(body: &mut B, most: usize) -> Result<Self, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut bytes, mut frames, mut whole) = (BytesMut::new(), VecDeque::new(), true);
        while whole && let Some(frame) = body.frame().await {
            let frame = frame?;
            if let Some(data) = frame.data_ref() {
                let room = most.saturating_sub(bytes.len());
                bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
                whole = data.len() <= room;
            }
            frames.push_back(frame);
        }
        Ok(Self { bytes: bytes.freeze(), frames, whole })
    }
}

/// The size of frames with what comes behind them.
fn behind(frames: &VecDeque<Frame<Bytes>>, rest: &SizeHint) -> SizeHint {
    let data = frames.iter().filter_map(Frame::data_ref);
    let held: u64 = data.map(|data| data.len() as u64).sum();
    match rest.exact() {
        Some(rest) => SizeHint::with_exact(rest.saturating_add(held)),
        None => SizeHint::default(),
    }
}

/// Reads a supplier's answer until `most` bytes or its end are there: what was read, and the answer
/// as it goes on.
pub(super) async fn hold(mut body: Payload, most: usize) -> Result<(Bytes, Behind), Refusal> {
    let ahead = Ahead::read(&mut body, most).await;
    let ahead = ahead.map_err(|error| Refusal::new(reason(&error), error.to_string()))?;
    Ok((ahead.bytes, Behind { frames: ahead.frames, rest: body, whole: ahead.whole }))
}

/// An answer of which the first frames were looked at.
pub(super) struct Behind {
    frames: VecDeque<Frame<Bytes>>,
    rest: Payload,
    whole: bool,
}

impl Behind {
    /// Whether all of it was looked at.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn into_payload(self) -> Payload {
        Payload::Recoded(Box::new(self))
    }
}

impl Body for Behind {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        behind(&self.frames, &self.rest.size_hint())
    }
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

    /// What a protocol switch leads to, taken out; the record of the exchange stays here.
    pub(crate) fn take_switched(&mut self) -> Option<Box<Switched>> {
        match std::mem::replace(&mut self.payload, Payload::Own(Bytes::new())) {
            Payload::Switched(switched) => Some(switched),
            payload @ (Payload::Own(_) | Payload::Supplier(_) | Payload::Recoded(_)) => {
                self.payload = payload;
                None
            }
        }
    }

    /// What passed a tunnel, from the client and to it.
    pub(crate) fn tunnelled(&mut self, received: u64, sent: u64) {
        self.exchange.bytes_in.set(self.exchange.bytes_in.get().saturating_add(received));
        self.exchange.sent(sent);
    }

    /// A tunnel ended before its ends wanted it to.
    pub(crate) fn broke(&mut self, reason: Reason) {
        self.exchange.broke(reason);
    }

    /// When it has to be read.
    pub(crate) fn deadline(&self) -> Instant {
        self.exchange.deadline()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let frame = ready!(Pin::new(&mut self.payload).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.exchange.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Some(Err(error)) => self.exchange.broke(reason(error)),
            None => self.exchange.completed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload.size_hint()
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
