//! An issuer's keys (RFC 7517 section 5). What is odd about one of them is no reason to lose the others.

use std::sync::Arc;

use gateway_common::Reason;
use serde_json::Value;

use super::{Compact, Fault, Key, KeyFault};
use crate::{config::model::Algorithm, proxy::strict_json};

/// Keys of one issuer: the largest known publish a dozen.
const KEYS: usize = 100;

/// Members of a document that are looked at.
const ENTRIES: usize = 1000;

/// Keys tried for a token that names none: each costs as much as a signature.
const TRIES: usize = 4;

/// Keys with their algorithms.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// A key that is left aside, by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub place: usize,
    /// As the provider wrote it.
    pub kid: Option<String>,
    pub why: KeyFault,
}

/// Why a document is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetFault {
    #[error("not one JSON object with each member once")]
    Json,
    #[error("without a list of keys")]
    NoList,
    #[error("without a key that can be used")]
    Empty,
}

impl KeySet {
    /// Reads a document; keys for other algorithms than `taken` are skipped.
    pub fn read(text: &[u8], taken: &[Algorithm]) -> Result<(Self, Vec<Skipped>), SetFault> {
        let document = strict_json::object(text).ok_or(SetFault::Json)?;
        let list = document.get("keys").and_then(Value::as_array).ok_or(SetFault::NoList)?;
        let (mut set, mut skipped) = (Self::default(), Vec::new());
        for (place, entry) in list.iter().take(ENTRIES).enumerate() {
            let read = entry.as_object().ok_or(KeyFault::Malformed);
            match read.and_then(|jwk| Key::read(jwk, taken)).and_then(|key| set.add(key)) {
                Ok(()) => {}
                Err(why) => {
                    let kid = entry.get("kid").and_then(Value::as_str).map(str::to_owned);
                    skipped.push(Skipped { place, kid, why });
                }
            }
        }
        if set.keys.is_empty() { Err(SetFault::Empty) } else { Ok((set, skipped)) }
    }

    /// Takes over keys that `before` had already, and retires those that are no more.
    pub fn succeed(mut self, before: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(known) = before.keys.iter().find(|known| known.is(key)) {
                *key = Arc::clone(known);
            }
        }
        let stays = |key: &&Arc<Key>| self.keys.iter().any(|kept| Arc::ptr_eq(kept, key));
        before.keys.iter().filter(|key| !stays(key)).for_each(|key| key.retire());
        self
    }

    /// Whether both have the same keys, of which one took over those of the other.
    pub(in crate::proxy::identity) fn has_the_same(&self, other: &Self) -> bool {
        let has = |key: &Arc<Key>| other.keys.iter().any(|one| Arc::ptr_eq(one, key));
        self.keys.len() == other.keys.len() && self.keys.iter().all(has)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn add(&mut self, key: Key) -> Result<(), KeyFault> {
        if self.keys.len() >= KEYS {
            return Err(KeyFault::TooMany);
        }
        // One kid for keys of different kinds is lawful (RFC 7517 section 4.5).
        let same = |known: &Arc<Key>| known.kid == key.kid && known.family == key.family;
        if key.kid.is_some() && self.keys.iter().any(same) {
            return Err(KeyFault::Twice);
        }
        self.keys.push(Arc::new(key));
        Ok(())
    }

    /// The key whose signature the token has.
    pub(super) fn verify(&self, token: &Compact<'_>) -> Result<Arc<Key>, Fault> {
        let named: Vec<&Arc<Key>> = match &token.kid {
            Some(kid) => self.keys.iter().filter(|key| key.kid.as_ref() == Some(kid)).collect(),
            None => self.keys.iter().collect(),
        };
        if named.is_empty() {
            return Err(Fault::new(Reason::TokenKeyUnknown, "no key of this kid"));
        }
        let fitting = named.iter().filter(|key| key.takes(token.algorithm)).take(TRIES);
        let mut fault = Fault::new(Reason::TokenAlgorithmMismatch, "not the key's algorithm");
        for key in fitting {
            match key.verify(token.algorithm, token.signed, &token.signature) {
                Ok(()) => return Ok(Arc::clone(key)),
                Err(failed) => fault = failed,
            }
        }
        Err(fault)
    }
}
