//! A supplier over HTTP: which target takes a request, and when it is sent a second time.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use http::{Method, Request, Response, header::CONTENT_LENGTH};
use http_body_util::{BodyExt as _, Full};

use super::{
    OutboundBody, Payload, UpstreamError,
    choose::{Choice, Set},
    counts::count,
    crew::{Attempt, Crew, Roster, Visit},
    download::Stay,
    endpoint::Endpoint,
    error::DialError,
    exchange::{Exchange, Setback},
    link::Link,
    patience::Patience,
    setup::{PreparedSupplier, PreparedTarget},
    target::Target,
    terms::Terms,
    upload::{Kept, Upload},
};
use crate::{
    clock,
    config::model::{Retry, Timeouts},
};

/// Targets asked for a connection for one sending, at most.
const MAX_TARGETS: usize = 3;
/// Connections one request is tried on because the one before was gone already, at most.
const MAX_TRIES: u8 = 3;

/// A supplier and its targets.
pub(super) struct Supplier {
    name: Arc<str>,
    prepared: Arc<[PreparedTarget]>,
    crew: Arc<Crew>,
    front: RefCell<Rc<Front>>,
    /// Counts choices.
    turn: Cell<u64>,
    timeouts: Timeouts,
}

/// This worker's connections to the addresses of a moment.
#[derive(Default)]
pub(super) struct Front {
    roster: Arc<Roster>,
    /// In the order of the roster.
    pub(super) targets: Vec<Rc<Target>>,
}

/// One request on its way through its attempts.
struct Passage<'r> {
    terms: Terms<'r>,
    patience: Patience,
    visit: Visit,
    /// The addresses when it came.
    front: Rc<Front>,
    /// Targets that failed it.
    tried: Set,
    /// Sendings on connections that turned out to be gone.
    lost: u8,
    /// Retries so far.
    retries: u8,
}

/// A connection for an attempt.
struct Way {
    /// In the passage's front.
    place: usize,
    target: Rc<Target>,
    attempt: Attempt,
    link: Link,
}

/// What may be sent once more.
struct Spare {
    head: Request<()>,
    /// `None` if there was no body.
    body: Option<Rc<Kept>>,
    /// If the connection, used before, died without a word: no target's fault.
    after_silence: bool,
    /// Whatever happened: the route says so.
    after_fault: bool,
}

impl Supplier {
    pub(super) fn new(prepared: &PreparedSupplier, usual: &Timeouts) -> Self {
        let supplier = Self {
            name: Arc::clone(&prepared.name),
            prepared: Arc::clone(&prepared.targets),
            crew: Arc::clone(&prepared.crew),
            front: RefCell::default(),
            turn: Cell::new(0),
            timeouts: prepared.timeouts(usual),
        };
        supplier.renew();
        supplier
    }

    /// The addresses of now.
    pub(super) fn front(&self) -> Rc<Front> {
        if !self.crew.is_current(&self.front.borrow().roster) {
            self.renew();
        }
        Rc::clone(&self.front.borrow())
    }

    /// Addresses that stay keep their connections; those of others end with what is under way.
    fn renew(&self) {
        let (before, roster) = (Rc::clone(&self.front.borrow()), self.crew.roster());
        let target = |endpoint: &Arc<Endpoint>| {
            let known = before.targets.iter().find(|known| Arc::ptr_eq(known.endpoint(), endpoint));
            let target = if let Some(known) = known {
                Rc::clone(known)
            } else {
                let prepared = self.prepared.get(endpoint.target)?;
                Target::new(prepared, endpoint, &self.timeouts)
            };
            let siblings = roster.iter().filter(|one| one.target == endpoint.target);
            target.share(siblings.count());
            Some(target)
        };
        let targets = roster.iter().filter_map(target).collect();
        self.front.replace(Rc::new(Front { roster, targets }));
    }

