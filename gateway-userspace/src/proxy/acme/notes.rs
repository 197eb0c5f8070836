//! What outlives the proxy beside the certificates: the account, and what was tried when, so that a
//! proxy that is started again and again does not ask an authority again and again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Wall;

/// As it is kept by the guard.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The account's directory: with another one it is of no use.
    directory: String,
    /// Its URL and its key.
    account: Option<serde_json::Value>,
    #[serde(default)]
    tries: BTreeMap<String, Try>,
}

/// Failures of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Try {
    pub(super) failures: u32,
    /// Seconds since 1970.
    pub(super) next: u64,
    pub(super) why: String,
}

impl Notes {
    /// As they were kept; none, or those of another directory, count for nothing.
    pub(super) fn read(kept: Option<&[u8]>, directory: &str) -> Result<Self, serde_json::Error> {
        let notes: Option<Self> = kept.map(serde_json::from_slice).transpose()?;
        let known = notes.filter(|notes| notes.directory == directory);
        Ok(known.unwrap_or_else(|| Self { directory: directory.to_owned(), ..Self::default() }))
    }

    pub(super) fn write(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(self).map(Zeroizing::new)
    }

    pub(super) fn account(&self) -> Option<&serde_json::Value> {
        self.account.as_ref()
    }

    pub(super) fn has_account(&mut self, account: serde_json::Value) {
        self.account = Some(account);
    }

    pub(super) fn tried(&self, name: &str) -> Option<&Try> {
        self.tries.get(name)
    }

    /// Counts a failure.
    pub(super) fn failed(&mut self, name: &str, why: String, next: impl FnOnce(u32) -> Wall) {
        let tried = self.tries.entry(name.to_owned()).or_default();
        tried.failures = tried.failures.saturating_add(1);
        tried.next = next(tried.failures).0;
        tried.why = why;
    }

    /// Nothing stands against it any more.
    pub(super) fn succeeded(&mut self, name: &str) {
        self.tries.remove(name);
    }

    /// Forgets names that are no longer configured.
    pub(super) fn retain(&mut self, configured: impl Fn(&str) -> bool) {
        self.tries.retain(|name, _| configured(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_outlives_the_proxy_and_not_its_directory() {
        let mut notes = Notes::read(None, "https://a.example/d").unwrap();
        notes.has_account(serde_json::json!({ "id": "1" }));
        notes.failed("a.example", "no".to_owned(), |_| Wall(60));
        notes.failed("a.example", "still no".to_owned(), |failures| Wall(60 * u64::from(failures)));
        let kept = notes.write().unwrap();
        let again = Notes::read(Some(&kept), "https://a.example/d").unwrap();
        let tried = again.tried("a.example").unwrap();
        assert_eq!((tried.failures, tried.next, tried.why.as_str()), (2, 120, "still no"));
        assert!(again.account().is_some());
        let other = Notes::read(Some(&kept), "https://b.example/d").unwrap();
        assert!(other.account().is_none() && other.tried("a.example").is_none());
        assert!(Notes::read(Some(b"{"), "https://a.example/d").is_err());
    }
}
