//! A supplier over HTTP: which target takes a request, and when it is sent a second time.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use http::{Request, Response, header::CONTENT_LENGTH};

use super::{
    OutboundBody, Payload, UpstreamError,
    counts::count,
    exchange::{Exchange, Setback},
    link::Link,
    patience::Patience,
    setup::PreparedTarget,
    target::Target,
    upload::Upload,
};
use crate::config::model::Timeouts;

/// Targets asked for a connection for one request, at most.
const MAX_TARGETS: usize = 3;
/// Connections one request is tried on, at most, its first included.
const MAX_TRIES: u8 = 3;

/// A supplier and its targets.
pub(super) struct Supplier {
    pub(super) targets: Vec<Rc<Target>>,
    /// Which target is first for the next request.
    turn: Cell<usize>,
    first_byte: Duration,
    stall: Duration,
}

impl Supplier {
    pub(super) fn new(targets: &[PreparedTarget], timeouts: &Timeouts) -> Self {
        Self {
            targets: targets.iter().map(|target| Target::new(target, timeouts)).collect(),
            turn: Cell::new(0),
            first_byte: timeouts.first_byte,
            stall: timeouts.stall,
        }
    }

    /// Sends a request. It goes out again on another connection if none of it was sent on the
    /// first, or, once, if a connection used before died without a word, the method may be repeated
    /// and there was no body.
    pub(super) async fn send(
        &self,
        request: Request<Option<OutboundBody>>,
        deadline: Instant,
    ) -> Result<Response<Payload>, UpstreamError> {
        let patience = Patience { first_byte: self.first_byte, stall: self.stall, deadline };
        let mut request = with_upload(request);
        let mut may_repeat = true;
        let mut tries = 0;
        loop {
            let (target, link) = self.link(tries > 0, deadline).await?;
            tries += 1;
            let spare = if link.reused && may_repeat { spare(&request) } else { None };
            let exchange = Exchange { name: &target.name, patience };
            let setback = match exchange.run(link, request).await {
                Ok(response) => {
                    count(&target.counts().answered);
                    return Ok(response);
                }
                Err(setback) => setback,
            };
            may_repeat &= matches!(setback, Setback::Unsent(_));
            request =
                again(setback, spare, tries).inspect_err(|_| count(&target.counts().failed))?;
            count(&target.counts().retried);
        }
    }

    /// The next target that gives a connection. Those that could not be reached a moment ago are
    /// asked only when there is no other.
    async fn link(
        &self,
        fresh: bool,
        deadline: Instant,
    ) -> Result<(&Rc<Target>, Link), UpstreamError> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let first = turn.checked_rem(self.targets.len()).unwrap_or(0);
        let all_rest = self.targets.iter().all(|target| target.rests());
        let mut failure = UpstreamError::NoTarget;
        let mut asked = 0;
        for target in self.targets.iter().cycle().skip(first).take(self.targets.len()) {
            if asked == MAX_TARGETS {
                break;
            }
            if target.rests() && !all_rest {
                continue;
            }
            asked += 1;
            match target.link(fresh, deadline).await {
                Ok(link) => return Ok((target, link)),
                Err(error) if error.is_before_sending() => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Ends connections that nobody used for a while.
    pub(super) fn sweep(&self) {
        for target in &self.targets {
            target.sweep();
        }
    }
}

/// The request to send once more, or the error to end with.
fn again(
    setback: Setback,
    spare: Option<Request<Upload>>,
    tries: u8,
) -> Result<Request<Upload>, UpstreamError> {
    match setback {
        Setback::Unsent(unsent) if tries < MAX_TRIES => Ok(unsent.request),
        Setback::Unsent(unsent) => Err(unsent.error),
        Setback::Failed { error, silent } => spare.filter(|_| silent).ok_or(error),
    }
}

fn with_upload(request: Request<Option<OutboundBody>>) -> Request<Upload> {
    let (head, body) = request.into_parts();
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let upload = Upload::new(body, declared.and_then(|value| value.parse().ok()));
    Request::from_parts(head, upload)
}

/// The same request for a second sending, if that does no harm.
fn spare(request: &Request<Upload>) -> Option<Request<Upload>> {
    if request.body().progress().is_some() || !request.method().is_idempotent() {
        return None;
    }
    let mut spare = Request::new(Upload::empty());
    spare.method_mut().clone_from(request.method());
    spare.uri_mut().clone_from(request.uri());
    spare.headers_mut().clone_from(request.headers());
    Some(spare)
}
