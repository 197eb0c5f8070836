//! Tokens by a key that is not known: the issuer may have rotated its keys a moment ago, or somebody
//! makes names up. The first has to be served, and the second must not make us ask without end.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::timeout_at;

use super::Provider;
use crate::clock;

/// Between two rounds that were wished for; doubles while they bring nothing, up to the second.
const GAP: Duration = Duration::from_secs(1);
const GAP_LONGEST: Duration = Duration::from_secs(4);

/// How long a request waits for keys: the longest gap, and one answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// A key that was not there is not asked for again within this time.
const ABSENT: Duration = Duration::from_secs(10);

/// Keys that were not there, remembered.
const NAMES: usize = 1024;

/// Requests of one issuer that wait.
const WAITING: usize = 256;

/// What became of a wish for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Keys came since: look again.
    LookAgain,
    /// They were looked at a moment ago, and this one is not among them.
    Absent,
    /// The issuer does not answer, or too many wait already.
    Unknowable,
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    waiting: usize,
    absent: HashMap<String, Instant>,
    /// Rounds in a row that brought nothing new.
    vain: u32,
    asked: Option<Instant>,
}

impl Wishes {
    /// A round is over.
    pub(super) fn answered(&mut self, at: Instant, news: bool) {
        self.asked = Some(at);
        self.vain = if news { 0 } else { self.vain.saturating_add(1) };
        if news {
            self.absent.clear();
        }
    }

    /// When somebody who wishes for keys has them asked for.
    pub(super) fn earliest(&self) -> Option<Instant> {
        let gap = GAP.saturating_mul(1 << self.vain.min(4)).min(GAP_LONGEST);
        self.asked.and_then(|asked| asked.checked_add(gap))
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn is_absent(&self, kid: &str, now: Instant) -> bool {
        self.absent.get(kid).is_some_and(|until| now < *until)
    }

    fn note(&mut self, kid: &str, now: Instant) {
        if self.absent.len() >= NAMES {
            self.absent.retain(|_, until| now < *until);
        }
        if let Some(until) = now.checked_add(ABSENT)
            && self.absent.len() < NAMES
        {
            self.absent.insert(kid.to_owned(), until);
        }
    }
}

/// Counts somebody who waits, until dropped.
struct Waiting<'a>(&'a Provider);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut wishes = self.0.wishes();
        wishes.waiting = wishes.waiting.saturating_sub(1);
    }
}

impl Provider {
    /// Waits until the issuer was asked for its keys once more.
    pub(crate) async fn wish(&self, kid: Option<&str>) -> Unknown {
        let kid = kid.unwrap_or_default();
        let now = clock::now();
        if !self.settings.fetches() {
            return Unknown::Absent;
        }
        let mut rounds = self.rounds.subscribe();
        let waiting = {
            let mut wishes = self.wishes();
            if wishes.is_absent(kid, now) {
                return Unknown::Absent;
            }
            if wishes.waiting >= WAITING {
                return Unknown::Unknowable;
            }
            wishes.waiting += 1;
            Waiting(self)
        };
        self.wanted.notify_one();
        // One that began earlier may have seen the keys of before.
        let after = |began: &Option<Instant>| began.is_some_and(|began| began >= now);
        let until = now + PATIENCE;
        let asked = timeout_at(until.into(), rounds.wait_for(after)).await;
        let asked = matches!(asked, Ok(Ok(_)));
        drop(waiting);
        if !asked || self.standing().is_failing() {
            return Unknown::Unknowable;
        }
        Unknown::LookAgain
    }

    /// The keys of now have no such one.
    pub(crate) fn is_without(&self, kid: Option<&str>) {
        self.wishes().note(kid.unwrap_or_default(), clock::now());
    }
}
