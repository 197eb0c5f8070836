//! A response body from a supplier. At its end the connection goes back to the pool.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use crate::{
    clock,
    proxy::pipeline::{
        body::{BodyError, BodyState},
        patience::Patience,
    },
};

/// Streams frames on, trailers included.
#[derive(Debug)]
pub struct SupplierBody {
    incoming: Incoming,
    lease: Option<Lease>,
    request: Rc<BodyState>,
    patience: Patience,
    deadline: Instant,
}

impl SupplierBody {
    pub(crate) fn new(
        incoming: Incoming,
        lease: Lease,
        request: Rc<BodyState>,
        patience: Patience,
        deadline: Instant,
    ) -> Self {
        let mut body = Self { incoming, lease: Some(lease), request, patience, deadline };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// Gives the connection back, unless the request is still being sent on it.
    fn release(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.request.ended.get()
        {
            lease.give_back();
        }
    }

    fn late(&mut self) -> BodyError {
        self.lease = None;
        if clock::now() >= self.deadline { BodyError::Late } else { BodyError::Stalled }
    }
}

impl Body for SupplierBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.patience.poll_lost(cx));
                return Poll::Ready(Some(Err(self.late())));
            }
        };
        self.patience.renew();
        match frame {
            Some(Ok(frame)) => {
                if self.incoming.is_end_stream() {
                    self.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::Supplier(error))))
            }
            None => {
                self.release();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
