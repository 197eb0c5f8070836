//! From a request that passed all stages to its supplier: what the supplier gets to see, and what
//! its failures are to the client.

mod fields;
mod mirror;
mod opening;
mod split;

use std::{fmt::Write as _, rc::Rc};

use gateway_common::Reason;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;

use self::{mirror::Mirrors, split::Turns};
use super::{
    body::{self, Payload, RequestBody},
    decision::Refusal,
    exchange::Exchange,
};
use crate::{
    clock,
    config::model::{Balance, Config, HashKey, Identity, IdentityMethod, Supplier},
    proxy::{
        router::{Forward, Route},
        upstream::{BoxError, OutboundBody, Setup, Terms, UpstreamError, Upstreams},
    },
};

/// One worker's suppliers, and which fields they must not see.
#[derive(Debug)]
pub(crate) struct Suppliers {
    upstreams: Rc<Upstreams>,
    mirrors: Mirrors,
    /// By identity name: the field that carries its credential.
    credentials: Vec<(String, HeaderName)>,
    credential_fields: Vec<HeaderName>,
    turns: Turns,
    /// By supplier: what its targets are chosen by.
    hashing: Vec<Option<HashKey>>,
}

impl Suppliers {
    pub(crate) fn new(config: &Config, setup: &Setup) -> Self {
        Self::with(config, Upstreams::new(setup))
    }

    /// For another configuration, with the connections of suppliers that stay as they are.
    pub(crate) fn succeed(&self, config: &Config, setup: &Setup) -> Self {
        Self::with(config, self.upstreams.succeed(setup))
    }

    fn with(config: &Config, upstreams: Upstreams) -> Self {
        let credentials: Vec<_> = config.identities.iter().filter_map(credential).collect();
        let credential_fields = credentials.iter().map(|(_, field)| field.clone()).collect();
        let hashing = config.suppliers.iter().map(hashing).collect();
        let upstreams = Rc::new(upstreams);
        let mirrors = Mirrors::new(&upstreams);
        Self {
            upstreams,
            mirrors,
            credentials,
            credential_fields,
            turns: Turns::default(),
            hashing,
        }
    }

    /// Sends a request to its route's supplier and returns its response, or why there is none.
    pub(crate) async fn send(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        forward: &Forward,
        body: RequestBody,
    ) -> Result<Response<Payload>, Refusal> {
        let supplier = self.turns.supplier(forward, &exchange.context);
        // Before the fields go: they may hold what a target is chosen by.
        let by = self.hashing.get(supplier).and_then(Option::as_ref);
        let terms = Terms {
            deadline: exchange.deadline(),
            first_byte: route.first_byte,
            key: by.and_then(|by| split::key(by, &exchange.context)),
            retry: Some(&route.retry),
        };
        let request = self.request(exchange, route, forward, body)?;
        let started = clock::now();
        // By far the largest part of a request's future; most refusals never need it.
        let outcome = Box::pin(self.upstreams.send(supplier, request, terms)).await;
        let waited = clock::now().saturating_duration_since(started);
        exchange.supplier = Some((supplier, waited));
        let response = outcome.map_err(|error| refusal(&error))?;
        match &exchange.context.accept {
            Some(expected) => opening::settle(expected, response),
            None => Ok(response),
        }
    }

    /// Closes idle connections.
    pub(crate) fn sweep(&self) {
        self.upstreams.sweep();
    }

    fn request(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        forward: &Forward,
        body: RequestBody,
    ) -> Result<Request<Option<OutboundBody>>, Refusal> {
        let of_route = |(name, _): &&(String, HeaderName)| Some(name) == route.identity.as_ref();
        let used = self.credentials.iter().find(of_route).map(|(_, field)| field);
        let mut request = fields::request(&mut exchange.context, used, &self.credential_fields)
            .ok_or_else(|| Refusal::new(Reason::PathInvalid, "the path cannot be forwarded"))?;
        let stages = &exchange.worker().shared.stages;
        stages.transform.request(route, request.headers_mut());
        let boxed = |body: RequestBody| -> OutboundBody { Box::pin(body.map_err(BoxError::from)) };
        let request = request.map(|()| Some(body).filter(|body| !body.is_empty()).map(boxed));
        Ok(match &forward.mirror {
            // A copy would open a tunnel to nobody.
            Some(mirror) if !exchange.context.websocket && self.turns.is_among(mirror.percent) => {
                self.mirrors.copy(*mirror, exchange, request)
            }
            Some(_) | None => request,
        })
    }
}

fn credential(identity: &Identity) -> Option<(String, HeaderName)> {
    let field = match &identity.method {
        IdentityMethod::ApiKey { header } => HeaderName::from_bytes(header.as_bytes()).ok()?,
        IdentityMethod::Tokens(_) => http::header::AUTHORIZATION,
    };
    Some((identity.name.clone(), field))
}

fn hashing(supplier: &Supplier) -> Option<HashKey> {
    match &supplier.profile.balance {
        Balance::Hash(key) => Some(key.clone()),
        Balance::LeastRequest | Balance::RoundRobin => None,
    }
}

/// The detail names hosts: it is for the log.
fn refusal(error: &UpstreamError) -> Refusal {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // Writing to a string does not fail.
        if write!(detail, ": {cause}").is_err() {
            break;
        }
        source = cause.source();
    }
    let refusal = Refusal::new(body::reason(error), detail);
    match error.retry_after() {
        Some(wait) => refusal.retry_after(wait),
        None => refusal,
    }
}
