//! Who watches the drops: the latest ones, and those who follow. A reader that is too slow loses
//! drops, which are counted; nobody waits for it.

mod filter;
mod names;
mod seen;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc::{self, error::TrySendError};

pub(super) use self::filter::Filter;
use self::{names::Names, seen::Seen};
use super::kernel::DropEvent;
use crate::sampled::{Bytes, LATEST, Portion, Sampled};

/// Those who follow at once.
pub(super) const SUBSCRIBERS: usize = 8;

/// Drops that wait for one of them.
const QUEUE: usize = 256;

/// Drops told in one line.
const PORTION: usize = 64;

/// The latest drops, and who follows.
#[derive(Debug, Default)]
pub(super) struct Watch {
    latest: VecDeque<Arc<Seen>>,
    subscribers: Vec<Subscriber>,
    names: Names,
    lost: u64,
    refused: u64,
}

#[derive(Debug)]
struct Subscriber {
    filter: Filter,
    queue: mpsc::Sender<Arc<Seen>>,
    lost: Arc<AtomicU64>,
}

/// One's end of the drops that are to come.
#[derive(Debug)]
pub(super) struct Subscription {
    queue: mpsc::Receiver<Arc<Seen>>,
    lost: Arc<AtomicU64>,
    bytes: Bytes,
}

/// So many follow already.
#[derive(Debug, thiserror::Error)]
#[error(
    "{SUBSCRIBERS} commands follow the drops already; end one of them, or ask without --follow"
)]
pub(super) struct TooMany;

impl Watch {
    /// A drop came up. `wall_ns` is when, on the wall clock.
    pub(super) fn saw(&mut self, event: DropEvent, wall_ns: u64) {
        let interface = self.names.of(event.interface);
        let seen = Arc::new(Seen { event, wall_ns, interface });
        for subscriber in &self.subscribers {
            if subscriber.filter.takes(&seen) && !subscriber.offer(&seen) {
                self.lost += 1;
            }
        }
        if self.latest.len() >= LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(seen);
    }

    /// The last so many that the filter takes, the oldest of them first.
    pub(super) fn latest(&self, filter: &Filter, most: usize, bytes: Bytes) -> Vec<Sampled> {
        let taken = self.latest.iter().rev().filter(|seen| filter.takes(seen));
        let mut drops: Vec<_> = taken.take(most).map(|seen| seen.told(bytes)).collect();
        drops.reverse();
        drops
    }

    /// From now on, what the filter takes.
    pub(super) fn follow(&mut self, filter: Filter, bytes: Bytes) -> Result<Subscription, TooMany> {
        self.tidy();
        if self.subscribers.len() >= SUBSCRIBERS {
            self.refused += 1;
            return Err(TooMany);
        }
        let (sender, queue) = mpsc::channel(QUEUE);
        let lost = Arc::default();
        self.subscribers.push(Subscriber { filter, queue: sender, lost: Arc::clone(&lost) });
        Ok(Subscription { queue, lost, bytes })
    }

    /// Once a second: who hung up is forgotten, and what interfaces are called.
    pub(super) fn tick(&mut self) {
        self.tidy();
        self.names.forget();
    }

    /// Those who follow.
    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.iter().filter(|one| !one.queue.is_closed()).count()
    }

    /// Drops that somebody was too slow for.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Wishes to follow that were turned away.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    fn tidy(&mut self) {
        self.subscribers.retain(|subscriber| !subscriber.queue.is_closed());
    }
}

impl Subscriber {
    /// False if the drop is lost to this one.
    fn offer(&self, seen: &Arc<Seen>) -> bool {
        match self.queue.try_send(Arc::clone(seen)) {
            // Who hung up misses nothing.
            Ok(()) | Err(TrySendError::Closed(_)) => true,
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

impl Subscription {
    /// Waits for drops and takes a portion of them; `None` when there will be no more. Nothing is
    /// lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Portion> {
        let mut seen = Vec::new();
        if self.queue.recv_many(&mut seen, PORTION).await == 0 {
            return None;
        }
        let drops = seen.iter().map(|seen| seen.told(self.bytes)).collect();
        Some(Portion { drops, ..self.nothing() })
    }

    /// A sign of life.
    pub(super) fn nothing(&self) -> Portion {
        Portion { drops: Vec::new(), lost: self.lost.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests;
