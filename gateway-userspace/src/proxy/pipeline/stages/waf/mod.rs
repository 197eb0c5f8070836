//! The firewall for requests: rules of SecLang, such as the OWASP Core Rule Set, on the head of a
//! request, on its body, and on the supplier's answer. Stops what rules describe; what is over its
//! bounds is refused, or passed and said so, as the configuration has it. Does not know what an API
//! takes: that is for its contract.

mod class;

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use gateway_common::Reason;
use http::{HeaderMap, Response, Version, header::HOST};

use crate::{
    clock,
    config::model::{Config, WafMode},
    proxy::{
        inspection::{
            rules::{self, Rules},
            seclang::{Body, Head, Interruption, Settings, Transaction, read_body},
        },
        pipeline::{
            body::{self, Payload, RequestBody},
            context::RequestContext,
            decision::{Decision, Refusal},
        },
        router::Route,
    },
};

/// What of an interruption is told in the log, at most.
const TOLD: usize = 4;

/// The rules, and how each route runs them.
#[derive(Debug)]
pub(crate) struct Waf {
    rules: Option<Arc<Rules>>,
    /// By route index; `None` runs none.
    routes: Vec<Option<Settings>>,
    listeners: Vec<SocketAddr>,
    body_bytes: usize,
    pass_uninspected: bool,
    answers: bool,
}

/// A request's rules at work.
#[derive(Debug)]
pub(crate) struct Inspection {
    transaction: Transaction,
    /// Part of a body was over what rules see.
    partial: bool,
    /// Nothing is refused.
    detects: bool,
}

impl Waf {
    pub(crate) fn from_config(config: &Config, rules: Option<Arc<Rules>>) -> Self {
        let waf = config.waf.as_ref();
        let settings = |route: &crate::config::model::Route| {
            let waf = waf.filter(|_| route.waf.mode != WafMode::Off)?;
            // Exclusions were tried when the rules were read.
            rules::settings(waf, &route.waf).ok()
        };
        Self {
            rules,
            routes: config.routes.iter().map(settings).collect(),
            listeners: config.listeners.iter().map(|listener| listener.address).collect(),
            body_bytes: waf.map_or(0, |waf| usize::try_from(waf.body_bytes).unwrap_or(usize::MAX)),
            pass_uninspected: waf.is_some_and(|waf| waf.pass_uninspected),
            answers: waf.is_some_and(|waf| waf.answers),
        }
    }

    pub(crate) fn rules(&self) -> Option<&Arc<Rules>> {
        self.rules.as_ref()
    }

    /// Phase 1: the head of the request.
    pub(crate) fn head(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let Some(settings) = self.routes.get(route.index).and_then(Option::as_ref) else {
            return Decision::Continue;
        };
        let Some(rules) = &self.rules else {
            return Refusal::new(Reason::Internal, "the route's rules are not loaded").into();
        };
        let (set, kept) = (Arc::clone(&rules.set), Arc::clone(&rules.kept));
        let mut transaction = Transaction::new(set, kept, settings.clone(), clock::now());
        transaction.head(&self.seen(context, &target(context)));
        transaction.phase(1, clock::now);
        context.inspection =
            Some(Box::new(Inspection { transaction, partial: false, detects: settings.detect }));
        self.verdict(context)
    }

    fn seen<'r>(&self, context: &'r RequestContext, target: &'r str) -> Head<'r> {
        let headers = &context.head.headers;
        let mut fields = pairs(headers);
        if !headers.contains_key(HOST)
            && let Some(target) = &context.target
        {
            // h2 has it in its own field.
            fields.insert(0, (b"host", target.sent_host.as_bytes()));
        }
        let listener = self.listeners.get(context.peer.listener).copied();
        Head {
            method: context.head.method.as_str(),
            target,
            protocol: protocol(context.version),
            fields,
            client: context.peer.source,
            client_port: 0,
            server: listener.unwrap_or_else(|| ([0, 0, 0, 0], 0).into()),
            id: context.id.as_str(),
            epoch: context.wall.0,
        }
    }