    /// Sends a request. It goes out again on another connection if none of it was sent on the
    /// first; once, if a connection used before died without a word, the method may be repeated and
    /// there was no body; and as often as its route says, within the supplier's budget.
    pub(super) async fn send(
        &self,
        request: Request<Option<OutboundBody>>,
        terms: Terms<'_>,
    ) -> Result<Response<Payload>, UpstreamError> {
        let mut passage = self.passage(terms).await?;
        let mut request = with_upload(request);
        loop {
            let Way { place, target, attempt, link } = self.link(&mut passage).await?;
            let spare;
            (request, spare) = passage.spare(request, link.reused);
            let exchange = Exchange { name: &target.name, patience: passage.patience };
            let outcome = exchange.run(link, request).await;
            match self.judge(&mut passage, (place, &target), attempt, outcome, spare) {
                Judged::Done(response, attempt) => {
                    let stay = Stay { attempt, _visit: passage.visit };
                    return Ok(response.map(|payload| payload.holding(stay)));
                }
                Judged::Ended(error) => return Err(error),
                Judged::Again(again) => {
                    count(&target.counts().retried);
                    request = again;
                }
            }
        }
    }

    async fn passage<'r>(&self, terms: Terms<'r>) -> Result<Passage<'r>, UpstreamError> {
        let first_byte = terms.first_byte.unwrap_or(self.timeouts.first_byte);
        let patience =
            Patience { first_byte, stall: self.timeouts.stall, deadline: terms.deadline };
        let visit = self.crew.enter(&self.name, terms.deadline).await?;
        let front = self.front();
        Ok(Passage { terms, patience, visit, front, tried: Set::default(), lost: 0, retries: 0 })
    }

    /// The next target that gives a connection.
    async fn link(&self, passage: &mut Passage<'_>) -> Result<Way, UpstreamError> {
        if !self.crew.is_current(&passage.front.roster) {
            (passage.front, passage.tried) = (self.front(), Set::default());
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let mut failure = self.without_address();
        let mut tried = passage.tried;
        for asked in 0..MAX_TARGETS {
            let mut chosen = self.choose(turn, passage, tried);
            if chosen.is_none() && asked == 0 {
                // A retry without another target goes to the same.
                chosen = self.choose(turn, passage, Set::default());
            }
            let Some((place, target)) = chosen else { break };
            tried.add(place);
            let mut attempt = passage.visit.begin(target.endpoint());
            match target.link(passage.lost > 0, passage.terms.deadline).await {
                Ok(link) => return Ok(Way { place, target, attempt, link }),
                Err(error) => {
                    if error.is_the_targets() {
                        attempt.failed();
                    }
                    let next = error.is_before_sending();
                    failure = error;
                    if !next {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    fn choose(&self, turn: u64, passage: &Passage<'_>, tried: Set) -> Option<(usize, Rc<Target>)> {
        let (now, key) = (clock::monotonic_ns(), passage.terms.key);
        let Front { roster, targets } = &*passage.front;
        let place = Choice { turn, key, tried, now }.of(&self.crew.profile, roster)?;
        Some((place, Rc::clone(targets.get(place)?)))
    }

    /// No name of a supplier leads anywhere.
    fn without_address(&self) -> UpstreamError {
        let Some(first) = self.prepared.first() else { return UpstreamError::NoTarget };
        let target = Arc::clone(&first.name.label);
        let source = DialError::NoAddress { name: target.to_string() };
        UpstreamError::Unreachable { target, source: Arc::new(source) }
    }

    /// What becomes of a request after an attempt.
    fn judge(
        &self,
        passage: &mut Passage<'_>,
        (place, target): (usize, &Target),
        mut attempt: Attempt,
        outcome: Result<Response<Payload>, Setback>,
        spare: Option<Spare>,
    ) -> Judged {
        match outcome {
            Ok(response) => {
                attempt.answered(response.status());
                let status = response.status().as_u16();
                if passage.is_unwanted(status)
                    && let Some(again) = self.again(passage, place, spare)
                {
                    return Judged::Again(again);
                }
                count(&target.counts().answered);
                Judged::Done(response, attempt)
            }
            Err(Setback::Unsent(unsent)) if passage.lost + 1 < MAX_TRIES => {
                passage.lost += 1;
                Judged::Again(unsent.request)
            }
            Err(Setback::Unsent(unsent)) => Self::fail(target, &mut attempt, unsent.error),
            Err(Setback::Failed { error, silent })
                if silent && spare.as_ref().is_some_and(|spare| spare.after_silence) =>
            {
                passage.lost += 1;
                let again = spare.and_then(Spare::request);
                again.map_or(Judged::Ended(error), Judged::Again)
            }
            Err(Setback::Failed { error, .. }) => {
                let ended = Self::fail(target, &mut attempt, error);
                let Judged::Ended(error) = ended else { return ended };
                let again =
                    if error.is_the_targets() { self.again(passage, place, spare) } else { None };
                again.map_or(Judged::Ended(error), Judged::Again)
            }
        }
    }

    fn fail(target: &Target, attempt: &mut Attempt, error: UpstreamError) -> Judged {
        count(&target.counts().failed);
        if error.is_the_targets() {
            attempt.failed();
        }
        Judged::Ended(error)
    }

    /// The request for a retry, if its route and the supplier's budget allow one.
    fn again(
        &self,
        passage: &mut Passage<'_>,
        place: usize,
        spare: Option<Spare>,
    ) -> Option<Request<Upload>> {
        let attempts = passage.terms.retry.map_or(0, |retry| retry.attempts);
        let spare = spare.filter(|spare| spare.after_fault)?;
        if passage.retries >= attempts || clock::now() >= passage.terms.deadline {
            return None;
        }
        let request = spare.request()?;
        if !self.crew.may_retry() {
            return None;
        }
        passage.retries += 1;
        passage.tried.add(place);
        Some(request)
    }

    /// Ends connections that nobody used for a while.
    pub(super) fn sweep(&self) {
        for target in &self.front().targets {
            target.sweep();
        }
    }
}

/// After an attempt.
enum Judged {
    Done(Response<Payload>, Attempt),
    Again(Request<Upload>),
    Ended(UpstreamError),
}

impl Passage<'_> {
    /// Whether the route takes no such answer.
    fn is_unwanted(&self, status: u16) -> bool {
        self.terms.retry.is_some_and(|retry| retry.statuses.contains(&status))
    }

    /// The request, and what is kept of it.
    fn spare(&self, request: Request<Upload>, reused: bool) -> (Request<Upload>, Option<Spare>) {
        let bodiless = request.body().progress().is_none();
        let may_repeat = |retry: &Retry| {
            self.retries < retry.attempts
                && (retry.idempotent || (bodiless && is_safe(request.method())))
        };
        let after_fault = self.terms.retry.is_some_and(may_repeat);
        let after_silence =
            reused && self.lost == 0 && bodiless && request.method().is_idempotent();
        if !after_fault && !after_silence {
            return (request, None);
        }
        let head = head(&request);
        if bodiless {
            return (request, Some(Spare { head, body: None, after_silence, after_fault }));
        }
        let (parts, upload) = request.into_parts();
        let (upload, kept) = upload.keeping();
        let spare = Spare { head, body: Some(kept), after_silence, after_fault };
        (Request::from_parts(parts, upload), Some(spare))
    }
}

impl Spare {
    /// `None` where not all of the body has passed, or too much.
    fn request(self) -> Option<Request<Upload>> {
        let Some(kept) = self.body else { return Some(self.head.map(|()| Upload::empty())) };
        let body = Full::new(kept.whole()?).map_err(|never| match never {});
        Some(self.head.map(|()| Upload::new(Some(Box::pin(body)), None)))
    }
}

/// Asks and changes nothing (RFC 9110 9.2.1). TRACE has no route.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn with_upload(request: Request<Option<OutboundBody>>) -> Request<Upload> {
    let (head, body) = request.into_parts();
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let upload = Upload::new(body, declared.and_then(|value| value.parse().ok()));
    Request::from_parts(head, upload)
}

fn head<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    head.headers_mut().clone_from(request.headers());
    head
}
