//! `Content-Digest` (RFC 9530): what a body has to hash to. Every digest of a known algorithm
//! counts; one that is there and wrong is not made good by another.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA512, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Dictionary, ListEntry, Parser};
use subtle::ConstantTimeEq as _;

use super::Fault;

pub(super) static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What a message says of its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl Digests {
    /// Of the fields of a message.
    pub fn read(fields: &HeaderMap) -> Result<Self, Fault> {
        let values: Vec<&[u8]> =
            fields.get_all(&CONTENT_DIGEST).iter().map(HeaderValue::as_bytes).collect();
        let whole = values.join(&b", "[..]);
        let members: Dictionary =
            Parser::new(&whole).parse().map_err(|_unreadable| Fault::Malformed)?;
        let of = |name: &str| match members.get(name) {
            Some(ListEntry::Item(item)) => {
                let bytes = item.bare_item.as_byte_sequence().ok_or(Fault::Malformed)?;
                Ok(Some(bytes.to_vec()))
            }
            Some(ListEntry::InnerList(_)) => Err(Fault::Malformed),
            None => Ok(None),
        };
        let known = Self { sha256: of("sha-256")?, sha512: of("sha-512")? };
        if known == Self::default() { Err(Fault::NoDigest) } else { Ok(known) }
    }

    /// For a body that comes in pieces.
    pub fn checker(&self) -> Checker {
        Checker {
            expected: self.clone(),
            sha256: self.sha256.is_some().then(|| Context::new(&SHA256)),
            sha512: self.sha512.is_some().then(|| Context::new(&SHA512)),
        }
    }

    /// For a whole body.
    pub fn check(&self, body: &[u8]) -> Result<(), Fault> {
        let mut checker = self.checker();
        checker.update(body);
        checker.finish()
    }
}

/// A body's digests while it passes.
pub struct Checker {
    expected: Digests,
    sha256: Option<Context>,
    sha512: Option<Context>,
}

impl Checker {
    pub fn update(&mut self, piece: &[u8]) {
        for context in self.sha256.iter_mut().chain(&mut self.sha512) {
            context.update(piece);
        }
    }

    pub fn finish(self) -> Result<(), Fault> {
        let fits = |context: Option<Context>, expected: Option<Vec<u8>>| {
            let found = context.map(Context::finish);
            match (found, expected) {
                (Some(found), Some(expected)) => bool::from(found.as_ref().ct_eq(&expected)),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
        };
        let first = fits(self.sha256, self.expected.sha256);
        let second = fits(self.sha512, self.expected.sha512);
        if first && second { Ok(()) } else { Err(Fault::OtherBody) }
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("expected", &self.expected).finish_non_exhaustive()
    }
}

/// The field for a body of ours.
pub fn content_digest(body: &[u8]) -> Option<HeaderValue> {
    let text = format!("sha-256=:{}:", BASE64_STANDARD.encode(digest(&SHA256, body)));
    HeaderValue::try_from(text).ok()
}
