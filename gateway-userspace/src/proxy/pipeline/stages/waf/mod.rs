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
    config::model::Config,
    proxy::{
        inspection::{
            rules::Ruled,
            seclang::{Body, Head, Interruption, Transaction, read_body},
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
    ruled: Option<Ruled>,
    listeners: Vec<SocketAddr>,
    body_bytes: usize,
    pass_uninspected: bool,
    answers: bool,
}

/// A request's rules at work.
#[derive(Debug)]
pub(crate) struct Inspection {
    transaction: Transaction,
    /// What rules could not see is no reason to refuse the request.
    passes_unseen: bool,
}

impl Waf {
    pub(crate) fn from_config(config: &Config, ruled: Option<Ruled>) -> Self {
        let waf = config.waf.as_ref();
        Self {
            ruled,
            listeners: config.listeners.iter().map(|listener| listener.address).collect(),
            body_bytes: waf.map_or(0, |waf| usize::try_from(waf.body_bytes).unwrap_or(usize::MAX)),
            pass_uninspected: waf.is_some_and(|waf| waf.pass_uninspected),
            answers: waf.is_some_and(|waf| waf.answers),
        }
    }

    pub(crate) fn ruled(&self) -> Option<&Ruled> {
        self.ruled.as_ref()
    }

    /// Phase 1: the head of the request.
    pub(crate) fn head(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let Some(Ruled { rules, routes }) = &self.ruled else { return Decision::Continue };
        let Some(Some(settings)) = routes.get(route.index) else { return Decision::Continue };
        let (set, kept) = (Arc::clone(&rules.set), Arc::clone(&rules.kept));
        let passes_unseen = self.pass_uninspected || settings.detect;
        let mut transaction = Transaction::new(set, kept, Arc::clone(settings), clock::now());
        transaction.head(&self.seen(context, &target(context)));
        transaction.phase(1, clock::now);
        context.inspection = Some(Box::new(Inspection { transaction, passes_unseen }));
        verdict(context)
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
        let (mut raw, mut whole) = (Bytes::new(), true);
        if processor.is_some() && !body.is_empty() && !context.websocket {
            match body.hold(self.body_bytes).await {
                Ok((held, all)) => (raw, whole) = (held, all && !packed),
                Err(fault) => return Refusal::new(fault.reason(), fault.to_string()).into(),
            }
        }
        if !whole && !inspection.passes_unseen {
            let why = "the body is over waf.body, or packed";
            return Refusal::new(Reason::WafUninspected, why).into();
        }
        let kind = context.head.headers.get(http::header::CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
        let mut read = match processor {
            Some(processor) if !raw.is_empty() => read_body(&processor, kind, &raw),
            Some(_) | None => Body::default(),
        };
        inspection.transaction.body(&raw, &read);
        inspection.transaction.phase(2, clock::now);
        let unreadable = read.error.take().filter(|_| !inspection.passes_unseen);
        match (verdict(context), unreadable) {
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
        let outcome = if supplied && self.answers {
            self.answer(transaction, context, response).await
        } else {
            Ok(response)
        };
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
}

/// What the rules so far come to.
fn verdict(context: &RequestContext) -> Decision {
    let Some(inspection) = &context.inspection else { return Decision::Continue };
    let transaction = &inspection.transaction;
    if let Some(interruption) = transaction.interruption() {
        let reason = class::of(transaction.hits());
        return Refusal::new(reason, told(transaction, interruption)).into();
    }
    match transaction.spent() {
        Some(spent) if !inspection.passes_unseen => {
            let why = format!("the rules did not come to an end: {spent:?}");
            Refusal::new(Reason::WafUninspected, why).into()
        }
        Some(_) | None => Decision::Continue,
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
