//! API keys as the guard issued them: found by their public part, told apart by the digest of the
//! whole. Readers take no lock; an update swaps the table.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use crate::{clock::Wall, ipc::message::ApiKey};

/// `gwk_<12 of a-z2-7>_<43 of base64url>`.
const PREFIX: &[u8] = b"gwk_";
const ID: usize = 12;
const SECRET: usize = 43;

type Id = [u8; ID];

/// A known key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) identity: String,
    pub(crate) client: String,
    /// What a limit per client counts by: identity and client, so that all keys of one share it.
    pub(crate) subject: Arc<str>,
    hash: [u8; 32],
    expires: u64,
    revoked: bool,
}

/// What a credential turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Valid(Arc<Key>),
    /// Cannot be one of ours.
    Malformed,
    Unknown,
    Revoked,
    Expired,
    /// The guard has sent no keys: nobody can be told apart.
    NotLoaded,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    table: ArcSwapOption<Table>,
    /// A list that is still arriving. Only the conversation with the guard takes the lock.
    arriving: Mutex<Option<Table>>,
}

type Table = HashMap<Id, Arc<Key>>;

impl Keys {
    /// Adds or replaces keys; `reset` begins a list in place of those known before. Nothing of a
    /// list counts while there is `more` of it: callers whose keys come last would be refused, and
    /// struck, for the time between.
    pub(crate) fn update(&self, reset: bool, more: bool, keys: Vec<ApiKey>) {
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = match (arriving.take(), self.table.load().as_ref()) {
            (Some(begun), _) if !reset => begun,
            (None, Some(known)) if !reset => Table::clone(known),
            (Some(_) | None, _) => Table::with_capacity(keys.len()),
        };
        for key in keys {
            if let Ok(id) = Id::try_from(key.id.as_bytes()) {
                table.insert(id, Arc::new(Key::new(key)));
            } else {
                tracing::error!(id = ?key.id, "an API key has an unlawful id; ignored");
            }
        }
        if more {
            *arriving = Some(table);
        } else {
            self.table.store(Some(Arc::new(table)));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.load().as_ref().map_or(0, |table| table.len())
    }

    /// Judges a presented credential.
    pub(crate) fn find(&self, presented: &[u8], now: Wall) -> Finding {
        let Some(id) = id(presented) else { return Finding::Malformed };
        let table = self.table.load();
        let Some(table) = table.as_ref() else { return Finding::NotLoaded };
        let hash = digest(&SHA256, presented);
        let Some(key) = table.get(&id) else { return Finding::Unknown };
        if !bool::from(key.hash.ct_eq(hash.as_ref())) {
            return Finding::Unknown;
        }
        // Only the holder of the whole key learns its state.
        if key.revoked {
            Finding::Revoked
        } else if key.expires != 0 && now.0 >= key.expires {
            Finding::Expired
        } else {
            Finding::Valid(Arc::clone(key))
        }
    }
}

impl Key {
    /// A client that is known by other means, as if it had a key: limits, splits and logs go by it.
    pub(crate) fn of(identity: &str, client: &str, credential: &str) -> Self {
        Self::new(ApiKey {
            id: credential.to_owned(),
            hash: [0; 32],
            identity: identity.to_owned(),
            client: client.to_owned(),
            expires: 0,
            revoked: false,
        })
    }

    fn new(key: ApiKey) -> Self {
        Self {
            subject: Arc::from(format!("{}\n{}", key.identity, key.client)),
            id: key.id,
            identity: key.identity,
            client: key.client,
            hash: key.hash,
            expires: key.expires,
            revoked: key.revoked,
        }
    }
}

/// Whether a field holds something that reads like a key of ours, whole or not.
pub(crate) fn resembles(value: &[u8]) -> bool {
    value.windows(PREFIX.len()).any(|window| window.eq_ignore_ascii_case(PREFIX))
}

/// The public part of a well-formed key.
fn id(presented: &[u8]) -> Option<Id> {
    let rest = presented.strip_prefix(PREFIX)?;
    let (id, rest) = rest.split_first_chunk::<ID>()?;
    let secret = rest.strip_prefix(b"_")?;
    let lawful_id = id.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    let lawful_secret = secret.len() == SECRET
        && secret.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (lawful_id && lawful_secret).then_some(*id)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const KEY: &str = "gwk_abcdefghij27_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    pub(crate) fn issued(key: &str, identity: &str, client: &str) -> ApiKey {
        ApiKey {
            id: key[4..16].to_owned(),
            hash: digest(&SHA256, key.as_bytes()).as_ref().try_into().unwrap(),
            identity: identity.to_owned(),
            client: client.to_owned(),
            expires: 0,
            revoked: false,
        }
    }

