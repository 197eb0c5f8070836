//! How long an exchange may wait for its response head, and for whom.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time::timeout_at;

use super::{
    error::Wait,
    upload::{Progress, Turn},
};
use crate::clock;

/// The waits of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) first_byte: Duration,
    pub(super) stall: Duration,
    pub(super) deadline: Instant,
}

/// Why the wait ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Supplier(Wait),
    Client,
}

impl Patience {
    /// Waits for a response head. While the request body is under way each part of it has its own
    /// time, so that a long upload is no slow answer; the client's slowness is never the supplier's.
    pub(super) async fn wait<F: Future>(
        &self,
        answer: F,
        upload: Option<&Progress>,
    ) -> Result<F::Output, Overdue> {
        let started = clock::now();
        let mut answer = pin!(answer);
        loop {
            let until = self.until(started, upload);
            if let Ok(output) = timeout_at(until.into(), answer.as_mut()).await {
                return Ok(output);
            }
            if let Some(overdue) = self.overdue(started, upload) {
                return Err(overdue);
            }
        }
    }

    /// When to look again.
    fn until(&self, started: Instant, upload: Option<&Progress>) -> Instant {
        let (turn, since) = upload.map_or((Turn::Sent, started), Progress::turn);
        let until = match turn {
            Turn::Sent => since + self.first_byte,
            Turn::Supplier => since + self.stall,
            Turn::Client => clock::now() + self.stall,
        };
        until.min(self.deadline)
    }

    fn overdue(&self, started: Instant, upload: Option<&Progress>) -> Option<Overdue> {
        let now = clock::now();
        let (turn, since) = upload.map_or((Turn::Sent, started), Progress::turn);
        match turn {
            Turn::Client if now >= self.deadline => Some(Overdue::Client),
            Turn::Client => None,
            _ if now >= self.deadline => Some(Overdue::Supplier(Wait::Deadline)),
            Turn::Sent if now >= since + self.first_byte => Some(Overdue::Supplier(Wait::Head)),
            Turn::Supplier if now >= since + self.stall => Some(Overdue::Supplier(Wait::Upload)),
            Turn::Sent | Turn::Supplier => None,
        }
    }
}
