//! API keys: `gwk_<id>_<secret>`. The key is shown once; what is kept is its SHA-256, which is
//! enough for 256 random bits.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use zeroize::Zeroizing;

use super::store::Change;
use crate::{clock::Wall, ipc::message::ApiKey};

/// Keys kept, revoked ones included.
const CAPACITY: usize = 10_000;

/// Bytes of a client's name.
const CLIENT_BYTES: usize = 128;

const ID_CHARACTERS: usize = 12;
const SECRET_BYTES: usize = 32;

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) hash: [u8; 32],
    pub(crate) identity: String,
    pub(crate) client: String,
    pub(crate) since: Wall,
    /// `None` never.
    pub(crate) expires: Option<Wall>,
    pub(crate) revoked: bool,
}

/// Why no key was made or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("there is no [[identity]] named {name}; the configuration has: {known}")]
    UnknownIdentity { name: String, known: String },
    #[error("a client's name has 1 to {CLIENT_BYTES} printable characters")]
    ClientName,
    #[error("there are {CAPACITY} keys, as many as the gateway keeps")]
    Full,
    #[error("there is no key {id}; `gateway key list` shows them")]
    Unknown { id: String },
    #[error("key {id} is revoked already")]
    Revoked { id: String },
    #[error("the system gave no random bytes")]
    Random,
}

/// A key just made.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) id: String,
    /// The whole key, to be shown once.
    pub(crate) key: Zeroizing<String>,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    identities: Vec<String>,
    keys: BTreeMap<String, StoredKey>,
    changes: Vec<Change>,
}

impl KeyRing {
    pub(crate) fn new(
        identities: Vec<String>,
        stored: impl IntoIterator<Item = (String, StoredKey)>,
    ) -> Self {
        Self { identities, keys: stored.into_iter().collect(), changes: Vec::new() }
    }

    /// Whose keys may be made from now on. Keys of others stay, and open nothing.
    pub(crate) fn set_identities(&mut self, identities: impl Iterator<Item = String>) {
        self.identities = identities.collect();
    }

    pub(crate) fn create(
        &mut self,
        identity: &str,
        client: &str,
        ttl: Option<Duration>,
        wall: Wall,
    ) -> Result<Created, KeyError> {
        self.check(identity, client)?;
        let random = SystemRandom::new();
        let id = self.unused_id(&random)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(secret.as_mut_slice()).map_err(drop).or(Err(KeyError::Random))?;
        let key = Zeroizing::new(format!("gwk_{id}_{}", base64_url(secret.as_slice()).as_str()));
        let stored = StoredKey {
            hash: sha256(key.as_bytes()),
            identity: identity.to_owned(),
            client: client.to_owned(),
            since: wall,
            expires: ttl.map(|ttl| wall.plus(ttl)),
            revoked: false,
        };
        self.put(&id, stored);
        Ok(Created { id, key })
    }

    pub(crate) fn revoke(&mut self, id: &str) -> Result<(), KeyError> {
        let Some(key) = self.keys.get(id) else {
            return Err(KeyError::Unknown { id: id.to_owned() });
        };
        if key.revoked {
            return Err(KeyError::Revoked { id: id.to_owned() });
        }
        self.put(id, StoredKey { revoked: true, ..key.clone() });
        Ok(())
    }

