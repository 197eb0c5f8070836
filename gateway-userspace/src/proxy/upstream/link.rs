//! One established connection, as one request sees it: a whole HTTP/1.1 connection or one stream
//! of a shared h2 connection.

use std::rc::Weak;

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use tokio::task::AbortHandle;

use super::{
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
    /// It has carried no request yet.
    fresh: bool,
    _place: Place,
}

impl Http1 {
    pub(super) fn new(
        sender: http1::SendRequest<Upload>,
        driver: AbortHandle,
        received: Received,
        home: Weak<Pool>,
        place: Place,
    ) -> Self {
        Self { sender, driver: Driver(Some(driver)), received, home, fresh: true, _place: place }
    }

    /// Whether the last exchange is over, both ways, and the supplier keeps the connection. hyper
    /// takes a first request before its driver has run, but does not call that ready.
    pub(super) fn is_ready(&self) -> bool {
        if self.fresh { !self.sender.is_closed() } else { self.sender.is_ready() }
    }

    pub(super) fn received(&self) -> u64 {
        self.received.bytes()
    }

    pub(super) fn send(&mut self, request: Request<Upload>) -> impl Future<Output = Sent> {
        self.fresh = false;
        self.sender.try_send_request(request)
    }

    /// Back to the pool, if it can take another request.
    pub(super) fn go_home(self) {
        match self.home.upgrade() {
            Some(home) if self.is_ready() => home.put(self),
            _ => self.retire(),
        }
    }

    /// Closes in good order: what is written goes out, TLS says goodbye.
    pub(super) fn retire(mut self) {
        self.driver.0 = None;
    }
}

/// The task that moves a connection's bytes. Its worker's runtime owns it; dropped, it ends at once.
struct Driver(Option<AbortHandle>);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
