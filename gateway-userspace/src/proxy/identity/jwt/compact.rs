//! The compact form (RFC 7515 section 7.1), and what its header may say.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway_common::Reason;
use serde_json::{Map, Value};

use super::{Fault, Key};
use crate::{config::model::Algorithm, proxy::strict_json};

/// Bytes of a token, at most: fields over 16 KiB do not travel anyway.
const TOKEN: usize = 16 * 1024;

/// Bytes of a key's name.
const KID: usize = 256;

/// Ways of a header to bring a key of its own (RFC 8725 section 3.10). Refused rather than ignored:
/// nobody who is entitled to a token needs one, and another reader might follow it.
const OWN_KEYS: [&str; 4] = ["jku", "x5u", "jwk", "x5c"];

/// Whose signature it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An issuer's, whose keys are known.
    Token,
    /// The caller's own, by the key in the header (RFC 9449 section 4.2).
    Proof,
}

/// A token as it was read; nothing of it is believed.
#[derive(Debug)]
pub struct Compact<'a> {
    /// What the signature is over.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// In lower case, without `application/`.
    pub(super) kind: Option<String>,
    /// Of a proof.
    jwk: Option<Map<String, Value>>,
    claims: Map<String, Value>,
}

impl<'a> Compact<'a> {
    /// Reads a token, whatever bytes it is.
    pub fn read(token: &'a [u8], form: Form) -> Result<Self, Fault> {
        if token.len() > TOKEN {
            return Err(Fault::new(Reason::TokenTooLarge, "over 16 KiB"));
        }
        let [head, body, signature, signed] = split(token)?;
        let header = object(&decode(head)?)?;
        let algorithm = algorithm(&header)?;
        let jwk = check(&header, form)?;
        Ok(Self {
            signed,
            algorithm,
            jwk,
            kid: kid(&header)?,
            kind: kind(&header)?,
            claims: object(&decode(body)?)?,
            signature: decode(signature)?,
        })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key that a proof brings.
    pub fn jwk(&self) -> Option<&Map<String, Value>> {
        self.jwk.as_ref()
    }

    pub fn is_of_type(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    pub fn check_signature(&self, key: &Key) -> Result<(), Fault> {
        key.verify(self.algorithm, self.signed, &self.signature)
    }

    /// What it says of itself.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    /// A claim that is text, or nothing.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }
}

/// Header, payload, signature, and what is signed: the first two with their dot.
fn split(token: &[u8]) -> Result<[&[u8]; 4], Fault> {
    if token.starts_with(b"{") {
        return Err(Fault::new(Reason::TokenMalformed, "JSON serialization"));
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (head, body, signature) = (parts.next(), parts.next(), parts.next());
    let more = parts.count();
    if more == 2 {
        return Err(Fault::new(Reason::TokenEncrypted, "encrypted: five parts"));
    }
    let (Some(head), Some(body), Some(signature), 0) = (head, body, signature, more) else {
        return Err(Fault::new(Reason::TokenMalformed, "not three parts"));
    };
    let signed = token.get(..head.len() + 1 + body.len()).unwrap_or_default();
    Ok([head, body, signature, signed])
}

/// Base64url without padding, and with nothing in bits that mean nothing: else one token has many
/// spellings, and a list of revoked ones one of them.
fn decode(part: &[u8]) -> Result<Vec<u8>, Fault> {
    let wrong = |_| Fault::new(Reason::TokenEncoding, "not canonical base64url");
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(wrong)
}

fn object(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    strict_json::object(text)
        .ok_or(Fault::new(Reason::TokenJson, "not one JSON object with each member once"))
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Fault> {
    let unknown = Fault::new(Reason::TokenAlgorithm, "no signature algorithm that is taken");
    let name = header.get("alg").and_then(Value::as_str).ok_or(unknown)?;
    Algorithm::from_name(name).ok_or(unknown)
}

/// Refuses what asks to be read in another way; yields the key that a proof brings.
fn check(header: &Map<String, Value>, form: Form) -> Result<Option<Map<String, Value>>, Fault> {
    if header.contains_key("crit") || header.contains_key("b64") {
        // None is understood here, and what is critical and not understood is refused.
        return Err(Fault::new(Reason::TokenCritical, "crit or b64"));
    }
    let nested = header.get("cty").is_some_and(|kind| {
        kind.as_str().is_none_or(|kind| kind.to_ascii_lowercase().ends_with("jwt"))
    });
    if nested || ["enc", "zip"].iter().any(|member| header.contains_key(*member)) {
        return Err(Fault::new(Reason::TokenEncrypted, "nested, packed or encrypted"));
    }
    let proof = form == Form::Proof;
    let brings = |member: &&&str| header.contains_key(**member) && !(proof && **member == "jwk");
    if OWN_KEYS.iter().find(brings).is_some() {
        return Err(Fault::new(Reason::TokenHeaderKey, "the header brings a key"));
    }
    match (form, header.get("jwk")) {
        (Form::Token, _) => Ok(None),
        (Form::Proof, Some(Value::Object(jwk))) => Ok(Some(jwk.clone())),
        (Form::Proof, _) => Err(Fault::new(Reason::TokenJson, "no jwk")),
    }
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= KID => Ok(Some(kid.clone())),
        Some(_) => Err(Fault::new(Reason::TokenJson, "kid is no short text")),
    }
}

/// Compared without `application/`, in any case (RFC 7515 section 4.1.9).
fn kind(header: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match header.get("typ") {
        None => Ok(None),
        Some(Value::String(kind)) => {
            let kind = kind.to_ascii_lowercase();
            Ok(Some(kind.strip_prefix("application/").unwrap_or(&kind).to_owned()))
        }
        Some(_) => Err(Fault::new(Reason::TokenType, "typ is no text")),
    }
}
