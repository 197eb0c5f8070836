//! What all workers share about one supplier: its targets' standing, its breaker, its room, and
//! what is left for retries.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use super::{
    UpstreamError,
    breaker::{Breaker, Entrance},
    choose::PLACES,
    endpoint::Endpoint,
    entry::Entry,
};
use crate::{
    clock,
    config::model::{Bound, Health, Profile},
};

/// Thousandths of a retry.
const RETRY: u64 = 1000;
/// Retries that are there before any request, and that may be saved up.
const RESERVE: u64 = 10 * RETRY;

/// A supplier's shared state.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) profile: Profile,
    roster: ArcSwap<Roster>,
    mustering: Mutex<()>,
    mustered: Notify,
    breaker: Breaker,
    room: Option<Room>,
    retries_left: AtomicU64,
    pub(super) retries_refused: AtomicU64,
}

/// The addresses of all its targets, at this moment.
pub(super) type Roster = Vec<Arc<Endpoint>>;

#[derive(Debug)]
struct Room {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    turned_away: AtomicU64,
    bound: Bound,
}

impl Crew {
    /// Without an address yet.
    pub(super) fn new(profile: &Profile) -> Arc<Self> {
        let room = profile.bound.map(|bound| Room {
            places: Arc::new(Semaphore::new(bound.most as usize)),
            waiting: AtomicU32::new(0),
            turned_away: AtomicU64::new(0),
            bound,
        });
        Arc::new(Self {
            roster: ArcSwap::default(),
            mustering: Mutex::default(),
            mustered: Notify::new(),
            breaker: Breaker::new(profile.breaker),
            room,
            retries_left: AtomicU64::new(RESERVE),
            retries_refused: AtomicU64::new(0),
            profile: profile.clone(),
        })
    }

    /// The addresses of now.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// Whether `roster` is still that of now.
    pub(super) fn is_current(&self, roster: &Arc<Roster>) -> bool {
        Arc::ptr_eq(&self.roster.load(), roster)
    }

    /// Takes up what the targets' names lead to now: every target's first address before any
    /// second, as there are no more than so many places.
    pub(super) fn muster(&self, entries: &[Arc<Entry>]) {
        let _in_turn = self.mustering.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = entries.iter().map(|entry| entry.endpoints()).collect();
        let depth = all.iter().map(|endpoints| endpoints.len()).max().unwrap_or(0);
        let row = |depth: usize| all.iter().filter_map(move |endpoints| endpoints.get(depth));
        let roster: Roster = (0..depth).flat_map(row).take(PLACES).map(Arc::clone).collect();
        self.roster.store(Arc::new(roster));
        self.mustered.notify_waiters();
    }

    /// Resolves with the next change of the roster after the call.
    pub(super) fn next_muster(&self) -> tokio::sync::futures::Notified<'_> {
        self.mustered.notified()
    }

    /// Lets a request in, perhaps after a wait for room.
    pub(super) async fn enter(
        self: &Arc<Self>,
        supplier: &Arc<str>,
        deadline: Instant,
    ) -> Result<Visit, UpstreamError> {
        let trial = match self.breaker.enter(clock::monotonic_ns()) {
            Entrance::Free => false,
            Entrance::Trial => true,
            Entrance::Shut { wait } => {
                return Err(UpstreamError::Open { supplier: Arc::clone(supplier), wait });
            }
        };
        // From here on a trial is given back if the request comes to nothing.
        let mut visit = Visit { crew: Arc::clone(self), trial, room: None };
        if let Some(room) = &self.room {
            let full = || UpstreamError::Full { supplier: Arc::clone(supplier) };
            visit.room = Some(room.take(deadline).await.ok_or_else(full)?);
        }
        self.save();
        Ok(visit)
    }

    /// A part of a retry is earned.
    fn save(&self) {
        let part = u64::from(self.profile.retry_budget) * RETRY / 100;
        let grow = |left: u64| (left < RESERVE).then(|| (left + part).min(RESERVE));
        // Full: nothing to save.
        self.retries_left.fetch_update(Relaxed, Relaxed, grow).unwrap_or_default();
    }

    /// Whether one more retry is within the budget.
    pub(super) fn may_retry(&self) -> bool {
        let spend = |left: u64| left.checked_sub(RETRY);
        let within = self.profile.retry_budget > 0
            && self.retries_left.fetch_update(Relaxed, Relaxed, spend).is_ok();
        if !within {
            self.retries_refused.fetch_add(1, Relaxed);
        }
        within
    }

    /// One more fault of a target, which may have to be left alone.
    fn blame(&self, endpoint: &Endpoint, now: u64) {
        let Some(settings) = &self.profile.ejection else { return };
        let member = &endpoint.member;
        if member.failed(settings) && self.may_eject(settings.share, now) {
            member.eject(settings, now);
            tracing::warn!(address = %endpoint.address, "a target fails requests and is left alone for a while");
        }
    }

    /// What a health check of a target came to.
    pub(super) fn questioned(endpoint: &Endpoint, well: bool, health: &Health) {
        let rows = (health.healthy, health.unhealthy);
        if endpoint.member.questioned(well, rows, clock::monotonic_ns()) {
            tracing::warn!(address = %endpoint.address, well, "a target's health has changed");
        }
    }

    /// Never more at once than the share: who makes targets fail must not turn all of them off.
    fn may_eject(&self, share: u32, now: u64) -> bool {
        let roster = self.roster.load();
        let ejected = roster.iter().filter(|known| known.member.is_ejected(now)).count();
        (ejected + 1) * 100 <= roster.len() * share as usize
    }

    pub(super) fn breaker_is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Requests that found the queue full or waited in vain.
    pub(super) fn turned_away(&self) -> u64 {
        self.room.as_ref().map_or(0, |room| room.turned_away.load(Relaxed))
    }

    pub(super) fn waiting(&self) -> u32 {
        self.room.as_ref().map_or(0, |room| room.waiting.load(Relaxed))
    }
}

