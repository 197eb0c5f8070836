//! Patience with one connection: how long it may be idle, take for a head, or refuse to read.
//! hyper's own head timer counts idle time too and cannot tell the two apart; this can. It also
//! keeps what the gate in front of hyper found, until the requests before are answered.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    clock,
    config::model::Timeouts,
    proxy::{http1::Fault, memory::Level},
};

/// After this long without a request a connection gives back the buffers that wait for one.
pub(crate) const WAKEFUL: Duration = Duration::from_millis(250);

/// What a response that is late has to end by itself, before its connection is closed.
const GRACE: Duration = Duration::from_secs(1);

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// No request for a while: nothing to end it for.
    Drowsy,
    /// No request for too long.
    Idle,
    /// A head that does not end.
    Head,
    /// The peer does not read what it asked for.
    Stalled,
    /// The peer reads so slowly that the time of its request is over. hyper polls no body while
    /// it waits for the peer, least of all in h2, so no timer in a body could end this.
    Overdue,
}

/// The state of one connection, shared between its stream and its requests.
#[derive(Debug)]
pub(crate) struct Vigil {
    head: Duration,
    idle: Cell<Duration>,
    usual_idle: Duration,
    stall: Duration,
    /// Bytes between requests begin a head; in h2 they may be anything.
    first: bool,
    begun: Cell<bool>,
    /// Its conversation has no buffers to give back.
    asleep: Cell<bool>,
    /// What is answered from here on is the last of it.
    ending: Cell<bool>,
    first_request: Notify,
    /// Heads that hyper was given and has not asked about yet.
    passed: Cell<u32>,
    in_flight: Cell<u32>,
    /// The head that comes next is refused.
    refused: Cell<Option<Fault>>,
    /// Waits until nothing is in flight.
    parked: RefCell<Option<Waker>>,
    idle_since: Cell<Instant>,
    head_since: Cell<Option<Instant>>,
    /// In h2, a field block that has begun, whatever else is under way.
    block_since: Cell<Option<Instant>>,
    blocked_since: Cell<Option<Instant>>,
    /// When the responses under way have to be read; as many as there are streams.
    deadlines: RefCell<Vec<Instant>>,
}

/// A request that keeps its connection from being idle.
#[derive(Debug)]
pub(crate) struct Busy {
    vigil: Rc<Vigil>,
    deadline: Option<Instant>,
}

