//! THE LISTS: what happens to a request, in order; and the runner that follows them. Cheap and
//! anonymous first, costly and identified last; no stranger's body is read before the route's
//! authentication.

pub mod body;
pub mod context;
pub mod decision;
pub(crate) mod exchange;
pub(crate) mod forward;
mod grpc;
pub(crate) mod identifiers;
pub(crate) mod patience;
pub(crate) mod respond;
pub mod stage;
pub(crate) mod stages;
pub(crate) mod ticket;

use std::{rc::Rc, sync::Arc};

use gateway_common::Reason;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use self::{
    body::{Payload, RequestBody, ResponseBody},
    context::{Claims, Peer, RequestContext},
    decision::{Decision, Refusal},
    exchange::Exchange,
    stage::{Bodied, Description, Edge, Responding, Routed},
    stages::{
        admission::Admission,
        anonymous_limit::AnonymousLimit,
        authenticate::Authenticate,
        client_address::ClientAddress,
        client_limit::ClientLimit,
        compress::Compress,
        contract::HeldTo,
        cors::{self, Cors},
        decompress::Decompress,
        harden::Harden,
        method_and_size,
        normalize::Normalize,
        shed::Shed,
        transform::Transform,
        waf::Waf,
    },
};
use crate::{
    clock,
    config::model::Config,
    proxy::{
        identity::{keys::Keys, provider::Providers},
        inspection::{contracts::Contracts, rules::Ruled},
        memory::Memory,
        router::{Asked, Goal, Route},
        worker::{Shared, Worker},
    },
};

/// Before a route is known. A stage here sees no identity.
pub const EDGE: &[Edge] = &[
    Edge::Admission,      // first: what is not counted cannot be bounded
    Edge::ClientAddress,  // before anything counts or refuses, so that it does so by client
    Edge::Normalize,      // before anything reads host or path, so that all read the same
    Edge::AnonymousLimit, // last: a malformed request says more about its source than its rate
];

/// With a route.
pub const ROUTED: &[Routed] = &[
    Routed::Shed,          // first: what is shed must cost nothing
    Routed::Cors,          // before authentication, for a preflight carries no credential
    Routed::MethodAndSize, // told by the head alone, without looking anything up
    Routed::Decompress,    // by the head too; what it lets through is read while it streams
    Routed::Waf,           // before anything looks a credential up, which may be an attack itself
    Routed::Authenticate,  // before the limit, which counts by client
    Routed::ClientLimit,   // last: only what would reach the supplier is counted
];

/// With the caller known, and the body at hand: no stranger's body is held.
pub const BODY: &[Bodied] = &[
    Bodied::Waf,      // sees what was sent, before anything changes it
    Bodied::Contract, // may take out what the contract does not know
];

/// On every response, the gateway's own refusals included.
pub const RESPONSE: &[Responding] = &[
    Responding::Waf,       // first: sees what the supplier sent
    Responding::Contract,  // of what the supplier promises, before the route changes it
    Responding::Transform, // before what hardens: what it adds is hardened too
    Responding::Compress,  // behind all that reads or changes the body
    Responding::Cors,      // replaces what the supplier says of origins
    Responding::Harden,    // last before the client: nothing after it may add a field
];

/// One line of `gateway pipeline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// `edge`, `routed`, `body` or `response`.
    pub list: &'static str,
    pub stage: Description,
}

/// The lists as `gateway pipeline` prints them.
pub fn describe() -> Vec<Line> {
    let edge = EDGE.iter().map(|stage| Line { list: "edge", stage: stage.describe() });
    let routed = ROUTED.iter().map(|stage| Line { list: "routed", stage: stage.describe() });
    let response = RESPONSE.iter().map(|stage| Line { list: "response", stage: stage.describe() });
    let body = BODY.iter().map(|stage| Line { list: "body", stage: stage.describe() });
    edge.chain(routed).chain(body).chain(response).collect()
}

/// The stages that have settings or state. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) admission: Admission,
    client_address: ClientAddress,
    normalize: Normalize,
    pub(crate) shed: Shed,
    cors: Cors,
    decompress: Decompress,
    compress: Compress,
    pub(crate) anonymous_limit: AnonymousLimit,
    authenticate: Authenticate,
    pub(crate) client_limit: ClientLimit,
    pub(crate) transform: Transform,
    pub(crate) waf: Waf,
    pub(crate) contract: HeldTo,
    harden: Harden,
}