    /// The keys behind the id `after`, ordered; from the first without it.
    pub(crate) fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&String, &StoredKey)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.keys.range::<str, _>((from, Bound::Unbounded))
    }

    /// The key `id` as the proxy gets it.
    pub(crate) fn for_proxy(&self, id: &str) -> Option<ApiKey> {
        self.keys.get(id).map(|key| api_key(id, key))
    }

    /// All keys as the proxy gets them.
    pub(crate) fn all_for_proxy(&self) -> Vec<ApiKey> {
        self.keys.iter().map(|(id, key)| api_key(id, key)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What the store has to follow since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn check(&self, identity: &str, client: &str) -> Result<(), KeyError> {
        if !self.identities.iter().any(|known| known == identity) {
            let known = self.identities.join(", ");
            return Err(KeyError::UnknownIdentity { name: identity.to_owned(), known });
        }
        let printable = !client.chars().any(char::is_control);
        if client.is_empty() || client.len() > CLIENT_BYTES || !printable {
            return Err(KeyError::ClientName);
        }
        if self.keys.len() >= CAPACITY { Err(KeyError::Full) } else { Ok(()) }
    }

    fn unused_id(&self, random: &SystemRandom) -> Result<String, KeyError> {
        loop {
            let mut bytes = [0; ID_CHARACTERS];
            random.fill(&mut bytes).map_err(drop).or(Err(KeyError::Random))?;
            let id: String = bytes.iter().map(|byte| character(BASE32, *byte)).collect();
            if !self.keys.contains_key(&id) {
                return Ok(id);
            }
        }
    }

    fn put(&mut self, id: &str, key: StoredKey) {
        self.changes.push(Change::Key(id.to_owned(), Some(key.clone())));
        self.keys.insert(id.to_owned(), key);
    }
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}

fn api_key(id: &str, key: &StoredKey) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        hash: key.hash,
        identity: key.identity.clone(),
        client: key.client.clone(),
        expires: key.expires.map_or(0, |at| at.0),
        revoked: key.revoked,
    }
}

/// The character of the low bits of `byte`; evenly spread, as `N` divides 256.
fn character<const N: usize>(alphabet: &[u8; N], byte: u8) -> char {
    alphabet.get(usize::from(byte) % N).copied().map_or('a', char::from)
}

/// RFC 4648 section 5, without padding.
fn base64_url(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let sextets = [bits >> 18, bits >> 12, bits >> 6, bits].map(|sextet| sextet & 63);
        for sextet in sextets.iter().take(chunk.len() + 1) {
            text.push(character(BASE64_URL, u8::try_from(*sextet).unwrap_or(0)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_only_its_hash_is_kept() {
        let mut ring = ring();
        let created = ring.create("customers", "shop", None, Wall(100)).unwrap();
        let mut parts = created.key.splitn(3, '_');
        assert_eq!(parts.next(), Some("gwk"));
        assert_eq!(parts.next(), Some(created.id.as_str()));
        let secret = parts.next().unwrap();
        assert_eq!((created.id.len(), secret.len()), (12, 43));
        assert!(created.id.chars().all(|c| matches!(c, 'a'..='z' | '2'..='7')));
        assert!(secret.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));

        let changes = ring.take_changes();
        assert!(!format!("{changes:?}").contains(secret));
        assert_eq!(ring.for_proxy(&created.id).unwrap().hash, sha256(created.key.as_bytes()));
    }

    #[test]
    fn a_revoked_key_stays_known_and_is_revoked_once() {
        let mut ring = ring();
        let id = ring.create("customers", "shop", None, Wall(1)).unwrap().id;
        ring.revoke(&id).unwrap();
        assert!(ring.for_proxy(&id).unwrap().revoked);
        assert!(matches!(ring.revoke(&id), Err(KeyError::Revoked { .. })));
        assert!(matches!(ring.revoke("aaaaaaaaaaaa"), Err(KeyError::Unknown { .. })));
    }

    #[test]
    fn refuses_unknown_identities_and_names_that_would_write_on_a_terminal() {
        let mut ring = ring();
        let unknown = ring.create("staff", "shop", None, Wall(1)).unwrap_err();
        assert!(unknown.to_string().contains("customers"));
        for client in ["", "a\u{1b}[2J", &"x".repeat(129)] {
            let refused = ring.create("customers", client, None, Wall(1));
            assert!(matches!(refused, Err(KeyError::ClientName)));
        }
    }

    #[test]
    fn base64_url_agrees_with_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(base64_url(bytes.as_bytes()).as_str(), text);
        }
        assert_eq!(base64_url(&[0xfb, 0xff]).as_str(), "-_8");
    }

    fn ring() -> KeyRing {
        KeyRing::new(vec!["customers".to_owned()], [])
    }
}