impl Vigil {
    pub(crate) fn new(timeouts: &Timeouts, first: bool, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            head: timeouts.head,
            idle: Cell::new(timeouts.idle),
            usual_idle: timeouts.idle,
            stall: timeouts.stall,
            first,
            begun: Cell::new(false),
            asleep: Cell::new(!first),
            ending: Cell::new(false),
            first_request: Notify::new(),
            passed: Cell::new(0),
            in_flight: Cell::new(0),
            refused: Cell::new(None),
            parked: RefCell::default(),
            idle_since: Cell::new(now),
            head_since: Cell::new(None),
            block_since: Cell::new(None),
            blocked_since: Cell::new(None),
            deadlines: RefCell::default(),
        })
    }

    /// Bytes arrived.
    pub(crate) fn read(&self) {
        if self.first && self.in_flight.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(clock::now()));
        }
    }

    /// hyper was given so many heads.
    pub(crate) fn passed(&self, heads: u32) {
        self.passed.set(self.passed.get().saturating_add(heads));
    }

    /// A head has begun before the last request was answered, and is awaited from here on.
    pub(crate) fn awaits_head(&self) {
        self.read();
    }

    /// The next head is refused, once the requests before it are answered.
    pub(crate) fn refuse(&self, fault: Fault) {
        self.refused.set(Some(fault));
    }

    /// The refusal that is due: every request before is answered, and the answers are written.
    pub(crate) fn refusal(&self) -> Option<Fault> {
        let written = self.blocked_since.get().is_none();
        self.refused.get().filter(|_| written && self.is_answered())
    }

    /// Ready once every request that was passed is answered.
    pub(crate) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_answered() {
            return Poll::Ready(());
        }
        self.parked.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn is_answered(&self) -> bool {
        self.passed.get() == 0 && self.in_flight.get() == 0
    }

    /// Whether the bytes so far end inside an h2 field block.
    pub(crate) fn in_head(&self, inside: bool) {
        match (inside, self.block_since.get()) {
            (true, None) => self.block_since.set(Some(clock::now())),
            (false, Some(_)) => self.block_since.set(None),
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether all that came is answered, and every answer written.
    pub(crate) fn rests(&self) -> bool {
        let nothing_came = self.head_since.get().is_none();
        nothing_came && self.blocked_since.get().is_none() && self.is_answered()
    }

    /// Whether the conversation has given back its buffers, or found that it cannot.
    pub(crate) fn sleeps(&self, asleep: bool) {
        self.asleep.set(asleep);
    }

    /// A write found room, or none.
    pub(crate) fn wrote(&self, blocked: bool) {
        match (blocked, self.blocked_since.get()) {
            (true, None) => self.blocked_since.set(Some(clock::now())),
            (false, Some(_)) => self.blocked_since.set(None),
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// A head is whole.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.head_since.set(None);
        self.asleep.set(!self.first);
        if !self.begun.replace(true) {
            self.first_request.notify_one();
        }
        self.passed.set(self.passed.get().saturating_sub(1));
        self.in_flight.set(self.in_flight.get() + 1);
        Busy { vigil: Rc::clone(self), deadline: None }
    }

    /// Whether the client was given a connection and has not asked anything on it. In h2 it is told
    /// which of its streams are taken when the connection ends; in HTTP/1.1 it only sees the end.
    pub(crate) fn owes_an_answer(&self) -> bool {
        self.first && !self.begun.get()
    }

    /// Memory is scarce, or enough again: how long the connection may be idle.
    pub(crate) fn squeeze(&self, level: Level) {
        self.idle.set(level.idle(self.usual_idle));
    }

    /// Whether it would be open still if memory were enough.
    pub(crate) fn is_squeezed(&self) -> bool {
        clock::now() < self.idle_since.get() + self.usual_idle
    }

    /// From here on each answer says that the connection ends with it.
    pub(crate) fn end(&self) {
        self.ending.set(true);
    }

    /// Whether an answer has to say so; in h2 the connection itself does.
    pub(crate) fn is_ending(&self) -> bool {
        self.first && self.ending.get()
    }

    /// Whether the client uses the connection for one request after the other, and has to be told
    /// before it is closed: by HTTP/1.1 that takes an answer.
    pub(crate) fn takes_turns(&self) -> bool {
        self.first
    }

    /// Resolves with the first request.
    pub(crate) async fn asked(&self) {
        self.first_request.notified().await;
    }

    /// When patience ends, if nothing changes, and what ends it.
    pub(crate) fn next(&self) -> Option<(Instant, Lapse)> {
        let stalled = self.blocked_since.get().map(|since| (since + self.stall, Lapse::Stalled));
        let waiting = (self.in_flight.get() == 0).then(|| match self.head_since.get() {
            Some(since) => (since + self.head, Lapse::Head),
            None if self.asleep.get() || self.idle.get() <= WAKEFUL => {
                (self.idle_since.get() + self.idle.get(), Lapse::Idle)
            }
            None => (self.idle_since.get() + WAKEFUL, Lapse::Drowsy),
        });
        let first = self.deadlines.borrow().iter().min().copied();
        let overdue = first.map(|deadline| (deadline + GRACE, Lapse::Overdue));
        let slow = self.block_since.get().map(|since| (since + self.head, Lapse::Head));
        [stalled, waiting, slow, overdue].into_iter().flatten().min_by_key(|(end, _)| *end)
    }
}

impl Busy {
    /// The response is on its way and has to be read by then.
    pub(crate) fn until(&mut self, deadline: Instant) {
        self.forget();
        self.deadline = Some(deadline);
        self.vigil.deadlines.borrow_mut().push(deadline);
    }

    fn forget(&mut self) {
        let Some(deadline) = self.deadline.take() else { return };
        let mut deadlines = self.vigil.deadlines.borrow_mut();
        if let Some(place) = deadlines.iter().position(|other| *other == deadline) {
            deadlines.swap_remove(place);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.forget();
        let vigil = &self.vigil;
        let left = vigil.in_flight.get().saturating_sub(1);
        vigil.in_flight.set(left);
        if left == 0 {
            vigil.idle_since.set(clock::now());
            if let Some(parked) = vigil.parked.take() {
                parked.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing;

    #[test]
    fn tells_an_idle_connection_from_a_slow_head() {
        let timeouts = testing::config().proxy.timeouts;
        let start = clock::now();
        let vigil = Vigil::new(&timeouts, true, start);
        assert_eq!(vigil.next(), Some((start + WAKEFUL, Lapse::Drowsy)));
        vigil.sleeps(true);
        assert_eq!(vigil.next(), Some((start + timeouts.idle, Lapse::Idle)));
        vigil.read();
        assert!(!vigil.rests(), "a head has begun");
        assert!(matches!(vigil.next(), Some((_, Lapse::Head))));
        let busy = vigil.begin();
        vigil.read();
        assert_eq!(vigil.next(), None);
        assert!(!vigil.rests(), "a request is under way");
        drop(busy);
        assert!(matches!(vigil.next(), Some((_, Lapse::Drowsy))));
        assert!(vigil.rests());
    }

    #[test]
    fn a_peer_that_does_not_read_runs_out_of_time_even_with_a_request_in_flight() {
        let timeouts = testing::config().proxy.timeouts;
        let vigil = Vigil::new(&timeouts, false, clock::now());
        let _busy = vigil.begin();
        vigil.wrote(true);
        assert!(matches!(vigil.next(), Some((_, Lapse::Stalled))));
        vigil.wrote(false);
        assert_eq!(vigil.next(), None);
    }

    #[test]
    fn a_response_that_is_not_read_in_its_time_ends_its_connection() {
        let timeouts = testing::config().proxy.timeouts;
        let now = clock::now();
        let vigil = Vigil::new(&timeouts, false, now);
        let (mut late, mut early) = (vigil.begin(), vigil.begin());
        late.until(now + timeouts.idle);
        early.until(now);
        assert_eq!(vigil.next(), Some((now + GRACE, Lapse::Overdue)));
        drop(early);
        assert_eq!(vigil.next(), Some((now + timeouts.idle + GRACE, Lapse::Overdue)));
        drop(late);
        assert!(matches!(vigil.next(), Some((_, Lapse::Idle))));
    }
}