impl Stages {
    pub(crate) fn from_config(
        config: &Config,
        (keys, providers): (Arc<Keys>, &Providers),
        (rules, contracts): (Option<Ruled>, Contracts),
        memory: Arc<Memory>,
    ) -> Self {
        Self {
            admission: Admission::from_config(&config.proxy),
            client_address: ClientAddress::from_config(config),
            normalize: Normalize::from_config(&config.proxy),
            shed: Shed::from_config(&config.routes, config.proxy.requests, memory),
            cors: Cors::from_config(&config.routes),
            decompress: Decompress::default(),
            compress: Compress::from_config(&config.routes),
            anonymous_limit: AnonymousLimit::from_config(&config.proxy),
            authenticate: Authenticate::from_config(&config.identities, keys, providers),
            client_limit: ClientLimit::from_config(&config.routes, config.proxy.limiter_keys),
            transform: Transform::from_config(&config.routes),
            waf: Waf::from_config(config, rules),
            contract: HeldTo::from_config(&config.routes, contracts),
            harden: Harden::from_config(&config.listeners),
        }
    }

    /// For another configuration, with what these have counted.
    pub(crate) fn succeed(
        &self,
        config: &Config,
        (keys, providers): (Arc<Keys>, &Providers),
        judges: (Option<Ruled>, Contracts),
    ) -> Self {
        let fresh = Self::from_config(config, (keys, providers), judges, self.shed.memory());
        let limits = &config.proxy;
        Self {
            admission: self.admission.succeed(limits),
            anonymous_limit: self.anonymous_limit.succeed(limits),
            decompress: self.decompress.succeed(),
            compress: self.compress.succeed(&config.routes),
            shed: self.shed.succeed(&config.routes, limits.requests),
            client_limit: self.client_limit.succeed(&config.routes, limits.limiter_keys),
            ..fresh
        }
    }

    fn edge(&self, stage: Edge, context: &mut RequestContext) -> Decision {
        match stage {
            Edge::Admission => self.admission.check(context),
            Edge::ClientAddress => self.client_address.check(context),
            Edge::Normalize => self.normalize.check(context),
            Edge::AnonymousLimit => self.anonymous_limit.check(context),
        }
    }

    fn routed(&self, stage: Routed, context: &mut RequestContext, route: &Route) -> Decision {
        match stage {
            Routed::Shed => self.shed.check(context, route, self.admission.in_flight()),
            Routed::Cors => self.cors.check(context, route),
            Routed::MethodAndSize => method_and_size::check(context, route),
            Routed::Decompress => self.decompress.check(context, route),
            Routed::Waf => self.waf.head(context, route),
            Routed::Authenticate => self.authenticate.check(context, route),
            Routed::ClientLimit => self.client_limit.check(context, route),
        }
    }

    /// Forgets what limiters need not remember.
    pub(crate) fn sweep(&self) {
        self.anonymous_limit.limiter().sweep();
        self.client_limit.limiters().for_each(|(_, limiter)| limiter.sweep());
    }
}

/// The peer, with its listener's place in the configuration of now.
fn at_its_listener(before: &Rc<Worker>, worker: &Rc<Worker>, peer: &Rc<Peer>) -> Rc<Peer> {
    if Rc::ptr_eq(before, worker) {
        return Rc::clone(peer);
    }
    let known = before.shared.config.listeners.get(peer.listener);
    // A listener that is no more has no place, and no settings.
    let place = known.and_then(|known| worker.shared.tls.place(known.address));
    let listener = place.unwrap_or(usize::MAX);
    if listener == peer.listener {
        return Rc::clone(peer);
    }
    Rc::new(Peer { listener, ..(**peer).clone() })
}

