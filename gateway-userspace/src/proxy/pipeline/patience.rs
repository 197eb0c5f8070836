//! A wait with an end, that costs nothing while nobody has to wait.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// Armed by the first poll that finds nothing, disarmed by progress.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Duration,
    armed: bool,
    /// Made once, at the first wait: most bodies never wait.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, armed: false, sleep: None }
    }

    /// Something arrived.
    pub(crate) fn renew(&mut self) {
        self.armed = false;
    }

    /// Ready once `wait` has passed without `renew`.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rearm = !self.armed;
        self.armed = true;
        let wait = self.wait;
        let deadline = || Instant::from_std(clock::now() + wait);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if rearm {
                    sleep.as_mut().reset(deadline());
                }
                sleep
            }
            empty @ None => empty.insert(Box::pin(sleep_until(deadline()))),
        };
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(())
    }
}
