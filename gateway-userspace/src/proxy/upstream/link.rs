//! One established connection, as one request sees it: a whole HTTP/1.1 connection or one stream
//! of a shared h2 connection.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Weak,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use tokio::task::unconstrained;

use super::{
    driver::Driver,
    pool::{Place, Pool},
    upload::Upload,
    wire::Received,
};

/// What hyper makes of a request: a response, or an error with the request if none of it was sent.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// What a request is sent on.
pub(super) struct Link {
    pub(super) lane: Lane,
    /// It has carried requests before, so it may have died unnoticed.
    pub(super) reused: bool,
}

/// By protocol version.
pub(super) enum Lane {
    Http1(Http1),
    Http2(Http2),
}

/// The right to one stream of a shared h2 connection.
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<Upload>,
    pub(super) place: Place,
}

/// An HTTP/1.1 connection. Dropped, it closes at once, whatever was under way.
pub(super) struct Http1 {
    sender: http1::SendRequest<Upload>,
    driver: Driver,
    received: Received,
    home: Weak<Pool>,
    _place: Place,
}

impl Http1 {
    pub(super) fn new(
        sender: http1::SendRequest<Upload>,
        driver: Driver,
        received: Received,
        home: Weak<Pool>,
        place: Place,
    ) -> Self {
        Self { sender, driver, received, home, _place: place }
    }

    /// Whether the last exchange is over, both ways, and the supplier keeps the connection and says
    /// nothing unasked. Nobody looks at a connection at rest before this is asked.
    pub(super) fn is_ready(&mut self) -> bool {
        self.driver.look();
        self.sender.is_ready()
    }

    pub(super) fn received(&self) -> u64 {
        self.received.bytes()
    }

    pub(super) async fn send(&mut self, request: Request<Upload>) -> Sent {
        // Not within the task's budget: past it the answer would ask for a call that it, without a
        // waker, cannot have.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            if driver.advance(cx) {
                answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            } else {
                answer.as_mut().poll(cx)
            }
        })
        .await
    }

    /// The next part of the body that comes on this connection.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut nobody = Context::from_waker(Waker::noop());
        let there = Pin::new(&mut *body).poll_frame(&mut nobody);
        if there.is_ready() {
            return there;
        }
        let own = self.driver.advance(cx);
        Pin::new(body).poll_frame(if own { &mut nobody } else { cx })
    }

    /// Lets the connection go on by itself, also while its body is not asked for.
    pub(super) fn depart(&mut self) {
        self.driver.depart();
    }

    /// Back to the pool, if it can take another request.
    pub(super) fn go_home(mut self) {
        match self.home.upgrade() {
            Some(home) if self.sender.is_ready() || self.is_ready() => home.put(self),
            _ => self.retire(),
        }
    }

    /// Closes in good order: what is written goes out, TLS says goodbye.
    pub(super) fn retire(self) {
        drop(self.sender);
        self.driver.release();
    }
}
