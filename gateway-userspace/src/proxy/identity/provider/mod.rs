//! Issuers of tokens and their keys. A provider is a stranger: whatever it answers, or does not, the
//! last good keys stay in use for as long as configured, and no other issuer notices.

mod document;
mod engine;
mod kept;
mod standing;
#[cfg(test)]
mod tests;
mod wait;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::sync::{Notify, watch};

pub(super) use self::standing::told;
pub(crate) use self::{engine::run, wait::Unknown};
use self::{standing::Standing, wait::Wishes};
use super::{
    dpop::Dpop,
    jwt::{KeySet, Rules, SetFault},
    token::{Cache, Introspector},
};
use crate::{
    clock::Wall,
    config::model::{Config, KeySource, Tokens},
    proxy::{
        secrets::Secrets,
        tls::{self, TlsError},
    },
};

/// Why an identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("setting up TLS with the provider of identity {identity}")]
    Tls {
        identity: String,
        #[source]
        source: TlsError,
    },
    #[error("the key set {path} is {fault}")]
    File { path: PathBuf, fault: SetFault },
    #[error("the key set {path} was not opened")]
    NoFile { path: PathBuf },
    #[error("the secret {path} of identity {identity} is empty or not text")]
    Secret { identity: String, path: PathBuf },
}

#[cfg(test)]
impl Default for Providers {
    fn default() -> Self {
        Self { all: Vec::new(), dpop: Arc::new(Dpop::new(Wall(0))) }
    }
}

/// All of a configuration, in its order.
#[derive(Debug)]
pub(crate) struct Providers {
    all: Vec<Arc<Provider>>,
    dpop: Arc<Dpop>,
}

/// One issuer, as one identity trusts it. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) settings: Tokens,
    tls: Arc<ClientConfig>,
    rules: Rules,
    pub(super) introspector: Option<Introspector>,
    /// Of tokens, by these settings.
    pub(crate) cache: Cache,
    known: ArcSwapOption<Known>,
    standing: Mutex<Standing>,
    wishes: Mutex<Wishes>,
    wanted: Notify,
    /// When the last finished round began.
    rounds: watch::Sender<Option<Instant>>,
    /// Good keys that the guard is to have.
    unkept: watch::Sender<Option<Arc<Vec<u8>>>>,
}

/// Keys, and when the provider last had them.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) keys: KeySet,
    confirmed: Wall,
}

impl Providers {
    /// For a proxy that starts.
    pub(crate) fn start(
        config: &Config,
        secrets: &Secrets,
        now: Wall,
    ) -> Result<Self, ProviderError> {
        let none = Self { all: Vec::new(), dpop: Arc::new(Dpop::new(now)) };
        none.succeed(config, secrets, secrets)
    }

    /// For another configuration with its files; what is the same, with the same files `held`, stays.
    pub(crate) fn succeed(
        &self,
        config: &Config,
        secrets: &Secrets,
        held: &Secrets,
    ) -> Result<Self, ProviderError> {
        let provider = |(name, settings): (&str, &Tokens)| {
            let same = |known: &&Arc<Provider>| {
                let files = || settings.files().all(|(path, _)| held.agree(secrets, path));
                known.name == name && known.settings == *settings && files()
            };
            match self.all.iter().find(same) {
                Some(kept) => Ok(Arc::clone(kept)),
                None => Provider::new(name, settings, secrets, self),
            }
        };
        let all = config.tokens().map(provider).collect::<Result<_, _>>()?;
        Ok(Self { all, dpop: Arc::clone(&self.dpop) })
    }

    /// What is remembered of proofs.
    pub(crate) fn dpop(&self) -> &Arc<Dpop> {
        &self.dpop
    }

    pub(crate) fn named(&self, identity: &str) -> Option<&Arc<Provider>> {
        self.all.iter().find(|provider| provider.name == identity)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.all.iter()
    }

    /// For `gateway status`.
    pub(crate) fn status(&self, now: Wall) -> Vec<Value> {
        self.all.iter().map(|provider| provider.status(now)).collect()
    }
}

impl Provider {
    fn new(
        name: &str,
        settings: &Tokens,
        secrets: &Secrets,
        before: &Providers,
    ) -> Result<Arc<Self>, ProviderError> {
        let way = &settings.way;
        let tls = tls::questions(way.ca.as_deref(), way.certificate.as_ref(), secrets);
        let tls = tls.map_err(|source| ProviderError::Tls { identity: name.to_owned(), source })?;
        let secret = secret(name, settings, secrets)?;
        let introspector = settings.introspection.as_ref().map(|settings| {
            Introspector::new(settings, secret.as_ref().map(|secret| secret.as_str()))
        });
        let provider = Self {
            name: name.to_owned(),
            settings: settings.clone(),
            tls,
            rules: Rules {
                issuer: settings.issuer.clone(),
                audiences: settings.audiences.clone(),
                types: settings.types.clone(),
                leeway: settings.leeway.as_secs(),
            },
            introspector,
            cache: Cache::default(),
            known: ArcSwapOption::empty(),
            standing: Mutex::default(),
            wishes: Mutex::default(),
            wanted: Notify::new(),
            rounds: watch::Sender::default(),
            unkept: watch::Sender::default(),
        };
        provider.begin(secrets, before)?;
        Ok(Arc::new(provider))
    }

    /// The keys it starts with: of a file, of the provider it follows, or as they were kept.
    fn begin(&self, secrets: &Secrets, before: &Providers) -> Result<(), ProviderError> {
        let settings = &self.settings;
        if let KeySource::File(path) = &settings.keys {
            let text = secrets.get(path);
            let text = text.ok_or_else(|| ProviderError::NoFile { path: path.clone() })?;
            let read = KeySet::read(text, &settings.algorithms);
            let (keys, skipped) =
                read.map_err(|fault| ProviderError::File { path: path.clone(), fault })?;
            self.warn(&skipped);
            self.known.store(Some(Arc::new(Known { keys, confirmed: Wall(u64::MAX) })));
            return Ok(());
        }
        let same = |one: &&Arc<Self>| {
            let known = &one.settings;
            (&known.issuer, &known.keys, &known.algorithms)
                == (&settings.issuer, &settings.keys, &settings.algorithms)
        };
        if let Some(known) = before.all.iter().find(same) {
            self.known.store(known.known.load_full());
        } else if let Some(kept) = secrets.get(&settings.kept) {
            match kept::read(kept, settings) {
                Ok(known) => self.known.store(Some(Arc::new(known))),
                Err(why) => {
                    tracing::warn!(identity = self.name, why, "kept keys are of no use");
                }
            }
        }
        Ok(())
    }

    /// The keys that count now. `None`: none are known, or known too long ago.
    pub(crate) fn keys(&self, now: Wall) -> Option<Arc<Known>> {
        let known = self.known.load_full()?;
        (now <= known.confirmed.plus(self.settings.stale)).then_some(known)
    }

    pub(super) fn has_keys(&self) -> bool {
        self.settings.keys != KeySource::None
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// Whether the last question for keys had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.standing().is_failing()
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn secret(
    name: &str,
    settings: &Tokens,
    secrets: &Secrets,
) -> Result<Option<zeroize::Zeroizing<String>>, ProviderError> {
    let path = settings.introspection.as_ref().and_then(|one| one.secret.as_ref());
    let Some(path) = path else { return Ok(None) };
    let text = secrets.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.map(str::trim_ascii_end).filter(|text| !text.is_empty());
    let missing = || ProviderError::Secret { identity: name.to_owned(), path: path.clone() };
    text.map(|text| Some(zeroize::Zeroizing::new(text.to_owned()))).ok_or_else(missing)
}
