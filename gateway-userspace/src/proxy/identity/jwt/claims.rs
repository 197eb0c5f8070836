//! What a token has to say: from whom, for whom, from when and until when (RFC 7519 section 4.1).

use gateway_common::Reason;
use serde_json::{Map, Value};

use super::{Compact, Fault};

/// Beyond this a number of seconds is no time but an attempt.
const LAST: f64 = 9_007_199_254_740_992.0;

/// Audiences of one token that are looked at.
const AUDIENCES: usize = 64;

/// What an identity asks of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub issuer: String,
    /// One of these has to be among the token's.
    pub audiences: Vec<String>,
    /// In lower case, without `application/`; `none` is a token without `typ`.
    pub types: Vec<String>,
    /// Seconds that clocks may be apart.
    pub leeway: u64,
}

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub issued: Option<u64>,
    pub expires: u64,
}

impl Rules {
    /// Keeps tokens of another kind out, such as proofs, logout tokens and ID tokens (RFC 8725
    /// section 3.11).
    pub(super) fn check_type(&self, token: &Compact<'_>) -> Result<(), Fault> {
        let kind = token.kind.as_deref().unwrap_or("none");
        if self.types.iter().any(|lawful| lawful == kind) {
            return Ok(());
        }
        Err(Fault::new(Reason::TokenType, "of another type"))
    }

    pub(super) fn check_parties(&self, token: &Compact<'_>) -> Result<(), Fault> {
        if token.text("iss") != Some(self.issuer.as_str()) {
            return Err(Fault::new(Reason::TokenIssuer, "of another issuer"));
        }
        self.check_audience(token.claims().get("aud"))
    }

    fn check_audience(&self, audience: Option<&Value>) -> Result<(), Fault> {
        let ours = |name: &Value| self.audiences.iter().any(|own| name.as_str() == Some(own));
        let for_us = match audience {
            Some(Value::Array(names)) => {
                names.len() <= AUDIENCES
                    && names.iter().all(Value::is_string)
                    && names.iter().any(ours)
            }
            Some(name) => ours(name),
            None => false,
        };
        if for_us { Ok(()) } else { Err(Fault::new(Reason::TokenAudience, "for another audience")) }
    }

    pub(super) fn check_times(&self, token: &Compact<'_>, now: u64) -> Result<Times, Fault> {
        let missing = Fault::new(Reason::TokenClaims, "no exp");
        self.check_life(token.claims(), now)?.ok_or(missing)
    }

    /// The same for what the issuer says of a token (RFC 7662 section 2.2), which may leave all of it
    /// out: it has looked at the token itself.
    pub fn check_answer(
        &self,
        claims: &Map<String, Value>,
        now: u64,
    ) -> Result<(Option<u64>, Option<u64>), Fault> {
        if claims.get("iss").is_some_and(|issuer| issuer.as_str() != Some(&self.issuer)) {
            return Err(Fault::new(Reason::TokenIssuer, "of another issuer"));
        }
        if claims.contains_key("aud") {
            self.check_audience(claims.get("aud"))?;
        }
        let times = self.check_life(claims, now)?;
        Ok((times.map(|times| times.expires), time_of(claims, "iat")?))
    }

    /// `None` where no end is said.
    fn check_life(&self, claims: &Map<String, Value>, now: u64) -> Result<Option<Times>, Fault> {
        let late = now.saturating_sub(self.leeway);
        let soon = now.saturating_add(self.leeway);
        let expires = seconds(claims, "exp", f64::floor)?;
        let issued = seconds(claims, "iat", f64::floor)?;
        let from = seconds(claims, "nbf", f64::ceil)?;
        if expires.is_some_and(|expires| expires <= late) {
            return Err(Fault::new(Reason::TokenExpired, "exp is over"));
        }
        if [issued, from].into_iter().flatten().any(|from| from > soon) {
            return Err(Fault::new(Reason::TokenNotYet, "iat or nbf is to come"));
        }
        Ok(expires.map(|expires| Times { issued, expires }))
    }
}

/// A claim that is a time.
pub fn time_of(claims: &Map<String, Value>, claim: &str) -> Result<Option<u64>, Fault> {
    seconds(claims, claim, f64::floor)
}

/// A time, rounded to the stricter second: RFC 7519 section 2 lets it have a fraction. Text is none.
fn seconds(
    claims: &Map<String, Value>,
    claim: &str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, Fault> {
    let wrong = Fault::new(Reason::TokenClaims, "a time that is no number of seconds");
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let time = number.as_f64().map(round).filter(|time| (0.0..LAST).contains(time));
            let time = time.ok_or(wrong)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative and below 2^53"
            )]
            let time = time as u64;
            Ok(Some(time))
        }
        Some(_) => Err(wrong),
    }
}
