//! Who moves the bytes of an HTTP/1.1 connection to a supplier: the request it serves, in its own
//! task, so that a request and its answer wake nobody twice. Where the request does not look at the
//! connection all the time, a task of its own does.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::task::{AbortHandle, spawn_local};
use tracing::debug;

/// hyper's end of a connection, whose own type cannot be named.
type Conduit = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// What moves a connection's bytes. Dropped, the connection ends at once.
pub(super) struct Driver(State);

enum State {
    /// Whoever has the connection.
    Holder(Conduit),
    /// Its worker's runtime owns the task.
    Task(AbortHandle),
    Over,
}

impl Driver {
    pub(super) fn new(conduit: impl Future<Output = hyper::Result<()>> + 'static) -> Self {
        Self(State::Holder(Box::pin(conduit)))
    }

    /// Moves what can be moved; whether that is the holder's to do. It then need not be woken by
    /// the request's own channels to the connection, as nothing comes on them between two calls.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        let State::Holder(conduit) = &mut self.0 else { return false };
        if let Poll::Ready(outcome) = conduit.as_mut().poll(cx) {
            told(outcome);
            // What the connection still holds comes back to who waits for it.
            self.0 = State::Over;
        }
        true
    }

    /// Looks once, and asks for no call when there is more: for a connection at rest.
    pub(super) fn look(&mut self) {
        self.advance(&mut Context::from_waker(Waker::noop()));
    }

    /// Lets a task of its own go on.
    pub(super) fn depart(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, State::Over) {
            State::Holder(conduit) => {
                let task = spawn_local(async move { told(conduit.await) });
                State::Task(task.abort_handle())
            }
            other @ (State::Task(_) | State::Over) => other,
        };
    }

    /// Goes on without a holder until the connection is closed.
    pub(super) fn release(mut self) {
        self.look();
        self.depart();
        self.0 = State::Over;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let State::Task(task) = &self.0 {
            task.abort();
        }
    }
}

fn told(outcome: hyper::Result<()>) {
    if let Err(error) = outcome {
        debug!(%error, "supplier connection ended");
    }
}
