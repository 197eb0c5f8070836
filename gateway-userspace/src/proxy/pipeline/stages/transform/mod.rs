//! What a route changes in its supplier's answers: statuses, error bodies, JSON and header fields.
//! An error body of a supplier tells what runs there (stack traces, host names, queries; CWE-209),
//! so by default none of 5xx leaves. Says nothing about what a good answer may hold beyond the
//! members that the route names.

mod json;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use gateway_common::Reason;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG,
        IF_RANGE, RANGE, RETRY_AFTER, TRAILER, WWW_AUTHENTICATE,
    },
};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use self::json::Edits;
use crate::{
    config::model::{self, Errors, Fields},
    proxy::{
        coding::{
            self, Coding, STALE,
            decode::{Bounds, Decoding},
        },
        pipeline::{
            body::{self, Payload},
            context::RequestContext,
            decision::Refusal,
            respond,
        },
        router::Route,
    },
};

/// Fields of an error that say what a client may do about it.
static KEPT: [HeaderName; 3] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE];

/// Fields that are about the bytes before they were changed, beside those of any other coding.
static CHANGED: [HeaderName; 4] = [ACCEPT_RANGES, CONTENT_ENCODING, ETAG, TRAILER];

static IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// The changes of all routes, by route index.
#[derive(Debug)]
pub(crate) struct Transform {
    routes: Vec<Changes>,
}

/// A route's changes.
#[derive(Debug)]
struct Changes {
    request: Fields,
    response: Fields,
    statuses: Vec<(u16, u16)>,
    errors: Errors,
    json: Option<Json>,
}

#[derive(Debug)]
struct Json {
    edits: Edits,
    bytes: u64,
    pass: bool,
}

impl Transform {
    pub(crate) fn from_config(routes: &[model::Route]) -> Self {
        Self { routes: routes.iter().map(|route| Changes::new(&route.transform)).collect() }
    }

    /// The supplier's request. What is to be changed must come whole and without an encoding.
    pub(crate) fn request(&self, route: &Route, headers: &mut HeaderMap) {
        let Some(changes) = self.routes.get(route.index) else { return };
        if changes.json.is_some() {
            headers.insert(ACCEPT_ENCODING, IDENTITY.clone());
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        change(&changes.request, headers);
    }

    /// A supplier's answer, as the client gets it.
    pub(crate) async fn response(
        &self,
        route: &Route,
        context: &RequestContext,
        response: Response<Payload>,
    ) -> Result<Response<Payload>, Refusal> {
        match self.routes.get(route.index) {
            Some(changes) => changes.response(context, response).await,
            None => Ok(response),
        }
    }
}

impl Changes {
    fn new(settings: &model::Transform) -> Self {
        let json = settings.json.as_ref().map(|edit| Json {
            edits: Edits::new(edit),
            bytes: edit.bytes,
            pass: edit.pass,
        });
        Self {
            request: settings.request.clone(),
            response: settings.response.clone(),
            statuses: settings.statuses.clone(),
            errors: settings.errors,
            json,
        }
    }

    async fn response(
        &self,
        context: &RequestContext,
        mut response: Response<Payload>,
    ) -> Result<Response<Payload>, Refusal> {
        self.status(&mut response);
        let mut response = if self.hides(response.status()) {
            hidden(context, &response)
        } else {
            match &self.json {
                Some(json) if has_body(context, &response) => json.change(response).await?,
                Some(_) | None => response,
            }
        };
        change(&self.response, response.headers_mut());
        Ok(response)
    }

    fn status(&self, response: &mut Response<Payload>) {
        let status = response.status().as_u16();
        let to = self.statuses.iter().find(|(from, _)| *from == status);
        if let Some(to) = to.and_then(|(_, to)| StatusCode::from_u16(*to).ok()) {
            *response.status_mut() = to;
        }
    }