impl Room {
    async fn take(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        let permit = match Waiting::join(self) {
            Some(_waiting) => {
                let until = deadline.min(clock::now() + self.bound.wait);
                let permit = Arc::clone(&self.places).acquire_owned();
                timeout_at(until.into(), permit).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        if permit.is_none() {
            self.turned_away.fetch_add(1, Relaxed);
        }
        permit
    }
}

/// A place in the queue, also given back by a client that leaves.
struct Waiting<'r>(&'r AtomicU32);

impl<'r> Waiting<'r> {
    fn join(room: &'r Room) -> Option<Self> {
        let join = |waiting: u32| (waiting < room.bound.queue).then(|| waiting + 1);
        room.waiting.fetch_update(Relaxed, Relaxed, join).ok()?;
        Some(Self(&room.waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A request inside a supplier, from its entrance to the end of its response.
#[derive(Debug)]
pub(super) struct Visit {
    crew: Arc<Crew>,
    /// It decides whether the breaker closes.
    trial: bool,
    room: Option<OwnedSemaphorePermit>,
}

impl Visit {
    pub(super) fn begin(&mut self, endpoint: &Arc<Endpoint>) -> Attempt {
        let (crew, endpoint) = (Arc::clone(&self.crew), Arc::clone(endpoint));
        endpoint.member.begin();
        let trial = std::mem::take(&mut self.trial);
        Attempt { crew, endpoint, started: clock::now(), trial, blamed: false }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        drop(self.room.take());
        if self.trial {
            self.crew.breaker.undecided();
        }
    }
}

/// A request at one target.
#[derive(Debug)]
pub(super) struct Attempt {
    crew: Arc<Crew>,
    endpoint: Arc<Endpoint>,
    started: Instant,
    trial: bool,
    /// It failed, however its response goes on.
    blamed: bool,
}

impl Attempt {
    /// A response head came.
    pub(super) fn answered(&mut self, status: http::StatusCode) {
        // Not 500: a request can be made that any target answers so.
        if (502..=504).contains(&status.as_u16()) {
            self.failed();
            return;
        }
        self.endpoint.member.answered(clock::now().saturating_duration_since(self.started));
        self.settle(false);
    }

    /// The response is whole. Only that ends a row of faults: one that breaks off in every body
    /// begins each well.
    pub(super) fn finished(&self) {
        if !self.blamed {
            self.endpoint.member.finished();
        }
    }

    /// The target is to blame.
    pub(super) fn failed(&mut self) {
        self.blamed = true;
        self.crew.blame(&self.endpoint, clock::monotonic_ns());
        self.settle(true);
    }

    fn settle(&mut self, failed: bool) {
        let trial = std::mem::take(&mut self.trial);
        self.crew.breaker.observe(failed, trial, clock::monotonic_ns());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint.member.end();
        if self.trial {
            self.crew.breaker.undecided();
        }
    }
}
