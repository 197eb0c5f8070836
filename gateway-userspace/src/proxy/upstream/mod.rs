//! Suppliers: where requests go. Each worker has its own pools, so that no request waits for a
//! lock; the addresses behind names are shared.

pub(crate) mod addresses;
pub(crate) mod body;
mod dial;
mod echo;
mod forward;
mod pool;
mod send;

use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant};

use gateway_common::Reason;
use http::{
    HeaderName, HeaderValue, Response,
    uri::{Authority, Scheme},
};
use rustls::ClientConfig;

use self::{
    dial::Dialer,
    forward::{Destination, Outgoing},
    pool::Pool,
    send::Sending,
};
use super::worker::Shared;
use crate::{
    clock,
    config::model::{self, Host, IdentityMethod, SupplierKind, Target},
    proxy::{
        pipeline::{
            body::{Payload, RequestBody},
            decision::Refusal,
            exchange::Exchange,
        },
        router::Route,
    },
    telemetry::metrics::Outcome,
};

/// TLS settings towards one supplier, by its place in the configuration.
pub(crate) type SupplierTls = Vec<Option<Arc<ClientConfig>>>;

/// One worker's suppliers, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Suppliers {
    list: Vec<Supplier>,
    /// By identity name: the field that carries its credential.
    credentials: Vec<(String, HeaderName)>,
    credential_fields: Vec<HeaderName>,
}

#[derive(Debug)]
enum Supplier {
    Http(Http),
    Echo,
}

/// A supplier spoken to over HTTP.
#[derive(Debug)]
pub(crate) struct Http {
    targets: Vec<(Rc<Pool>, Destination)>,
    turn: Cell<usize>,
}

impl Suppliers {
    /// The pools of one worker; `None` where a target's name cannot be asked for.
    pub(crate) fn new(shared: &Arc<Shared>, tls: &SupplierTls) -> Option<Self> {
        let mut place = 0;
        let mut list = Vec::new();
        for (supplier, tls) in shared.config.suppliers.iter().zip(tls) {
            list.push(match &supplier.kind {
                SupplierKind::Echo => Supplier::Echo,
                SupplierKind::Http(targets) => {
                    let http = Http::new(shared, supplier, targets, place, tls.as_ref())?;
                    place += targets.len();
                    Supplier::Http(http)
                }
            });
        }
        let credentials: Vec<_> = shared.config.identities.iter().filter_map(credential).collect();
        let credential_fields = credentials.iter().map(|(_, field)| field.clone()).collect();
        Some(Self { list, credentials, credential_fields })
    }

    /// Sends a request to its route's supplier and returns its response, or why there is none.
    pub(crate) async fn send(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
    ) -> Result<Response<Payload>, Refusal> {
        let started = clock::now();
        let outcome = self.answer(exchange, route, body).await;
        exchange.supplier = Some(clock::now().saturating_duration_since(started));
        let metrics = &exchange.worker().shared.telemetry.metrics;
        metrics.supplier(
            route.supplier,
            match &outcome {
                Ok(_) => Outcome::Answered,
                Err(refusal) => Outcome::of(refusal.reason),
            },
        );
        outcome
    }

    /// Closes idle connections.
    pub(crate) fn sweep(&self, now: Instant) {
        for (pool, _) in self.list.iter().flat_map(Supplier::targets) {
            pool.sweep(now);
        }
    }

    async fn answer(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
    ) -> Result<Response<Payload>, Refusal> {
        let outgoing = self.outgoing(exchange, route)?;
        let shared = Arc::clone(&exchange.worker().shared);
        match self.list.get(route.supplier) {
            Some(Supplier::Http(supplier)) => {
                let timeouts = &shared.config.proxy.timeouts;
                let deadline = exchange.context.arrived + route.timeout;
                let state = &exchange.body;
                Box::pin(Sending { supplier, timeouts, state, deadline }.run(outgoing, body)).await
            }
            Some(Supplier::Echo) => {
                echo::answer(&outgoing, body, &exchange.body, &self.credential_fields).await
            }
            None => Err(Refusal::new(Reason::Internal, "the route's supplier is unknown")),
        }
    }

    fn outgoing(&self, exchange: &mut Exchange, route: &Route) -> Result<Outgoing, Refusal> {
        let of_route = |(name, _): &&(String, HeaderName)| Some(name) == route.identity.as_ref();
        let used = self.credentials.iter().find(of_route).map(|(_, field)| field);
        forward::outgoing(&mut exchange.context, used, &self.credential_fields)
            .ok_or_else(|| Refusal::new(Reason::PathInvalid, "the path cannot be forwarded"))
    }
}

impl Supplier {
    fn targets(&self) -> &[(Rc<Pool>, Destination)] {
        match self {
            Self::Http(http) => &http.targets,
            Self::Echo => &[],
        }
    }
}

impl Http {
    fn new(
        shared: &Arc<Shared>,
        supplier: &model::Supplier,
        targets: &[Target],
        first: usize,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Option<Self> {
        let one = |(offset, target): (usize, &Target)| {
            let tls = target.tls.then(|| tls.cloned()).flatten();
            if target.tls && tls.is_none() {
                return None;
            }
            let dialer = Dialer::new(Arc::clone(shared), first + offset, target, tls)?;
            Some((Pool::new(dialer, supplier.connections), destination(target)?))
        };
        let targets: Option<Vec<_>> = targets.iter().enumerate().map(one).collect();
        targets
            .filter(|targets| !targets.is_empty())
            .map(|targets| Self { targets, turn: Cell::new(0) })
    }

    pub(crate) fn targets(&self) -> usize {
        self.targets.len()
    }

    /// The target whose turn it is.
    pub(crate) fn next(&self) -> Option<(&Rc<Pool>, &Destination)> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        self.targets.get(turn % self.targets.len().max(1)).map(|(pool, to)| (pool, to))
    }
}

fn credential(identity: &model::Identity) -> Option<(String, HeaderName)> {
    let IdentityMethod::ApiKey { header } = &identity.method;
    Some((identity.name.clone(), HeaderName::from_bytes(header.as_bytes()).ok()?))
}

fn destination(target: &Target) -> Option<Destination> {
    let host = match &target.host {
        Host::Name(name) => name.clone(),
        Host::Address(std::net::IpAddr::V4(v4)) => v4.to_string(),
        Host::Address(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
    };
    let usual = if target.tls { 443 } else { 80 };
    let text = if target.port == usual { host } else { format!("{host}:{}", target.port) };
    Some(Destination {
        scheme: if target.tls { Scheme::HTTPS } else { Scheme::HTTP },
        host: HeaderValue::from_str(&text).ok()?,
        authority: Authority::try_from(text).ok()?,
    })
}
