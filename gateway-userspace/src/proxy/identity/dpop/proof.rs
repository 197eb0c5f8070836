//! One proof, read and compared with the request it came with (RFC 9449 section 4.3).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway_common::Reason;

use crate::{
    config::model::{Algorithm, Dpop, Origin},
    proxy::identity::{
        jwt::{Compact, Fault, Form, Key, time_of},
        token::Digest,
    },
};

/// Bytes of a proof's name and of a nonce.
const NAME: usize = 512;

/// What a request is, as far as a proof says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    /// The path as sent, and as we read it.
    pub(crate) paths: [&'a str; 2],
    /// Of the access token.
    pub(crate) token: &'a Digest,
}

/// A proof that is for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// RFC 7638 thumbprint of its key.
    pub(crate) key: [u8; 32],
    pub(super) name: String,
    pub(super) nonce: Option<String>,
    pub(super) issued: u64,
    /// It is of no use after this.
    pub(super) until: u64,
}

fn malformed(detail: &'static str) -> Fault {
    Fault::new(Reason::DpopMalformed, detail)
}

impl Proof {
    pub(super) fn read(
        proof: &[u8],
        asked: &Asked<'_>,
        settings: &Dpop,
        algorithms: &[Algorithm],
    ) -> Result<Self, Fault> {
        let read = Compact::read(proof, Form::Proof).map_err(|fault| malformed(fault.detail))?;
        let key = signed(&read, algorithms)?;
        let text = |claim| read.text(claim).filter(|text| (1..=NAME).contains(&text.len()));
        let name = text("jti").ok_or(malformed("no jti"))?;
        let issued = time_of(read.claims(), "iat").ok().flatten().ok_or(malformed("no iat"))?;
        let nonce = match read.claims().get("nonce") {
            None => None,
            Some(_) => Some(text("nonce").ok_or(malformed("a nonce that is none"))?.to_owned()),
        };
        if read.text("htm") != Some(asked.method) {
            return Err(Fault::new(Reason::DpopMismatch, "for another method"));
        }
        let target = text("htu").ok_or(malformed("no htu"))?;
        if !is_for(target, settings, asked) {
            return Err(Fault::new(Reason::DpopMismatch, "for another URL"));
        }
        let hash = text("ath").ok_or(malformed("no ath"))?;
        if hash != BASE64_URL_SAFE_NO_PAD.encode(asked.token) {
            return Err(Fault::new(Reason::DpopMismatch, "for another token"));
        }
        let key = key.thumbprint;
        Ok(Self { key, name: name.to_owned(), nonce, issued, until: 0 })
    }

    /// What it is remembered by: its name is unique for its key alone.
    pub(super) fn mark(&self) -> [u8; 16] {
        let whole = [self.key.as_slice(), self.name.as_bytes()].concat();
        let mut mark = [0; 16];
        for (to, from) in mark.iter_mut().zip(digest(&SHA256, &whole).as_ref()) {
            *to = *from;
        }
        mark
    }
}

/// The key in the proof's header, which has signed it.
fn signed(read: &Compact<'_>, algorithms: &[Algorithm]) -> Result<Key, Fault> {
    if !read.is_of_type("dpop+jwt") {
        return Err(malformed("typ is not dpop+jwt"));
    }
    if !algorithms.contains(&read.algorithm()) {
        return Err(malformed("an algorithm that is not taken"));
    }
    let jwk = read.jwk().ok_or(malformed("no jwk"))?;
    let key = Key::read(jwk, &[read.algorithm()]);
    let key = key.map_err(|_fault| malformed("its jwk is no public key of its algorithm"))?;
    read.check_signature(&key).map_err(|fault| malformed(fault.detail))?;
    Ok(key)
}

/// Without query and fragment, and by whichever of our names: never by `Host`, which is the caller's.
fn is_for(target: &str, settings: &Dpop, asked: &Asked<'_>) -> bool {
    let Some((scheme, rest)) = target.split_once("://") else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let origin = format!("{}://{}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let named = Origin::read(&origin);
    let ours = |own: &String| named.is_some() && Origin::read(own) == named;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    settings.origins.iter().any(ours) && asked.paths.contains(&path)
}

#[cfg(test)]
impl Proof {
    /// One by this key, for tests of what comes behind.
    pub(crate) fn by(key: [u8; 32]) -> Self {
        Self { key, name: "1".to_owned(), nonce: None, issued: 0, until: 0 }
    }
}