    fn keys(change: impl FnOnce(&mut ApiKey)) -> Keys {
        let mut key = issued(KEY, "customers", "acme");
        change(&mut key);
        let keys = Keys::default();
        keys.update(true, false, vec![key]);
        keys
    }

    #[test]
    fn accepts_the_whole_key_alone() {
        let keys = keys(|_| ());
        assert!(
            matches!(keys.find(KEY.as_bytes(), Wall(1)), Finding::Valid(key) if key.client == "acme")
        );
        let other_secret = KEY.replace("AAA", "AAB");
        assert_eq!(keys.find(other_secret.as_bytes(), Wall(1)), Finding::Unknown);
        let other_id = KEY.replace("abc", "zzz");
        assert_eq!(keys.find(other_id.as_bytes(), Wall(1)), Finding::Unknown);
    }

    #[test]
    fn refuses_what_is_revoked_expired_malformed_or_not_loaded() {
        assert_eq!(keys(|key| key.revoked = true).find(KEY.as_bytes(), Wall(1)), Finding::Revoked);
        let expiring = keys(|key| key.expires = 100);
        assert!(matches!(expiring.find(KEY.as_bytes(), Wall(99)), Finding::Valid(_)));
        assert_eq!(expiring.find(KEY.as_bytes(), Wall(100)), Finding::Expired);
        for bad in ["", "gwk_", "hunter2", &KEY[..59], &format!("{KEY}A"), &KEY.to_uppercase()] {
            assert_eq!(expiring.find(bad.as_bytes(), Wall(1)), Finding::Malformed, "{bad}");
        }
        assert_eq!(Keys::default().find(KEY.as_bytes(), Wall(1)), Finding::NotLoaded);
    }

    #[test]
    fn a_revoked_key_needs_the_secret_to_be_told_revoked() {
        let keys = keys(|key| key.revoked = true);
        let guess = KEY.replace("AAA", "AAB");
        assert_eq!(keys.find(guess.as_bytes(), Wall(1)), Finding::Unknown);
    }

    #[test]
    fn an_update_keeps_or_resets_the_others() {
        let keys = keys(|_| ());
        let second = KEY.replace("abc", "xyz");
        keys.update(false, false, vec![issued(&second, "customers", "beta")]);
        assert_eq!(keys.len(), 2);
        keys.update(true, false, vec![issued(&second, "customers", "beta")]);
        assert_eq!(keys.find(KEY.as_bytes(), Wall(1)), Finding::Unknown);
    }

    #[test]
    fn the_known_keys_hold_until_the_last_of_a_new_list() {
        let keys = keys(|_| ());
        let valid = |keys: &Keys, key: &str| {
            matches!(keys.find(key.as_bytes(), Wall(1)), Finding::Valid(_))
        };
        let [second, third] = ["xyz", "uvw"].map(|id| KEY.replace("abc", id));
        keys.update(true, true, vec![issued(&second, "customers", "beta")]);
        assert!(valid(&keys, KEY) && !valid(&keys, &second));
        keys.update(false, true, vec![issued(KEY, "customers", "acme")]);
        keys.update(false, false, vec![issued(&third, "customers", "gamma")]);
        assert!([KEY, &second, &third].into_iter().all(|key| valid(&keys, key)));

        // A guard that died in the middle: the next one begins anew.
        keys.update(true, true, vec![]);
        keys.update(true, false, vec![issued(&third, "customers", "gamma")]);
        assert!(!valid(&keys, KEY) && !valid(&keys, &second) && valid(&keys, &third));
    }

    #[test]
    fn half_a_first_list_is_none() {
        let keys = Keys::default();
        keys.update(true, true, vec![issued(KEY, "customers", "acme")]);
        assert_eq!(keys.find(KEY.as_bytes(), Wall(1)), Finding::NotLoaded);
    }

    proptest! {
        #[test]
        fn no_other_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            prop_assume!(bytes != KEY.as_bytes());
            prop_assert!(!matches!(keys(|_| ()).find(&bytes, Wall(1)), Finding::Valid(_)));
        }
    }
}
