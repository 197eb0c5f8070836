//! Exactly one valid credential of the route's identity, or 401; a valid one of another identity
//! is 403. Stops guessing and stuffing together with strikes; does not decide what a client may
//! do. Fails closed where no keys are loaded.

mod token;

use std::sync::Arc;

use gateway_common::Reason;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use self::token::ByToken;
pub(crate) use self::token::Presented;
use crate::{
    clock::Wall,
    config::model::{self, IdentityMethod},
    proxy::{
        identity::{
            keys::{Finding, Key, Keys},
            provider::Providers,
            token::Question,
        },
        pipeline::{
            context::RequestContext,
            decision::{Decision, Refusal},
        },
        router::Route,
    },
};

#[derive(Debug)]
pub(crate) struct Authenticate {
    identities: Vec<Identity>,
    keys: Arc<Keys>,
}

#[derive(Debug)]
struct Identity {
    name: String,
    method: Method,
}

#[derive(Debug)]
enum Method {
    ApiKey(ByKey),
    Tokens(ByToken),
}

#[derive(Debug)]
struct ByKey {
    header: HeaderName,
    /// The key stands behind the scheme `Bearer` (RFC 6750).
    bearer: bool,
    challenge: HeaderValue,
}

impl Authenticate {
    pub(crate) fn from_config(
        identities: &[model::Identity],
        keys: Arc<Keys>,
        providers: &Providers,
    ) -> Self {
        let identity = |identity| Identity::new(identity, providers);
        Self { identities: identities.iter().filter_map(identity).collect(), keys }
    }

    /// What has to be asked before the request can be judged; nothing for nearly all of them.
    pub(crate) fn question(&self, context: &mut RequestContext, route: &Route) -> Option<Question> {
        let name = route.identity.as_ref()?;
        let identity = self.identities.iter().find(|identity| identity.name == *name)?;
        match &identity.method {
            Method::ApiKey(_) => None,
            Method::Tokens(by) => by.prepare(context),
        }
    }

    pub(crate) fn check(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let Some(name) = &route.identity else { return Decision::Continue };
        let Some(identity) = self.identities.iter().find(|identity| identity.name == *name) else {
            // A route that asks for authentication is never served without it.
            return Refusal::new(Reason::Internal, "the route's identity is unknown").into();
        };
        let found = match &identity.method {
            Method::ApiKey(by) => self.judge(name, by, &context.head.headers, context.wall),
            Method::Tokens(by) => by.check(context).map(|token| {
                let caller = Arc::clone(&token.caller);
                context.token = Some(token);
                caller
            }),
        };
        match found {
            Ok(key) => {
                context.client = Some(key);
                Decision::Continue
            }
            Err(refusal) => refusal.into(),
        }
    }

    fn judge(
        &self,
        name: &str,
        on: &ByKey,
        headers: &HeaderMap,
        now: Wall,
    ) -> Result<Arc<Key>, Refusal> {
        let refuse = |reason: Reason, detail: &'static str| {
            Err(Refusal::new(reason, detail).with_header(WWW_AUTHENTICATE, on.challenge.clone()))
        };
        let mut values = headers.get_all(&on.header).iter();
        let Some(value) = values.next() else {
            return refuse(Reason::CredentialMissing, "no credential field");
        };
        if values.next().is_some() {
            return refuse(Reason::CredentialMalformed, "more than one credential");
        }
        let Some(presented) = on.credential(value) else {
            return refuse(Reason::CredentialMalformed, "not the scheme Bearer");
        };
        match self.keys.find(presented, now) {
            Finding::Valid(key) if key.identity == name => Ok(key),
            Finding::Valid(_) => {
                Err(Refusal::new(Reason::CredentialForbidden, "a key of another identity"))
            }
            Finding::Malformed => refuse(Reason::CredentialMalformed, "not a key of ours"),
            Finding::Unknown => refuse(Reason::CredentialUnknown, "no such key"),
            Finding::Revoked => refuse(Reason::CredentialRevoked, "the key was revoked"),
            Finding::Expired => refuse(Reason::CredentialExpired, "the key expired"),
            Finding::NotLoaded => Err(Refusal::new(Reason::Internal, "no keys are loaded")),
        }
    }
}

