//! Holds requests and answers to the route's OpenAPI contract: paths, methods, parameters, media
//! types, bodies. Stops what the API does not know (mass assignment, forgotten paths; OWASP API3 and
//! API9:2023); does not know who may ask for what it knows.

use std::sync::Arc;

use bytes::Bytes;
use gateway_common::Reason;
use http::{
    HeaderMap, Response, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{
    config::model::{self, Unknown},
    proxy::{
        coding::STALE,
        inspection::{
            contracts::Contracts,
            openapi::{Breach, BreachKind, Contract, Operation, names_one},
        },
        pipeline::{
            body::{self, Payload, RequestBody},
            context::RequestContext,
            decision::{Decision, Refusal},
        },
        router::Route,
    },
};

/// Bytes of an answer that is held to a contract, at most.
const ANSWER: usize = 4 << 20;

/// The contracts of all routes.
#[derive(Debug)]
pub(crate) struct HeldTo {
    contracts: Contracts,
    /// By route index.
    routes: Vec<Option<Terms>>,
}

#[derive(Debug, Clone, Copy)]
struct Terms {
    remove: bool,
    answers: bool,
    body: usize,
}

/// The operation that a request asks for, for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    contract: Arc<Contract>,
    operation: Arc<Operation>,
    remove: bool,
}

impl HeldTo {
    pub(crate) fn from_config(routes: &[model::Route], contracts: Contracts) -> Self {
        let terms = |route: &model::Route| {
            route.openapi.as_ref().map(|openapi| Terms {
                remove: openapi.unknown == Unknown::Remove,
                answers: openapi.answers,
                body: usize::try_from(route.body_bytes).unwrap_or(usize::MAX),
            })
        };
        Self { contracts, routes: routes.iter().map(terms).collect() }
    }

    pub(crate) fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// The request: its head first, then its body, which is read whole.
    pub(crate) async fn request(
        &self,
        context: &mut RequestContext,
        route: &Route,
        body: &mut RequestBody,
    ) -> Decision {
        let Some(Some(terms)) = self.routes.get(route.index) else { return Decision::Continue };
        let Some(contract) = self.contracts.of(route.index) else {
            return Refusal::new(Reason::Internal, "the route's contract is not loaded").into();
        };
        match judge(contract, *terms, context, body).await {
            Ok(operation) => {
                if terms.answers {
                    let (contract, remove) = (Arc::clone(contract), terms.remove);
                    context.asked = Some(Box::new(Asked { contract, operation, remove }));
                }
                Decision::Continue
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// The supplier's answer.
    pub(crate) async fn response(
        &self,
        asked: &Asked,
        response: Response<Payload>,
    ) -> Result<Response<Payload>, Refusal> {
        let (mut head, payload) = response.into_parts();
        let (whole, rest) = body::hold(payload, ANSWER).await?;
        if head.headers.contains_key(CONTENT_ENCODING) || !rest.is_whole() {
            let why = "the answer is packed, or over 4 MiB: it cannot be held to the contract";
            return Err(Refusal::new(Reason::ContractAnswer, why));
        }
        let kind = head.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let (contract, operation) = (&asked.contract, &asked.operation);
        let judged = contract.answer(operation, head.status, kind, &whole, asked.remove);
        match judged {
            Ok(None) => Ok(Response::from_parts(head, rest.into_payload())),
            Ok(Some(stripped)) => {
                without_stale(&mut head.headers);
                Ok(Response::from_parts(head, Payload::Own(stripped.into())))
            }
            Err(breach) => {
                let what = format!("{}: {}", operation.label, breach.what);
                Err(Refusal::new(Reason::ContractAnswer, what))
            }
        }
    }
}

async fn judge(
    contract: &Contract,
    terms: Terms,
    context: &mut RequestContext,
    body: &mut RequestBody,
) -> Result<Arc<Operation>, Refusal> {
    let head = &context.head;
    let query = head.uri.query().unwrap_or_default();
    let known =
        contract.head(&head.method, context.path(), query, &head.headers).map_err(refusal)?;
    let operation = Arc::clone(known.operation);
    if let Some(first) = known.unknown.first() {
        if !terms.remove {
            let what = format!("query parameter {first:?} is not documented");
            return Err(Refusal::new(Reason::ContractUnknown, what));
        }
        let left = without(query, &known.unknown);
        context.head.uri = with_query(&context.head.uri, &left);
    }
    if context.head.headers.contains_key(CONTENT_ENCODING) && !body.is_empty() {
        let why = "the body is packed: `encoded` of the route says whether it is unpacked";
        return Err(Refusal::new(Reason::ContractMediaType, why));
    }
    let (sent, whole) = match body.hold(terms.body).await {
        Ok(sent) => sent,
        Err(fault) => return Err(Refusal::new(fault.reason(), fault.to_string())),
    };
    if !whole {
        return Err(Refusal::new(Reason::BodyTooLarge, "the body is over the route's cap"));
    }
    let kind = context.head.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let stripped = contract.body(&operation, kind, &sent, terms.remove).map_err(refusal)?;
    if let Some(stripped) = stripped {
        without_stale(&mut context.head.headers);
        body.replace(Bytes::from(stripped));
    }
    Ok(operation)
}

fn without_stale(headers: &mut HeaderMap) {
    for name in &STALE {
        headers.remove(name);
    }
}

/// A query without some of its parameters; the others as they were.
fn without(query: &str, unknown: &[String]) -> String {
    let kept = query.split('&').filter(|part| {
        let name = part.split('=').next().unwrap_or_default();
        !names_one(name, unknown)
    });
    kept.collect::<Vec<_>>().join("&")
}

fn with_query(uri: &Uri, query: &str) -> Uri {
    let mark = if query.is_empty() { "" } else { "?" };
    let target = format!("{}{mark}{query}", uri.path());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_invalid| uri.clone())
}

fn refusal(breach: Breach) -> Refusal {
    let reason = match breach.kind {
        BreachKind::Path => Reason::ContractPath,
        BreachKind::Method => Reason::ContractMethod,
        BreachKind::Parameter => Reason::ContractParameter,
        BreachKind::UnknownMember => Reason::ContractUnknown,
        BreachKind::MediaType => Reason::ContractMediaType,
        BreachKind::Unreadable => Reason::ContractUnreadable,
        BreachKind::Presence | BreachKind::Body => Reason::ContractBody,
        BreachKind::Status => Reason::ContractAnswer,
    };
    Refusal::new(reason, breach.what)
}
