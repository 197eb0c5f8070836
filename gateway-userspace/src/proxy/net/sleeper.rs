//! HTTP/1.1 that gives its buffers back while nobody asks anything: hyper keeps two of 8 KiB for
//! each connection, and most connections of a gateway are idle ones.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::{
    body::Incoming,
    server::conn::http1::{Builder, Connection},
    service::HttpService,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    gate::Gate,
    serve::{Conversation, Held},
    vigil::Vigil,
};

/// A conversation with hyper, or the wait for one.
pub(super) struct Sleeper<'b, S, V: HttpService<Incoming>> {
    builder: &'b Builder,
    vigil: Rc<Vigil>,
    state: State<S, V>,
}

enum State<S, V: HttpService<Incoming>> {
    Awake(Box<Connection<TokioIo<Gate<S>>, V>>),
    Asleep(TokioIo<Gate<S>>, V),
    Over,
}

impl<'b, S, V> Sleeper<'b, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: HttpService<Incoming, ResBody = Held>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(builder: &'b Builder, gate: Gate<S>, service: V, vigil: Rc<Vigil>) -> Self {
        let state = awake(builder, TokioIo::new(gate), service);
        Self { builder, vigil, state }
    }

    /// The stream, when the conversation is over.
    pub(super) fn into_gate(self) -> Option<Gate<S>> {
        match self.state {
            State::Awake(connection) => Some(connection.into_parts().io.into_inner()),
            State::Asleep(io, _) => Some(io.into_inner()),
            State::Over => None,
        }
    }

    fn wake(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Asleep(io, service) => {
                self.vigil.sleeps(false);
                awake(self.builder, io, service)
            }
            other @ (State::Awake(_) | State::Over) => other,
        };
    }

    /// Lets go of hyper. A request that is not over, or bytes that hyper did not use, cannot be there;
    /// if they were, the next hyper would read a body as a head, so the connection ends instead.
    fn sleep(&mut self) {
        let State::Awake(connection) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let parts = connection.into_parts();
        if parts.read_buf.is_empty() && parts.io.inner().is_between_requests() {
            self.state = State::Asleep(parts.io, parts.service);
        }
    }
}

fn awake<S, V>(builder: &Builder, io: TokioIo<Gate<S>>, service: V) -> State<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: HttpService<Incoming, ResBody = Held>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    State::Awake(Box::new(builder.serve_connection(io, service)))
}

// Nothing in it is pinned in place: hyper boxes the future of its service.
impl<S, V: HttpService<Incoming>> Unpin for Sleeper<'_, S, V> {}

impl<S, V> Future for Sleeper<'_, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: HttpService<Incoming, ResBody = Held>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = self.get_mut();
        if let State::Asleep(io, _) = &mut this.state {
            ready!(io.inner_mut().poll_stirs(cx));
            this.wake();
        }
        match &mut this.state {
            State::Awake(connection) => Pin::new(&mut **connection).poll(cx),
            State::Asleep(..) | State::Over => Poll::Ready(Ok(())),
        }
    }
}

impl<S, V> Conversation for Sleeper<'_, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: HttpService<Incoming, ResBody = Held>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.wake();
        if let State::Awake(connection) = &mut this.state {
            Pin::new(&mut **connection).graceful_shutdown();
        }
    }

    fn rest(self: Pin<&mut Self>) {
        let this = self.get_mut();
        // Asked once, whatever comes of it; the next request makes it worth asking again.
        this.vigil.sleeps(true);
        if this.vigil.rests() {
            this.sleep();
        }
    }
}