impl Identity {
    fn new(identity: &model::Identity, providers: &Providers) -> Option<Self> {
        let name = identity.name.clone();
        let method = match &identity.method {
            IdentityMethod::ApiKey { header } => Method::ApiKey(ByKey::new(header)?),
            IdentityMethod::Tokens(_) => {
                Method::Tokens(ByToken::new(providers.named(&name)?, providers.dpop()))
            }
        };
        Some(Self { name, method })
    }
}

impl ByKey {
    fn new(header: &str) -> Option<Self> {
        let header = HeaderName::from_bytes(header.as_bytes()).ok()?;
        let bearer = header == AUTHORIZATION;
        let challenge = if bearer {
            HeaderValue::from_static("Bearer")
        } else {
            HeaderValue::from_str(&format!("ApiKey header=\"{header}\"")).ok()?
        };
        Some(Self { header, bearer, challenge })
    }

    fn credential<'a>(&self, value: &'a HeaderValue) -> Option<&'a [u8]> {
        let bytes = value.as_bytes();
        if !self.bearer {
            return Some(bytes);
        }
        let (scheme, rest) = bytes.split_first_chunk::<7>()?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii_start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::identity::keys::tests::{KEY, issued};

    #[test]
    fn takes_a_key_in_its_header_alone() {
        let stage = stage("x-api-key", true);
        assert_eq!(judge(&stage, &[("x-api-key", KEY)]), None);
        assert_eq!(judge(&stage, &[]), Some(Reason::CredentialMissing));
        let bearer = format!("Bearer {KEY}");
        assert_eq!(judge(&stage, &[("authorization", &bearer)]), Some(Reason::CredentialMissing));
        let twice = [("x-api-key", KEY), ("x-api-key", KEY)];
        assert_eq!(judge(&stage, &twice), Some(Reason::CredentialMalformed));
        assert_eq!(judge(&stage, &[("x-api-key", "secret")]), Some(Reason::CredentialMalformed));
    }

    #[test]
    fn takes_a_bearer_key_in_any_case_of_the_scheme() {
        let stage = stage("authorization", true);
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(judge(&stage, &[("authorization", &format!("{scheme} {KEY}"))]), None);
        }
        for bad in [KEY.to_owned(), format!("Basic {KEY}"), format!("Bearer{KEY}")] {
            let found = judge(&stage, &[("authorization", &bad)]);
            assert_eq!(found, Some(Reason::CredentialMalformed), "{bad}");
        }
    }

    #[test]
    fn fails_closed_without_keys_and_for_another_identity() {
        assert_eq!(
            judge(&stage("x-api-key", false), &[("x-api-key", KEY)]),
            Some(Reason::Internal)
        );
        let stage = stage("x-api-key", true);
        stage.keys.update(true, false, vec![issued(KEY, "partners", "acme")]);
        assert_eq!(judge(&stage, &[("x-api-key", KEY)]), Some(Reason::CredentialForbidden));
    }

    fn stage(header: &str, loaded: bool) -> Authenticate {
        let keys = Arc::new(Keys::default());
        if loaded {
            keys.update(true, false, vec![issued(KEY, "customers", "acme")]);
        }
        let identity = model::Identity {
            name: "customers".to_owned(),
            method: IdentityMethod::ApiKey { header: header.to_owned() },
        };
        Authenticate::from_config(&[identity], keys, &Providers::default())
    }

    fn judge(stage: &Authenticate, fields: &[(&str, &str)]) -> Option<Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let Method::ApiKey(by) = &stage.identities[0].method else { panic!() };
        stage.judge("customers", by, &headers, Wall(1)).err().map(|refusal| refusal.reason)
    }
}
