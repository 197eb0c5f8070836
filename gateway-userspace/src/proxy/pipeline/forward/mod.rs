//! From a request that passed all stages to its supplier: what the supplier gets to see, and what
//! its failures are to the client.

mod fields;

use std::fmt::Write as _;

use gateway_common::Reason;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;

use super::{
    body::{self, Payload, RequestBody},
    decision::Refusal,
    exchange::Exchange,
};
use crate::{
    clock,
    config::model::{Config, Identity, IdentityMethod},
    proxy::{
        router::Route,
        upstream::{BoxError, OutboundBody, Setup, UpstreamError, Upstreams},
    },
};

/// One worker's suppliers, and which fields they must not see.
#[derive(Debug)]
pub(crate) struct Suppliers {
    upstreams: Upstreams,
    /// By identity name: the field that carries its credential.
    credentials: Vec<(String, HeaderName)>,
    credential_fields: Vec<HeaderName>,
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
        Self { upstreams, credentials, credential_fields }
    }

    /// Sends a request to its route's supplier and returns its response, or why there is none.
    pub(crate) async fn send(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
    ) -> Result<Response<Payload>, Refusal> {
        let request = self.request(exchange, route, body)?;
        let deadline = exchange.deadline();
        let started = clock::now();
        let outcome = self.upstreams.send(route.supplier, request, deadline).await;
        let waited = clock::now().saturating_duration_since(started);
        exchange.supplier = Some((route.supplier, waited));
        outcome.map_err(|error| refusal(&error))
    }

    /// Closes idle connections.
    pub(crate) fn sweep(&self) {
        self.upstreams.sweep();
    }

    fn request(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        body: RequestBody,
    ) -> Result<Request<Option<OutboundBody>>, Refusal> {
        let of_route = |(name, _): &&(String, HeaderName)| Some(name) == route.identity.as_ref();
        let used = self.credentials.iter().find(of_route).map(|(_, field)| field);
        let request = fields::request(&mut exchange.context, used, &self.credential_fields)
            .ok_or_else(|| Refusal::new(Reason::PathInvalid, "the path cannot be forwarded"))?;
        let boxed = |body: RequestBody| -> OutboundBody { Box::pin(body.map_err(BoxError::from)) };
        Ok(request.map(|()| Some(body).filter(|body| !body.is_empty()).map(boxed)))
    }
}

fn credential(identity: &Identity) -> Option<(String, HeaderName)> {
    let IdentityMethod::ApiKey { header } = &identity.method;
    Some((identity.name.clone(), HeaderName::from_bytes(header.as_bytes()).ok()?))
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
    Refusal::new(body::reason(error), detail)
}
