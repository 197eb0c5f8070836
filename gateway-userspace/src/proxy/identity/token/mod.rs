//! Access tokens of one issuer: read and judged, or asked about; and what was found remembered until
//! the token ends, its key goes, or its issuer's word grows old.

mod cache;
mod holder;
mod introspection;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway_common::Reason;
use serde_json::{Map, Value};

pub(crate) use self::{
    cache::Cache,
    holder::{Binding, Hands, Scheme},
    introspection::Introspector,
    question::Question,
};
use super::{
    jwt::{self, Compact, Fault, Form, Key},
    keys,
    provider::{Provider, Unknown},
};
use crate::{clock::Wall, proxy::worker::Shared};

/// Bytes of a name that is logged as it is.
const NAME: usize = 200;

/// A token that counts.
#[derive(Debug)]
#[allow(dead_code, reason = "claims and issued are for authorization and revocation")]
pub(crate) struct Token {
    pub(crate) claims: Arc<Map<String, Value>>,
    /// Seconds since 1970, with the leeway.
    pub(crate) until: u64,
    pub(crate) issued: Option<u64>,
    pub(crate) binding: Binding,
    /// Whom limits, splits and logs know.
    pub(crate) caller: Arc<keys::Key>,
    /// `None` for one that was asked about.
    key: Option<Arc<Key>>,
}

/// What a token is remembered by: whoever reads our memory has none of them.
pub(crate) type Digest = [u8; 32];

pub(crate) fn digest_of(token: &[u8]) -> Digest {
    let mut whole = [0; 32];
    whole.copy_from_slice(digest(&SHA256, token).as_ref());
    whole
}

impl Token {
    fn holds(&self, now: Wall) -> bool {
        now.0 < self.until && self.key.as_ref().is_none_or(|key| !key.is_retired())
    }
}

impl Provider {
    /// What is known of a token without asking anybody: the way of nearly all requests.
    pub(crate) fn known(&self, digest: &Digest, now: Wall) -> Option<Result<Arc<Token>, Fault>> {
        self.cache.find(digest, now)
    }

    /// Judges a token that is not known, and remembers what it finds.
    pub(crate) async fn find_out(
        &self,
        shared: &Shared,
        token: &[u8],
        digest: &Digest,
        now: Wall,
    ) -> Result<Arc<Token>, Fault> {
        let readable = token.split(|byte| *byte == b'.').count() == 3;
        if self.introspector.is_some() && !(readable && self.has_keys()) {
            return self.introspect(shared, token, digest, now).await;
        }
        if !self.has_keys() {
            return Err(Fault::new(Reason::TokenMalformed, "not to be read, and nobody to ask"));
        }
        let found = Arc::new(Box::pin(self.read(token, now)).await?);
        self.cache.remember(*digest, Arc::clone(&found), token.len(), now);
        Ok(found)
    }

    async fn read(&self, token: &[u8], now: Wall) -> Result<Token, Fault> {
        let read = Compact::read(token, Form::Token)?;
        let mut fault = Fault::new(Reason::TokenKeysMissing, "the issuer's keys are not known");
        for asked in [false, true] {
            if let Some(known) = self.keys(now) {
                match jwt::verify(&read, self.rules(), &known.keys, now.0) {
                    Ok(verified) => return self.made(read, verified),
                    Err(found) if may_be_rotation(&read, found) => fault = found,
                    Err(found) => return Err(found),
                }
            } else if self.is_away() {
                return Err(fault);
            }
            if asked {
                break;
            }
            match self.wish(read.kid()).await {
                Unknown::LookAgain => {}
                Unknown::Absent => return Err(fault),
                Unknown::Unknowable => {
                    let what = "the issuer does not say whether it has the key";
                    return Err(Fault::new(Reason::TokenKeysMissing, what));
                }
            }
        }
        self.is_without(read.kid());
        Err(fault)
    }

    fn made(&self, read: Compact<'_>, verified: jwt::Verified) -> Result<Token, Fault> {
        let claims = read.into_claims();
        Ok(Token {
            binding: Binding::of(&claims)?,
            until: verified.times.expires.saturating_add(self.rules().leeway),
            issued: verified.times.issued,
            caller: Arc::new(self.caller(&claims)),
            claims: Arc::new(claims),
            key: Some(verified.key),
        })
    }

    /// The user, else the client that came for itself; and the token's name.
    fn caller(&self, claims: &Map<String, Value>) -> keys::Key {
        let named = |names: &[&str]| names.iter().find_map(|name| claims.get(*name)?.as_str());
        let client = named(&["sub", "client_id", "azp"]).unwrap_or("nobody");
        keys::Key::of(&self.name, &plain(client), &plain(named(&["jti"]).unwrap_or("-")))
    }
}

/// Whether a key that we do not know yet could have signed it: one of a name that is unknown, or of
/// none at all.
fn may_be_rotation(token: &Compact<'_>, fault: Fault) -> bool {
    let of_another = [Reason::TokenSignature, Reason::TokenAlgorithmMismatch];
    fault.reason == Reason::TokenKeyUnknown
        || (token.kid().is_none() && of_another.contains(&fault.reason))
}

/// As it is, where it is short and visible; else its digest: no two are cut to one.
fn plain(name: &str) -> String {
    if name.len() <= NAME && !name.chars().any(char::is_control) {
        return name.to_owned();
    }
    let digest = digest_of(name.as_bytes());
    format!("sha256:{}", BASE64_URL_SAFE_NO_PAD.encode(digest))
}
