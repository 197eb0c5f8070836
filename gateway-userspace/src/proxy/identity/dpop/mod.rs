//! Proofs of possession (RFC 9449): a caller signs each request with the key its token is bound to.
//! Stops the use of a token that was stolen without the key, and of a proof that was seen before; not
//! the use of both by who has the client's key.

mod nonce;
mod proof;
mod seen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use gateway_common::Reason;

pub(crate) use self::proof::{Asked, Proof};
use self::{nonce::Nonces, seen::Seen};
use super::jwt::Fault;
use crate::{
    clock::Wall,
    config::model::{self, Algorithm},
};

/// What a proof is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) dpop: &'a model::Dpop,
    pub(crate) algorithms: &'a [Algorithm],
    pub(crate) leeway: Duration,
}

/// What is remembered of proofs: one for all identities and configurations of a proxy.
#[derive(Debug)]
pub(crate) struct Dpop {
    seen: Seen,
    nonces: Nonces,
    started: Wall,
}

impl Dpop {
    pub(crate) fn new(started: Wall) -> Self {
        Self { seen: Seen::default(), nonces: Nonces::new(), started }
    }

    /// Reads a proof, and checks it for this request. It may have been used before.
    pub(crate) fn read(
        &self,
        proof: &[u8],
        asked: &Asked<'_>,
        terms: Terms<'_>,
        now: Wall,
    ) -> Result<Proof, Fault> {
        let read = Proof::read(proof, asked, terms.dpop, terms.algorithms)?;
        let (window, leeway) = (terms.dpop.window.as_secs(), terms.leeway.as_secs());
        let nonce = read.nonce.as_deref().map(|nonce| self.nonces.is_ours(nonce, now));
        // What an earlier process saw is forgotten: until it is too old to be used again, only a
        // nonce of this one tells a fresh proof from such a one.
        let before = read.issued <= self.started.0.saturating_add(leeway);
        if nonce == Some(false) || (nonce.is_none() && (terms.dpop.nonce || before)) {
            return Err(Fault::new(Reason::DpopNonce, "no nonce of ours, or an old one"));
        }
        let old = now.0.saturating_sub(window + leeway);
        if read.issued <= old || read.issued > now.0.saturating_add(leeway) {
            return Err(Fault::new(Reason::DpopTime, "iat is outside the window"));
        }
        Ok(Proof { until: read.issued.saturating_add(window + leeway + 1), ..read })
    }

    /// Takes the proof as used. It has to be the caller's own by then: whoever has no token of its
    /// key could fill the store.
    pub(crate) fn once(&self, proof: &Proof, now: Wall) -> Result<(), Fault> {
        self.seen.once(proof.mark(), proof.until, now.0)
    }

    /// For callers to come back with.
    pub(crate) fn nonce(&self, now: Wall) -> String {
        self.nonces.of(now)
    }

    /// Proofs remembered, those turned away for want of room.
    pub(crate) fn figures(&self) -> (u64, u64) {
        self.seen.figures()
    }
}