    /// Phase 2: the body, as far as rules see it, and what the whole request comes to.
    pub(crate) async fn body(
        &self,
        context: &mut RequestContext,
        body: &mut RequestBody,
    ) -> Decision {
        let Some(inspection) = &mut context.inspection else { return Decision::Continue };
        let processor = inspection.transaction.processor();
        // What is packed still says nothing to rules.
        let packed = context.head.headers.contains_key(http::header::CONTENT_ENCODING);
        let mut raw = Bytes::new();
        if processor.is_some() && !body.is_empty() && !context.websocket {
            match body.hold(self.body_bytes).await {
                Ok((held, whole)) => (raw, inspection.partial) = (held, !whole || packed),
                Err(fault) => return Refusal::new(fault.reason(), fault.to_string()).into(),
            }
        }
        let detects = inspection.detects;
        if inspection.partial && !self.pass_uninspected && !detects {
            let why = "the body is over waf.body, or packed";
            return Refusal::new(Reason::WafUninspected, why).into();
        }
        let kind = context.head.headers.get(http::header::CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
        let read = match processor {
            Some(processor) if !raw.is_empty() => read_body(&processor, kind, &raw),
            Some(_) | None => Body::default(),
        };
        let unreadable = read.error.clone().filter(|_| !self.pass_uninspected && !detects);
        inspection.transaction.body(&raw, &read);
        inspection.transaction.phase(2, clock::now);
        match (self.verdict(context), unreadable) {
            // Rules saw a part of it, and a supplier may read the rest.
            (Decision::Continue, Some(why)) => Refusal::new(Reason::WafUnreadable, why).into(),
            (decision, _) => decision,
        }
    }

    /// Phases 3 to 5: the answer, and the end.
    pub(crate) async fn response(
        &self,
        context: &mut RequestContext,
        response: Response<Payload>,
        supplied: bool,
    ) -> Result<Response<Payload>, Refusal> {
        let Some(mut inspection) = context.inspection.take() else { return Ok(response) };
        let transaction = &mut inspection.transaction;
        let mut outcome = Ok(response);
        if supplied && self.answers {
            outcome = match outcome {
                Ok(response) => self.answer(transaction, context, response).await,
                refused @ Err(_) => refused,
            };
        }
        transaction.phase(5, clock::now);
        context.hits = transaction.hits().to_vec();
        outcome
    }

    async fn answer(
        &self,
        transaction: &mut Transaction,
        context: &RequestContext,
        response: Response<Payload>,
    ) -> Result<Response<Payload>, Refusal> {
        let protocol = protocol(context.version);
        transaction.answer(response.status().as_u16(), protocol, &pairs(response.headers()));
        transaction.phase(3, clock::now);
        if let Some(interruption) = transaction.interruption() {
            return Err(withheld(transaction, interruption));
        }
        let packed = response.headers().contains_key(http::header::CONTENT_ENCODING);
        if !transaction.wants_answer() || packed {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let (seen, rest) = body::hold(body, self.body_bytes).await?;
        transaction.answer_body(&seen);
        transaction.phase(4, clock::now);
        match transaction.interruption() {
            Some(interruption) => Err(withheld(transaction, interruption)),
            None => Ok(Response::from_parts(head, rest.into_payload())),
        }
    }

    /// What the rules so far come to.
    fn verdict(&self, context: &mut RequestContext) -> Decision {
        let Some(inspection) = &context.inspection else { return Decision::Continue };
        let transaction = &inspection.transaction;
        if let Some(interruption) = transaction.interruption() {
            let reason = class::of(transaction.hits());
            return Refusal::new(reason, told(transaction, interruption)).into();
        }
        match transaction.spent() {
            Some(spent) if !self.pass_uninspected && !inspection.detects => {
                let why = format!("the rules did not come to an end: {spent:?}");
                Refusal::new(Reason::WafUninspected, why).into()
            }
            Some(_) | None => Decision::Continue,
        }
    }
}

fn withheld(transaction: &Transaction, interruption: &Interruption) -> Refusal {
    Refusal::new(Reason::WafAnswer, told(transaction, interruption))
}

/// Which rules, and on what; values stand in the log's own field, masked.
fn told(transaction: &Transaction, interruption: &Interruption) -> String {
    let hits = transaction.hits().iter().filter(|hit| hit.rule != interruption.rule);
    let hits = hits.take(TOLD).map(|hit| format!("{} at {}", hit.rule, hit.field));
    let hits: Vec<String> = hits.collect();
    format!("rule {} after {}", interruption.rule, hits.join(", "))
}

/// Path and query, as the supplier is to get them.
fn target(context: &RequestContext) -> Cow<'_, str> {
    match context.head.uri.query() {
        Some(query) => Cow::Owned(format!("{}?{query}", context.path())),
        None => Cow::Borrowed(context.path()),
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