/// Serves one request, from its head to a response whose body ends the exchange.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    // By the configuration of now, however old the connection is.
    let (before, worker) = (worker, &worker.latest());
    let peer = &at_its_listener(before, worker, peer);
    let (context, incoming) = begin(worker, peer, request);
    let mut exchange = Exchange::begin(worker, context);
    let outcome = run(&mut exchange, incoming).await;
    let mut response = answered(&mut exchange, outcome);
    for stage in RESPONSE {
        match stage {
            Responding::Waf => response = inspected(&mut exchange, response).await,
            Responding::Contract => response = promised(&mut exchange, response).await,
            Responding::Transform => response = transformed(&mut exchange, response).await,
            Responding::Compress => {
                if let Some(route) = exchange.supplied() {
                    let compress = &worker.shared.stages.compress;
                    response = compress.response(&route, &mut exchange.context, response);
                }
            }
            Responding::Cors => {
                if let Some(route) = exchange.route.clone() {
                    let stages = &worker.shared.stages;
                    stages.cors.apply(&mut exchange.context, &route, &mut response);
                }
            }
            Responding::Harden => {
                worker.shared.stages.harden.apply(&mut exchange.context, response.headers_mut());
            }
        }
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if exchange.context.is_extended_connect() {
            respond::opened(&mut response);
        } else {
            respond::with_websocket(response.headers_mut());
        }
    }
    if exchange.context.head.method == Method::HEAD {
        respond::without_body(&mut response);
    }
    if exchange.context.left_unpacked {
        worker.shared.ledger.metrics.left_unpacked();
    }
    exchange.answered(response.status());
    response.map(|payload| ResponseBody::new(payload, exchange))
}

fn begin(
    worker: &Worker,
    peer: &Rc<Peer>,
    request: Request<Incoming>,
) -> (RequestContext, Incoming) {
    let (head, incoming) = request.into_parts();
    let mut identifiers = worker.identifiers.borrow_mut();
    let context = RequestContext {
        peer: Rc::clone(peer),
        arrived: clock::now(),
        wall: worker.shared.time.wall(),
        version: head.version,
        id: identifiers.request_id(),
        trace: identifiers.trace(&head.headers),
        grpc: grpc::asked(&head.headers),
        head,
        ticket: None,
        claims: Claims::default(),
        place: None,
        target: None,
        onward: None,
        websocket: false,
        accept: None,
        packed: None,
        wish: None,
        left_unpacked: false,
        client: None,
        token: None,
        presented: None,
        inspection: None,
        asked: None,
        hits: Vec::new(),
        nonce: None,
        granted: None,
        quota: None,
    };
    (context, incoming)
}

async fn run(exchange: &mut Exchange, incoming: Incoming) -> Result<Response<Payload>, Refusal> {
    let worker = Rc::clone(exchange.worker());
    let shared = &worker.shared;
    for stage in EDGE {
        if let Some(end) = shared.stages.edge(*stage, &mut exchange.context).end() {
            return end;
        }
    }
    if exchange.context.path() == "*" {
        // `OPTIONS *` (RFC 9110 section 9.3.7): of the gateway, which no route is. Anything else has a
        // path that begins with a slash.
        return Ok(respond::options());
    }
    let route = route(shared, &mut exchange.context)?;
    exchange.route = Some(Arc::clone(&route));
    for stage in ROUTED {
        if *stage == Routed::Authenticate
            && let Some(question) =
                shared.stages.authenticate.question(&mut exchange.context, &route)
        {
            // Boxed: most requests have none, and need no room for it.
            let found = Box::pin(question.answer(shared)).await;
            if let Some(presented) = &mut exchange.context.presented {
                presented.found = Some(found);
            }
        }
        if let Some(end) = shared.stages.routed(*stage, &mut exchange.context, &route).end() {
            return end;
        }
    }
    let forward = match &route.goal {
        Goal::Forward(forward) => forward,
        Goal::Redirect(redirect) => return respond::redirect(&exchange.context, redirect),
    };
    let wait = shared.config.proxy.timeouts.body;
    let mut body =
        RequestBody::new(incoming, Rc::clone(&exchange.bytes_in), route.body_bytes, wait);
    if let Some(packed) = exchange.context.packed.take() {
        body = body.unpacked(packed, &mut exchange.context.head.headers);
    }
    for stage in BODY {
        let stages = &shared.stages;
        let Exchange { context, .. } = &mut *exchange;
        let decision = match stage {
            Bodied::Waf => stages.waf.body(context, &mut body).await,
            Bodied::Contract => stages.contract.request(context, &route, &mut body).await,
        };
        if let Some(end) = decision.end() {
            return end;
        }
    }
    exchange.context.wish = shared.stages.compress.wish(&route, &exchange.context);
    let outcome = worker.suppliers.send(exchange, &route, forward, body).await;
    if let Some((_, took)) = exchange.supplier {
        let answer = outcome.as_ref().map(Response::status).map_err(|refusal| refusal.reason);
        shared.stages.shed.learn(&route, took, answer, clock::now());
    }
    let response = outcome?;
    if exchange.context.client.is_some() && response.status().as_u16() < 400 {
        worker.trust(&exchange.context.peer);
    }
    Ok(response)
}

