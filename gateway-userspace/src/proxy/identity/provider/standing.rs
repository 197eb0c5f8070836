//! How an issuer fares: when its keys are asked for next, and what is shown of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Provider;
use crate::{
    clock::{self, Wall},
    config::model::{KeySource, Url},
    proxy::identity::jwt::Skipped,
    telemetry::IdentityFigures,
};

/// However short the provider says its keys are fresh.
const SHORTEST: Duration = Duration::from_secs(15);

/// After a failure; doubles up to the second.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(15);

/// Characters of an error that are shown.
const SHOWN: usize = 300;

/// Between two rounds.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// `None`: at once.
    pub(super) next: Option<Instant>,
    /// Where discovery found the keys.
    pub(super) place: Option<Url>,
    pub(super) rounds: u64,
    pub(super) failed: u64,
    /// In a row.
    failures: u32,
    why: Option<String>,
    skipped: usize,
    kept: Option<Wall>,
}

impl Standing {
    /// Keys came; the earliest of what the provider says and what is configured is next.
    pub(super) fn succeeded(&mut self, fresh: Option<Duration>, refresh: Duration, skipped: usize) {
        let after = fresh.unwrap_or(refresh).max(SHORTEST).min(refresh);
        self.rounds += 1;
        self.next = clock::now().checked_add(after);
        (self.failures, self.why, self.skipped) = (0, None, skipped);
    }

    /// They did not; says whether that is news.
    pub(super) fn failed(&mut self, why: String) -> bool {
        let after = RETRY.saturating_mul(1 << self.failures.min(10)).min(RETRY_LONGEST);
        self.rounds += 1;
        self.failed += 1;
        self.failures = self.failures.saturating_add(1);
        self.next = clock::now().checked_add(after);
        // The next try may find them elsewhere.
        self.place = None;
        let news = self.why.as_ref() != Some(&why);
        self.why = Some(why);
        news
    }

    /// Whether these are to be written: others, or the same after a part of the time they last.
    pub(super) fn is_to_be_kept(&mut self, news: bool, confirmed: Wall, stale: Duration) -> bool {
        let old = self.kept.is_none_or(|kept| confirmed.since(kept) >= stale / 8);
        if news || old {
            self.kept = Some(confirmed);
        }
        news || old
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

impl Provider {
    /// One line of `gateway status`.
    pub(super) fn status(&self, now: Wall) -> Value {
        let known = self.known.load();
        let known = known.as_ref();
        let remote = self.settings.fetches();
        let age = known.filter(|_| remote).map(|known| now.since(known.confirmed).as_secs());
        let standing = self.standing();
        let usable = known.is_some_and(|known| now <= known.confirmed.plus(self.settings.stale));
        let state = match (&self.settings.keys, usable, standing.is_failing()) {
            (KeySource::None, ..) => "asks about each token",
            (_, true, false) => "keys known",
            (_, true, true) => "keys known; the provider is away",
            (_, false, true) => "no keys; the provider is away",
            (_, false, false) => "no keys yet",
        };
        json!({
            "identity": self.name,
            "issuer": self.settings.issuer,
            "state": state,
            "keys": known.map_or(0, |known| known.keys.len()),
            "skipped": standing.skipped,
            "age_seconds": age,
            "asked": standing.rounds,
            "failed": standing.failed,
            "why": standing.why,
        })
    }

    /// For metrics.
    pub(crate) fn figures(&self, now: Wall) -> IdentityFigures {
        let known = self.known.load();
        let keys = known.as_ref().map_or(0, |known| known.keys.len() as u64);
        let age = known.as_ref().filter(|_| self.settings.fetches());
        let age = age.map_or(0, |known| now.since(known.confirmed).as_secs());
        let rounds = {
            let standing = self.standing();
            [standing.rounds.saturating_sub(standing.failed), standing.failed]
        };
        let (tokens, lookups) = self.cache.figures();
        IdentityFigures { keys, age_seconds: age, rounds, tokens, lookups }
    }

    pub(super) fn warn(&self, skipped: &[Skipped]) {
        for one in skipped {
            let kid: Option<String> = one
                .kid
                .as_ref()
                .map(|kid| kid.chars().filter(|one| !one.is_control()).take(64).collect());
            let (identity, place) = (&self.name, one.place);
            tracing::warn!(identity, place, kid, why = %one.why, "a key of the issuer is skipped");
        }
    }
}

/// With what led to it, in one line of a bearable length.
pub(in crate::proxy::identity) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let all = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    all.collect::<Vec<_>>().join(": ").chars().take(SHOWN).collect()
}
