//! In whose hands a token counts: of who holds the certificate's key on this connection (RFC 8705),
//! or proves to hold another for this request (RFC 9449). A bound token is never taken as a bearer's.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway_common::Reason;
use serde_json::{Map, Value};

use super::Token;
use crate::{
    config::model::Sender,
    proxy::identity::{dpop::Proof, jwt::Fault},
};

/// Whom a token is bound to (RFC 7800); nobody where both are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Binding {
    /// SHA-256 of the certificate.
    pub(crate) certificate: Option<[u8; 32]>,
    /// RFC 7638 thumbprint of the key.
    pub(crate) key: Option<[u8; 32]>,
}

/// How a token was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

/// What the caller shows beside the token.
#[derive(Debug)]
pub(crate) struct Hands<'a> {
    pub(crate) scheme: Scheme,
    /// SHA-256 of the certificate of this connection, in lower-case hexadecimal.
    pub(crate) certificate: Option<&'a str>,
    /// A proof that holds for this request and this token.
    pub(crate) proof: Option<&'a Proof>,
}

impl Binding {
    /// A confirmation that cannot be checked is one that never holds.
    pub(super) fn of(claims: &Map<String, Value>) -> Result<Self, Fault> {
        let wrong = Fault::new(Reason::TokenClaims, "a confirmation that cannot be checked");
        let members = match claims.get("cnf") {
            None => return Ok(Self::default()),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(wrong),
        };
        let hash = |member: &str| match members.get(member) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
                let hash = bytes.and_then(|bytes| bytes.try_into().ok());
                hash.map(Some).ok_or(wrong)
            }
            Some(_) => Err(wrong),
        };
        let binding = Self { certificate: hash("x5t#S256")?, key: hash("jkt")? };
        if binding.is_nobody() { Err(wrong) } else { Ok(binding) }
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.certificate.is_none() && self.key.is_none()
    }
}

impl Token {
    /// Whether it counts in these hands.
    pub(crate) fn check_hands(&self, sender: Sender, hands: &Hands<'_>) -> Result<(), Fault> {
        let Binding { certificate, key } = self.binding;
        let unbound = match sender {
            Sender::Optional => false,
            Sender::Required => self.binding.is_nobody(),
            Sender::Certificate => certificate.is_none(),
            Sender::Dpop => key.is_none(),
        };
        if unbound {
            return Err(Fault::new(Reason::TokenUnbound, "not bound as the identity asks"));
        }
        if (hands.scheme == Scheme::Dpop) != key.is_some() {
            return Err(Fault::new(Reason::TokenScheme, "the scheme is not the token's"));
        }
        if let Some(bound) = certificate
            && hands.certificate != Some(hexadecimal(&bound).as_str())
        {
            return Err(Fault::new(Reason::TokenCertificate, "another certificate, or none"));
        }
        if let Some(bound) = key
            && hands.proof.is_none_or(|proof| proof.key != bound)
        {
            return Err(Fault::new(Reason::DpopMismatch, "a proof by another key"));
        }
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
