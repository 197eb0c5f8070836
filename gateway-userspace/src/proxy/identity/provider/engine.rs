//! Asks issuers for their keys, each by itself: when what is known grows old, and when somebody
//! waits for a key that is not known. One question to an issuer at a time.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use futures_util::future::{join, join_all};
use tokio::{sync::watch, time::sleep_until};

use super::{
    Known, Provider,
    document::{self, Fetched, KeysError},
    kept,
    standing::told,
};
use crate::{
    clock,
    config::model::KeySource,
    ipc::message::Kept,
    proxy::{fetch::Client, thread::Generation, worker::Shared},
};

/// Works until its task is dropped, by the configuration of now.
pub(crate) async fn run(
    shared: Arc<ArcSwap<Shared>>,
    mut generations: watch::Receiver<Arc<Generation>>,
) {
    loop {
        let now = shared.load_full();
        let all = now.providers.all().filter(|one| one.settings.fetches());
        let asking = join_all(all.map(|provider| provider.follow(&shared)));
        tokio::select! {
            _never = asking, if now.providers.all().any(|one| one.settings.fetches()) => {}
            changed = generations.changed() => if changed.is_err() { return },
        }
    }
}

impl Provider {
    async fn follow(&self, shared: &ArcSwap<Shared>) {
        let asking = async {
            loop {
                self.rest().await;
                self.round(&shared.load_full()).await;
            }
        };
        join(asking, self.hand_over(shared)).await;
    }

    /// Has good keys kept, beside the questions: the guard may be away for long.
    async fn hand_over(&self, shared: &ArcSwap<Shared>) {
        let mut fresh = self.unkept.subscribe();
        fresh.mark_changed();
        while fresh.changed().await.is_ok() {
            let Some(content) = fresh.borrow_and_update().clone() else { continue };
            let keeping = Arc::clone(&shared.load().keeping);
            if let Err(why) = keeping.keep(Kept::Keys(self.name.clone()), &content).await {
                tracing::warn!(identity = self.name, why, "the issuer's keys are not kept");
            }
        }
    }

    /// Until it is time, or somebody waits and enough has passed since the last round.
    async fn rest(&self) {
        loop {
            let (next, earliest) = (self.standing().next, self.wishes().earliest());
            let Some(next) = next else { return };
            let waited_for = self.wishes().waiting() > 0;
            let until = if waited_for { earliest.map_or(next, |at| at.min(next)) } else { next };
            if clock::now() >= until {
                return;
            }
            tokio::select! {
                () = sleep_until(until.into()) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Asks once, and takes what comes.
    async fn round(&self, shared: &Shared) {
        let terms = document::terms(self.settings.way.local);
        let client = shared.client(Arc::clone(&self.tls), terms);
        let began = clock::now();
        match self.ask(&client).await {
            Ok(fetched) => self.take(shared, fetched, began),
            Err(error) => {
                let why = told(&error);
                self.wishes().answered(began, false);
                if self.standing().failed(why.clone()) {
                    let identity = &self.name;
                    tracing::warn!(
                        identity,
                        why,
                        "the issuer's keys are not to be had; those known stay in use"
                    );
                }
            }
        }
        self.rounds.send_replace(Some(began));
    }

    async fn ask(&self, client: &Client) -> Result<Fetched, KeysError> {
        let place = match &self.settings.keys {
            KeySource::Discovery(url) => {
                let known = self.standing().place.clone();
                match known {
                    Some(known) => known,
                    None => document::discover(client, url, &self.settings).await?,
                }
            }
            KeySource::Jwks(url) => url.clone(),
            // Not asked for by `run`.
            KeySource::File(_) | KeySource::None => std::future::pending().await,
        };
        let fetched = document::fetch(client, &place, &self.settings).await?;
        self.standing().place = Some(place);
        Ok(fetched)
    }

    /// In use before anything is told of it.
    fn take(&self, shared: &Shared, fetched: Fetched, began: Instant) {
        let Fetched { keys, skipped, text, fresh } = fetched;
        let confirmed = shared.time.wall();
        let before = self.known.load_full();
        let keys = match &before {
            Some(before) => keys.succeed(&before.keys),
            None => keys,
        };
        let news = before.as_ref().is_none_or(|before| !before.keys.has_the_same(&keys));
        let count = keys.len();
        self.known.store(Some(Arc::new(Known { keys, confirmed })));
        self.wishes().answered(began, news);
        self.standing().succeeded(fresh, self.settings.refresh, skipped.len());
        if news {
            tracing::info!(identity = self.name, keys = count, "the issuer's keys are known");
            self.warn(&skipped);
        }
        if self.standing().is_to_be_kept(news, confirmed, self.settings.stale) {
            let content = kept::write(&self.settings, &text, confirmed);
            if content.is_none() {
                tracing::warn!(identity = self.name, "the issuer's keys are too many to be kept");
            }
            self.unkept.send_replace(content.map(Arc::new));
        }
    }
}
