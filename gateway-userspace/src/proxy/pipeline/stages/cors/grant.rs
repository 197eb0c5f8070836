//! One route's rules as fields of a response, made once.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW_PRIVATE_NETWORK, ORIGIN, REQUEST_PRIVATE_NETWORK,
};
use crate::{
    config::model::{self, Pattern},
    proxy::{fields, pipeline::body::Payload},
};

static TRUE: HeaderValue = HeaderValue::from_static("true");
static ANYONE: HeaderValue = HeaderValue::from_static("*");

#[derive(Debug)]
pub(super) struct Grant {
    anyone: bool,
    origins: Vec<Pattern>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
    private_network: bool,
}

impl Grant {
    pub(super) fn new(cors: &model::Cors) -> Self {
        Self {
            anyone: cors.anyone,
            origins: cors.origins.clone(),
            methods: list(cors.methods.iter().map(Method::as_str))
                .unwrap_or(HeaderValue::from_static("")),
            headers: list(cors.headers.iter().map(HeaderName::as_str)),
            expose: list(cors.expose.iter().map(HeaderName::as_str)),
            credentials: cors.credentials,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
            private_network: cors.private_network,
        }
    }

    /// What `Access-Control-Allow-Origin` says to the origin of a request.
    pub(super) fn to(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let sent = fields::only(headers, &ORIGIN)?;
        if self.anyone {
            return Some(ANYONE.clone());
        }
        let text = sent.to_str().ok()?;
        self.origins.iter().any(|pattern| pattern.matches(text)).then(|| sent.clone())
    }

    /// The answer to a preflight of an origin that is meant. The browser holds method and fields
    /// against the lists, and tells its developer which is missing.
    pub(super) fn preflight(&self, asked: &HeaderMap) -> Response<Payload> {
        let mut response = Response::new(Payload::Own(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(names) = &self.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        let private =
            fields::only(asked, &REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == "true");
        if self.private_network && private {
            headers.insert(&ALLOW_PRIVATE_NETWORK, TRUE.clone());
        }
        fields::vary(headers, ACCESS_CONTROL_REQUEST_METHOD.as_str());
        fields::vary(headers, ACCESS_CONTROL_REQUEST_HEADERS.as_str());
        response
    }

    /// What stands beside the origin.
    pub(super) fn extend(&self, headers: &mut HeaderMap, preflight: bool) {
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE.clone());
        }
        if let Some(names) = self.expose.as_ref().filter(|_| !preflight) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> Option<HeaderValue> {
    let names: Vec<&str> = names.collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|_| !names.is_empty())
}
