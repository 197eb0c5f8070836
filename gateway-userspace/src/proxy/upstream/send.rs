//! One request to one supplier: a connection, the request, its response head, each with an end to
//! its wait. Sent again only where the supplier cannot have acted on it, or may twice.

use std::{pin::pin, rc::Rc, time::Instant};

use gateway_common::Reason;
use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::timeout_at;

use super::{
    Http,
    body::SupplierBody,
    dial::DialFault,
    forward::Outgoing,
    pool::{Lease, Pool},
};
use crate::{
    clock,
    config::model::Timeouts,
    proxy::pipeline::{
        body::{BodyState, Payload, RequestBody},
        decision::Refusal,
        patience::Patience,
    },
};

/// Attempts of one request, at most: targets that refuse, and one stale connection.
const ATTEMPTS: usize = 4;

/// What it takes to send one request.
pub(crate) struct Sending<'a> {
    pub(crate) supplier: &'a Http,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) state: &'a Rc<BodyState>,
    /// Of the whole exchange.
    pub(crate) deadline: Instant,
}

/// Why there is no response head.
enum Fault {
    /// Not a byte of it was sent.
    Unsent(Box<(Outgoing, RequestBody)>),
    /// The connection ended before a response.
    Lost,
    Timeout,
    Malformed,
}

impl Sending<'_> {
    pub(crate) async fn run(
        &self,
        outgoing: Outgoing,
        body: RequestBody,
    ) -> Result<Response<Payload>, Refusal> {
        let mut request = (outgoing, body);
        let mut fresh = false;
        for attempt in 1..=ATTEMPTS {
            let Some((pool, destination)) = self.supplier.next() else { break };
            let lease = match self.lease(pool, fresh).await {
                Ok(lease) => lease,
                Err(fault) if self.may_try_another(fault.as_ref(), attempt) => continue,
                Err(fault) => return Err(refusal(fault.as_ref())),
            };
            let spare = self.spare(&lease, &request);
            match self.send(lease, request, destination).await {
                Ok(response) => return Ok(response),
                Err(fault) if attempt == ATTEMPTS => return Err(self.explain(&fault)),
                Err(Fault::Unsent(unsent)) if !fresh => request = *unsent,
                Err(fault) => match spare {
                    Some(spare) if !fresh && matches!(fault, Fault::Lost) => request = spare,
                    Some(_) | None => return Err(self.explain(&fault)),
                },
            }
            fresh = true;
        }
        Err(Refusal::new(Reason::SupplierUnreachable, "no target takes connections"))
    }

    async fn lease(&self, pool: &Rc<Pool>, fresh: bool) -> Result<Lease, Option<DialFault>> {
        let limit = self.deadline.min(clock::now() + self.timeouts.connect);
        match timeout_at(limit.into(), pool.lease(fresh)).await {
            Ok(lease) => lease.map_err(Some),
            Err(_elapsed) => Err(None),
        }
    }

    fn may_try_another(&self, fault: Option<&DialFault>, attempt: usize) -> bool {
        let full = matches!(fault, Some(DialFault::Busy));
        !full && attempt < ATTEMPTS.min(self.supplier.targets()) && clock::now() < self.deadline
    }

    /// A second request, where sending twice does no harm (RFC 9110 section 9.2.2) and the
    /// connection may be stale.
    fn spare(
        &self,
        lease: &Lease,
        (outgoing, body): &(Outgoing, RequestBody),
    ) -> Option<(Outgoing, RequestBody)> {
        let twice = matches!(
            outgoing.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        (twice && body.is_empty() && lease.reused())
            .then(|| (outgoing.spare(), RequestBody::empty(Rc::clone(self.state))))
    }

    async fn send(
        &self,
        mut lease: Lease,
        (outgoing, body): (Outgoing, RequestBody),
        to: &super::forward::Destination,
    ) -> Result<Response<Payload>, Fault> {
        self.state.moved.set(clock::now());
        let head = match &mut lease {
            Lease::Whole(whole) => {
                self.head(whole.sender.try_send_request(outgoing.first(to, body))).await?
            }
            Lease::Stream(stream) => {
                let request = outgoing.second(to, body).ok_or(Fault::Lost)?;
                self.head(stream.sender.try_send_request(request)).await?
            }
        };
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Upgrades are never asked for, and what follows would not be HTTP.
            return Err(Fault::Malformed);
        }
        Ok(self.finish(head, lease))
    }

    /// Waits for the response head, as long as the request body moves.
    async fn head<F>(&self, response: F) -> Result<Response<Incoming>, Fault>
    where
        F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    {
        let mut response = pin!(response);
        loop {
            let limit = self.deadline.min(self.state.moved.get() + self.timeouts.first_byte);
            match timeout_at(limit.into(), &mut response).await {
                Ok(Ok(head)) => return Ok(head),
                Ok(Err(error)) => return Err(Fault::of(error)),
                Err(_elapsed) => {
                    let moved = self.state.moved.get() + self.timeouts.first_byte;
                    if clock::now() >= self.deadline.min(moved) {
                        return Err(Fault::Timeout);
                    }
                }
            }
        }
    }

    fn finish(&self, head: Response<Incoming>, lease: Lease) -> Response<Payload> {
        let state = Rc::clone(self.state);
        head.map(|incoming| {
            let patience = Patience::until(self.timeouts.stall, self.deadline);
            let body = SupplierBody::new(incoming, lease, state, patience, self.deadline);
            Payload::Supplier(Box::new(body))
        })
    }

    /// A fault of the request body is the client's, wherever it surfaced.
    fn explain(&self, fault: &Fault) -> Refusal {
        if let Some(reason) = self.state.fault.get() {
            return Refusal::new(reason, "the request body ended early");
        }
        match fault {
            Fault::Unsent(_) => Refusal::new(
                Reason::SupplierUnreachable,
                "the connection closed before it was used",
            ),
            Fault::Lost => {
                Refusal::new(Reason::SupplierUnreachable, "the connection ended before a response")
            }
            Fault::Timeout => Refusal::new(Reason::SupplierTimeout, "no response head in time"),
            Fault::Malformed => Refusal::new(Reason::SupplierMalformed, "no lawful response head"),
        }
    }
}

impl Fault {
    fn of(mut error: TrySendError<Request<RequestBody>>) -> Self {
        if let Some(unsent) = error.take_message() {
            return Self::Unsent(Box::new(Outgoing::recover(unsent)));
        }
        let error = error.into_error();
        if error.is_parse() { Self::Malformed } else { Self::Lost }
    }
}

/// `None` is a wait that ended.
fn refusal(fault: Option<&DialFault>) -> Refusal {
    match fault {
        None => Refusal::new(Reason::SupplierTimeout, "no connection in time"),
        Some(fault @ DialFault::Busy) => Refusal::new(Reason::SupplierBusy, fault.to_string()),
        Some(fault @ DialFault::Protocol) => {
            Refusal::new(Reason::SupplierMalformed, fault.to_string())
        }
        Some(fault) => Refusal::new(Reason::SupplierUnreachable, fault.to_string()),
    }
}
