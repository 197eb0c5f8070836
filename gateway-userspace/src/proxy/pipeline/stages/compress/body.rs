//! An answer's body as it is packed. Whatever the supplier leaves waiting is flushed, so that no
//! event or line of a stream is held back; and a long body gives way to others between two pieces.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::proxy::{
    coding::encode::Encoder,
    pipeline::{body::Payload, ticket::Ticket},
};

/// Bytes packed at a time, and in one turn of the task: half a millisecond or so.
const PIECE: usize = 16 << 10;
const TURN: usize = 4 * PIECE;

pub(super) struct Compressing {
    inner: Payload,
    /// `None` once its end was made.
    encoder: Option<Encoder>,
    /// What came from the supplier and is not packed yet.
    pending: Bytes,
    /// Something was written that the client could not read yet.
    unflushed: bool,
    trailers: Option<Frame<Bytes>>,
    _place: Ticket,
}

type Failure = <Payload as Body>::Error;
type Polled = Poll<Option<Result<Frame<Bytes>, Failure>>>;

impl Compressing {
    pub(super) fn new(inner: Payload, encoder: Encoder, place: Ticket) -> Self {
        Self {
            inner,
            encoder: Some(encoder),
            pending: Bytes::new(),
            unflushed: false,
            trailers: None,
            _place: place,
        }
    }

    /// Packs a piece; what came of it, if the encoder gave anything.
    fn pack(&mut self) -> io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        let piece = self.pending.split_to(self.pending.len().min(PIECE));
        encoder.write(&piece)?;
        self.unflushed = true;
        Ok(encoder.take())
    }

    /// All that the supplier sent so far; empty if the client has it.
    fn flush(&mut self) -> io::Result<Bytes> {
        match &mut self.encoder {
            Some(encoder) if std::mem::take(&mut self.unflushed) => {
                encoder.flush()?;
                Ok(encoder.take())
            }
            Some(_) | None => Ok(Bytes::new()),
        }
    }

    fn finish(&mut self) -> Polled {
        match self.encoder.take().map(Encoder::finish) {
            Some(Ok(rest)) if !rest.is_empty() => data(rest),
            Some(Err(error)) => failed(error),
            Some(Ok(_)) | None => Poll::Ready(self.trailers.take().map(Ok)),
        }
    }
}

fn data(bytes: Bytes) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(bytes))))
}

fn failed(source: io::Error) -> Polled {
    Poll::Ready(Some(Err(Failure::from(source))))
}

impl Body for Compressing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let mut packed = 0;
        while this.encoder.is_some() {
            if packed >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !this.pending.is_empty() {
                packed += PIECE;
                match this.pack() {
                    Ok(out) if out.is_empty() => continue,
                    Ok(out) => return data(out),
                    Err(error) => return failed(error),
                }
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => this.pending = bytes,
                    Err(trailers) => {
                        this.trailers = Some(trailers);
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    return match this.flush() {
                        Ok(out) if out.is_empty() => Poll::Pending,
                        Ok(out) => data(out),
                        Err(error) => failed(error),
                    };
                }
            }
        }
        this.finish()
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}
