//! Which other origins may read a route's answers (the fetch standard's CORS protocol). A preflight is
//! answered here, before anyone asks for a credential that it cannot carry; a supplier's own words
//! about origins are replaced. It tells browsers who may read: it keeps nobody from sending, which
//! is what authentication is for.

mod grant;

use gateway_common::Reason;
use http::{
    HeaderName, Method, Response,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN,
    },
    request::Parts,
};

use self::grant::Grant;
use crate::{
    config::model,
    proxy::{
        fields,
        pipeline::{
            body::Payload,
            context::RequestContext,
            decision::{Decision, Refusal},
        },
        router::Route,
    },
};

static ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");

/// What a supplier says of origins, which only the route may say.
static OURS: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// The rules of all routes, by route index.
#[derive(Debug)]
pub(crate) struct Cors {
    routes: Vec<Option<Grant>>,
}

impl Cors {
    pub(crate) fn from_config(routes: &[model::Route]) -> Self {
        let grant = |route: &model::Route| route.cors.as_ref().map(Grant::new);
        Self { routes: routes.iter().map(grant).collect() }
    }

    /// Whether the route of this index has rules.
    pub(crate) fn rules(&self, route: &Route) -> bool {
        self.grant(route.index).is_some()
    }

    pub(crate) fn check(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let Some(grant) = self.grant(route.index) else { return Decision::Continue };
        context.granted = grant.to(&context.head.headers);
        if preflight(&context.head).is_none() {
            // Browsers send `Origin` to their own origin too: what is not granted is not refused.
            return Decision::Continue;
        }
        if context.granted.is_none() {
            return Refusal::new(Reason::CorsRefused, "the origin is not among the route's").into();
        }
        Decision::Answer(Box::new(grant.preflight(&context.head.headers)))
    }

    /// Says of every answer, refusals too, who may read it.
    pub(crate) fn apply(
        &self,
        context: &mut RequestContext,
        route: &Route,
        response: &mut Response<Payload>,
    ) {
        let Some(grant) = self.grant(route.index) else { return };
        let preflight = context.granted.is_some() && preflight(&context.head).is_some();
        let headers = response.headers_mut();
        if !preflight {
            for name in &OURS {
                headers.remove(name);
            }
        }
        fields::vary(headers, "Origin");
        let Some(origin) = context.granted.take() else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        grant.extend(headers, preflight);
    }

    fn grant(&self, route: usize) -> Option<&Grant> {
        self.routes.get(route)?.as_ref()
    }
}

/// The method that a preflight asks for; `None` if the request is none.
pub(crate) fn preflight(head: &Parts) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}
