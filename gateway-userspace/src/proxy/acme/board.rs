//! What all workers know of orders under way: the answers to challenges, and how each name fares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls::ServerConfig;
use serde::Serialize;
use tokio::sync::Notify;

use crate::{
    clock::Wall,
    config::model::{Acme, Config},
    proxy::secrets::Secrets,
};

/// Shared by all workers and all configurations of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Board {
    challenge: Mutex<Challenges>,
    names: Mutex<BTreeMap<String, Fares>>,
    /// Wanted by an operator: names of the configuration, so not many.
    wanted: Mutex<BTreeSet<String>>,
    files: Mutex<Secrets>,
    wake: Notify,
}

/// The one challenge that may be under way, by its kind.
#[derive(Debug, Default)]
struct Challenges {
    tls: Option<(String, Arc<ServerConfig>)>,
    /// Token and answer.
    http: Option<(String, String)>,
}

/// How a name fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fares {
    pub(super) ordering: bool,
    pub(super) failures: u32,
    pub(super) why: Option<String>,
    pub(super) next: Option<Wall>,
    /// When the certificate served is renewed, as far as that is known.
    pub(super) due: Option<Wall>,
    pub(super) until: Option<Wall>,
    /// The authority suggested when.
    pub(super) suggested: bool,
}

/// A name as the command line shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_in_seconds: Option<u64>,
    suggested_by_authority: bool,
    failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Takes its challenge down when dropped.
pub(super) struct Posted<'a>(&'a Board);

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        *lock(&self.0.challenge) = Challenges::default();
    }
}

impl Board {
    /// For a proxy that starts.
    pub(crate) fn new(config: &Config, secrets: &Secrets) -> Arc<Self> {
        let board = Self::default();
        board.take(config, secrets);
        Arc::new(board)
    }

    /// Takes what `[acme]` is made of; what is not there stays as it was.
    pub(crate) fn take(&self, config: &Config, secrets: &Secrets) {
        let Some(acme) = &config.acme else { return };
        let mut files = lock(&self.files);
        for path in acme.files().map(|(path, _)| path).chain([&acme.account]) {
            files.adopt(secrets, path);
        }
        drop(files);
        self.wake.notify_one();
    }

    /// How to shake hands with an authority that asks for `name` by `acme-tls/1` (RFC 8737).
    pub(crate) fn answer_tls(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let challenges = lock(&self.challenge);
        let (known, config) = challenges.tls.as_ref()?;
        known.eq_ignore_ascii_case(name).then(|| Arc::clone(config))
    }

    /// What to answer an authority that asks for a token (RFC 8555 section 8.3).
    pub(super) fn answer_http(&self, token: &str) -> Option<String> {
        let challenges = lock(&self.challenge);
        let (known, answer) = challenges.http.as_ref()?;
        (known == token).then(|| answer.clone())
    }

    pub(super) fn post_tls(&self, name: &str, config: ServerConfig) -> Posted<'_> {
        lock(&self.challenge).tls = Some((name.to_owned(), Arc::new(config)));
        Posted(self)
    }

    pub(super) fn post_http(&self, token: &str, answer: &str) -> Posted<'_> {
        lock(&self.challenge).http = Some((token.to_owned(), answer.to_owned()));
        Posted(self)
    }

    /// An operator wants it now.
    pub(crate) fn want(&self, name: String, config: &Config) {
        if config.managed().iter().any(|one| one.name == name) {
            lock(&self.wanted).insert(name);
            self.wake.notify_one();
        }
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        lock(&self.wanted).contains(name)
    }

    /// The wish is taken up.
    pub(super) fn taken_up(&self, name: &str) {
        lock(&self.wanted).remove(name);
    }

    /// Waits for news, at most so long.
    pub(super) async fn rest(&self, longest: Duration) {
        drop(tokio::time::timeout(longest, self.wake.notified()).await);
    }

    pub(super) fn with_files<T>(&self, read: impl FnOnce(&Secrets) -> T) -> T {
        read(&lock(&self.files))
    }

    /// The account as it was kept.
    pub(super) fn account(&self, acme: &Acme) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.with_files(|files| files.get(&acme.account).map(|bytes| bytes.to_vec().into()))
    }

    pub(super) fn fares(&self, names: BTreeMap<String, Fares>) {
        *lock(&self.names) = names;
    }

    /// How all names fare.
    pub(crate) fn lines(&self, now: Wall) -> Vec<Line> {
        lock(&self.names).iter().map(|(name, fares)| line(name, fares, now)).collect()
    }
}

fn line(name: &str, fares: &Fares, now: Wall) -> Line {
    let state = match fares {
        Fares { ordering: true, .. } => "being issued",
        Fares { until: None, failures: 0, .. } => "awaits its first certificate",
        Fares { until: None, .. } => "stand-in: not issued",
        Fares { failures: 0, .. } => "issued",
        Fares { .. } => "issued; renewal fails",
    };
    let left = |wall: Wall| wall.0.saturating_sub(now.0);
    Line {
        name: name.to_owned(),
        state,
        ends_in_seconds: fares.until.map(left),
        next_in_seconds: fares.next.or(fares.due).map(left),
        suggested_by_authority: fares.suggested,
        failures: fares.failures,
        why: fares.why.clone(),
    }
}

/// Nothing panics while it is held, and what it guards is whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