/// The answer, or in its place what tells the client that it was refused.
fn answered(
    exchange: &mut Exchange,
    outcome: Result<Response<Payload>, Refusal>,
) -> Response<Payload> {
    match outcome {
        Ok(response) => response,
        Err(refusal) => {
            let context = &exchange.context;
            let response = if context.grpc {
                grpc::refusal(&refusal)
            } else {
                respond::refusal(&refusal, &context.id)
            };
            exchange.refused(refusal);
            response
        }
    }
}

/// A supplier's answer as the firewall's rules let it pass; ends their work for the exchange.
async fn inspected(exchange: &mut Exchange, response: Response<Payload>) -> Response<Payload> {
    if exchange.context.inspection.is_none() {
        return response;
    }
    let supplied = exchange.supplied().is_some();
    let worker = Rc::clone(exchange.worker());
    let stage = &worker.shared.stages.waf;
    let outcome = Box::pin(stage.response(&mut exchange.context, response, supplied)).await;
    answered(exchange, outcome)
}

/// A supplier's answer, if it is one that its contract promises.
async fn promised(exchange: &mut Exchange, response: Response<Payload>) -> Response<Payload> {
    let asked = exchange.context.asked.take().filter(|_| exchange.supplied().is_some());
    let Some(asked) = asked else { return response };
    let worker = Rc::clone(exchange.worker());
    let outcome = Box::pin(worker.shared.stages.contract.response(&asked, response)).await;
    answered(exchange, outcome)
}

/// A supplier's answer with its route's changes; what the gateway answers by itself has none.
async fn transformed(exchange: &mut Exchange, response: Response<Payload>) -> Response<Payload> {
    let Some(route) = exchange.supplied() else { return response };
    let worker = Rc::clone(exchange.worker());
    let transform = &worker.shared.stages.transform;
    let outcome = transform.response(&route, &exchange.context, response).await;
    answered(exchange, outcome)
}

/// The route of a request, and the path it leads to.
fn route(shared: &Shared, context: &mut RequestContext) -> Result<Arc<Route>, Refusal> {
    let router = &shared.router;
    let asked = Asked::new(context.host(), context.path(), &context.head);
    // A preflight asks for the route of the request that is to follow, if that has rules.
    if let Some(method) = cors::preflight(&context.head)
        && let Some(found) = router.find(asked.by(&method))
        && shared.stages.cors.rules(found.route)
        && !router.ambiguous(asked.by(&method))
    {
        return Ok(Arc::clone(found.route));
    }
    let found = router.find(asked).ok_or_else(|| Refusal::new(Reason::RouteUnknown, "no route"))?;
    if router.ambiguous(asked) {
        return Err(Refusal::new(Reason::PathInvalid, "path parameters lead to another route"));
    }
    let (route, path) = (Arc::clone(found.route), found.path());
    context.onward = path;
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_read_in_this_order() {
        let listing: Vec<String> =
            describe().iter().map(|line| format!("{} {}", line.list, line.stage.name)).collect();
        assert_eq!(
            listing,
            [
                "edge admission",
                "edge client_address",
                "edge normalize",
                "edge anonymous_limit",
                "routed shed",
                "routed cors",
                "routed method_and_size",
                "routed decompress",
                "routed waf",
                "routed authenticate",
                "routed client_limit",
                "body waf",
                "body contract",
                "response waf",
                "response contract",
                "response transform",
                "response compress",
                "response cors",
                "response harden",
            ]
        );
    }
}