    fn hides(&self, status: StatusCode) -> bool {
        match self.errors {
            Errors::None => false,
            Errors::Server => status.is_server_error(),
            Errors::All => status.is_server_error() || status.is_client_error(),
        }
    }
}

fn change(fields: &Fields, headers: &mut HeaderMap) {
    for name in &fields.remove {
        headers.remove(name);
    }
    for (from, to) in &fields.rename {
        let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
        headers.remove(from);
        for value in values {
            headers.append(to, value);
        }
    }
    for (name, value) in &fields.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &fields.add {
        headers.append(name, value.clone());
    }
}

/// The status without what the supplier said about it.
fn hidden(context: &RequestContext, from: &Response<Payload>) -> Response<Payload> {
    let status = from.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let document = respond::problem(title, status, context.id.as_str());
    let mut response = Response::new(Payload::Own(document));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in &KEPT {
        for value in from.headers().get_all(name) {
            headers.append(name, value.clone());
        }
    }
    response
}

fn has_body(context: &RequestContext, response: &Response<Payload>) -> bool {
    context.head.method != Method::HEAD && !response.body().is_end_stream()
}

impl Json {
    async fn change(&self, response: Response<Payload>) -> Result<Response<Payload>, Refusal> {
        if !response.headers().get(CONTENT_TYPE).is_some_and(is_json) {
            let why = "the supplier's answer is not JSON by its type";
            return if self.pass { Ok(response) } else { Err(unchangeable(why)) };
        }
        // From here on a member that is to stay inside may be in it: changed or refused.
        let coding = self.may_be_changed(&response).map_err(unchangeable)?;
        let (mut head, body) = response.into_parts();
        let whole = self.read(body, coding).await?;
        let changed = self.edits.apply(&whole).map_err(|error| unchangeable(error.to_string()))?;
        let changed = Bytes::from(changed);
        for name in STALE.iter().chain(&CHANGED) {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Payload::Own(changed)))
    }

    /// How the answer is packed, if it may be read at all.
    fn may_be_changed(&self, response: &Response<Payload>) -> Result<Option<Coding>, &'static str> {
        let coding = coding::of(response.headers())
            .map_err(|coding::Unknown| "the supplier's answer is in a coding that is not known")?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            return Err("the supplier's answer is a part, though the whole was asked for");
        }
        if response.body().size_hint().lower() > self.bytes {
            return Err("the supplier's answer is over the route's json.size");
        }
        Ok(coding)
    }

    async fn read(&self, mut body: Payload, coding: Option<Coding>) -> Result<Bytes, Refusal> {
        let mut whole = Whole::new(coding, self.bytes)?;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Refusal::new(body::reason(&error), error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            whole.take(data)?;
        }
        whole.finish()
    }
}

/// A supplier's answer as it is read, unpacked if it came packed though it was not asked to.
struct Whole {
    bytes: BytesMut,
    most: u64,
    decoding: Option<Decoding>,
}

impl Whole {
    fn new(coding: Option<Coding>, most: u64) -> Result<Self, Refusal> {
        // The supplier is not the attacker here: the size is bound enough.
        let bounds = Bounds { bytes: most, ratio: u32::MAX };
        let decoding = coding.map(|coding| Decoding::new(coding, bounds)).transpose();
        let decoding = decoding.map_err(|fault| unchangeable(fault.to_string()))?;
        Ok(Self { bytes: BytesMut::new(), most, decoding })
    }

    fn take(&mut self, data: Bytes) -> Result<(), Refusal> {
        let Some(mut decoding) = self.decoding.take() else { return self.add(&data) };
        decoding.feed(data);
        while let Some(piece) = decoding.next().map_err(|fault| unchangeable(fault.to_string()))? {
            self.add(&piece)?;
        }
        self.decoding = Some(decoding);
        Ok(())
    }

    fn add(&mut self, data: &[u8]) -> Result<(), Refusal> {
        if (self.bytes.len() as u64).saturating_add(data.len() as u64) > self.most {
            return Err(unchangeable("the supplier's answer is over the route's json.size"));
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> Result<Bytes, Refusal> {
        if let Some(decoding) = &self.decoding {
            decoding.finish().map_err(|fault| unchangeable(fault.to_string()))?;
        }
        Ok(self.bytes.freeze())
    }
}

fn unchangeable(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::SupplierBody, why)
}

/// `application/json` and `…+json`, whatever parameters follow.
fn is_json(value: &HeaderValue) -> bool {
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii().to_ascii_lowercase();
    kind == b"application/json" || (kind.contains(&b'/') && kind.ends_with(b"+json"))
}
