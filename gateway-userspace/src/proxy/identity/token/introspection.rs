//! Tokens that only their issuer can read (RFC 7662). Each is asked about once at a time, and the
//! answer counts for a short while: a token that was revoked lives on for no longer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use gateway_common::Reason;
use http::{
    HeaderValue, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{Binding, Digest, Token};
use crate::{
    clock::Wall,
    config::model::Introspection,
    proxy::{
        fetch::{Answer, FetchError, Terms},
        identity::{
            jwt::Fault,
            provider::{Provider, told},
        },
        strict_json,
        worker::Shared,
    },
};

/// Tokens of one issuer that are asked about at a time.
const FLIGHTS: usize = 256;

/// Tokens over this are none; each byte is sent on.
const TOKEN: usize = 16 * 1024;

/// How long a token that is not active is not asked about again.
const INACTIVE: Duration = Duration::from_secs(5);

type Outcome = Result<Arc<Token>, Fault>;

/// Questions under way.
#[derive(Debug)]
pub(crate) struct Introspector {
    settings: Introspection,
    authorization: Option<HeaderValue>,
    flights: Mutex<HashMap<Digest, Weak<OnceCell<Outcome>>>>,
}

impl Introspector {
    pub(crate) fn new(settings: &Introspection, secret: Option<&str>) -> Self {
        Self {
            settings: settings.clone(),
            authorization: secret.and_then(|secret| basic(&settings.client_id, secret)),
            flights: Mutex::default(),
        }
    }

    /// The one question about this token; `None` where too many are under way.
    fn flight(&self, digest: &Digest) -> Option<Arc<OnceCell<Outcome>>> {
        let mut flights = self.flights();
        if let Some(under_way) = flights.get(digest).and_then(Weak::upgrade) {
            return Some(under_way);
        }
        if flights.len() >= FLIGHTS {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        if flights.len() >= FLIGHTS {
            return None;
        }
        let flight = Arc::new(OnceCell::new());
        flights.insert(*digest, Arc::downgrade(&flight));
        Some(flight)
    }

    fn landed(&self, digest: &Digest) {
        self.flights().remove(digest);
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Digest, Weak<OnceCell<Outcome>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, token: &[u8]) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut form = b"token_type_hint=access_token&token=".to_vec();
        escape(token, &mut form);
        if self.authorization.is_none() {
            form.extend_from_slice(b"&client_id=");
            escape(self.settings.client_id.as_bytes(), &mut form);
        }
        let mut request = Request::post("/")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Full::from(form))
    }
}

impl Provider {
    pub(super) async fn introspect(
        &self,
        shared: &Shared,
        token: &[u8],
        digest: &Digest,
        now: Wall,
    ) -> Outcome {
        let Some(introspector) = &self.introspector else {
            return Err(Fault::new(Reason::Internal, "nobody to ask"));
        };
        // RFC 6750 section 2.1: what else is there was never issued.
        let lawful = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if token.is_empty() || token.len() > TOKEN || !token.iter().all(lawful) {
            return Err(Fault::new(Reason::TokenMalformed, "not a token's characters"));
        }
        let Some(flight) = introspector.flight(digest) else {
            return Err(Fault::new(Reason::TokenUnknowable, "too many questions under way"));
        };
        let asking = || async {
            let outcome = self.question(shared, introspector, token, digest, now).await;
            introspector.landed(digest);
            outcome
        };
        flight.get_or_init(asking).await.clone()
    }

    async fn question(
        &self,
        shared: &Shared,
        introspector: &Introspector,
        token: &[u8],
        digest: &Digest,
        now: Wall,
    ) -> Outcome {
        let answer = match self.answer(shared, introspector, token).await {
            Ok(answer) => answer,
            Err(why) => {
                let identity = &self.name;
                tracing::warn!(identity, why, "the issuer does not say what it thinks of a token");
                return Err(Fault::new(Reason::TokenUnknowable, "the issuer does not answer"));
            }
        };
        if answer.get("active") != Some(&Value::Bool(true)) {
            self.cache.inactive(*digest, now.plus(INACTIVE));
            return Err(Fault::new(Reason::TokenInactive, "not active, says its issuer"));
        }
        let found = Arc::new(self.judge(answer, introspector, now)?);
        self.cache.remember(*digest, Arc::clone(&found), token.len(), now);
        Ok(found)
    }

    async fn answer(
        &self,
        shared: &Shared,
        introspector: &Introspector,
        token: &[u8],
    ) -> Result<Map<String, Value>, String> {
        let terms = Terms {
            connect: Duration::from_secs(2),
            total: Duration::from_secs(5),
            body: 64 * 1024,
            local: self.settings.way.local,
        };
        let url = &introspector.settings.url;
        let request = introspector.request(token).map_err(|error| error.to_string())?;
        let client = shared.client(self.tls(), terms);
        let answer: Result<Answer, FetchError> = client.ask(url, request).await;
        let answer = answer.map_err(|error| told(&error))?;
        if answer.status != StatusCode::OK {
            return Err(format!("{url} answered {}", answer.status.as_u16()));
        }
        if !answer.is_json() {
            return Err(format!("{url} answered no JSON"));
        }
        strict_json::object(&answer.body)
            .ok_or_else(|| format!("{url} answered no one JSON object"))
    }

    /// The issuer has looked at signature and revocation; what is for somebody else is so still.
    fn judge(
        &self,
        claims: Map<String, Value>,
        introspector: &Introspector,
        now: Wall,
    ) -> Result<Token, Fault> {
        let rules = self.rules();
        let (expires, issued) = rules.check_answer(&claims, now.0)?;
        let longest = now.plus(introspector.settings.cache);
        let until = expires
            .map_or(longest.0, |expires| longest.0.min(expires.saturating_add(rules.leeway)));
        Ok(Token {
            binding: Binding::of(&claims)?,
            until,
            issued,
            caller: Arc::new(self.caller(&claims)),
            claims: Arc::new(claims),
            key: None,
        })
    }
}

/// RFC 6749 section 2.3.1: each half is form-encoded before both are joined.
fn basic(client: &str, secret: &str) -> Option<HeaderValue> {
    let mut pair = Vec::new();
    escape(client.as_bytes(), &mut pair);
    pair.push(b':');
    escape(secret.as_bytes(), &mut pair);
    let mut value =
        HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// As forms are encoded, with nothing left as it is that could mean something.
fn escape(bytes: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            into.push(*byte);
        } else {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
            into.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
