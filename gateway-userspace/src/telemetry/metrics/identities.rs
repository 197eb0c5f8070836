//! Issuers of tokens and what is remembered of tokens, read before each scrape.

use prometheus_client::registry::Registry;

use super::{Dimension, Numbers, Zeros};
use crate::config::model::Config;

/// Figures of one identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdentityFigures {
    pub keys: u64,
    /// Of the keys.
    pub age_seconds: u64,
    /// Questions for keys: answered, failed.
    pub rounds: [u64; 2],
    /// Tokens remembered.
    pub tokens: u64,
    /// Tokens looked up: known, not known, given up for others.
    pub lookups: [u64; 3],
}

#[derive(Debug)]
pub(super) struct Identities {
    keys: Numbers<1>,
    age: Numbers<1>,
    rounds: Numbers<2>,
    tokens: Numbers<1>,
    lookups: Numbers<2>,
    proofs: Numbers<0>,
    proofs_turned_away: Numbers<0>,
}

impl Identities {
    pub(super) fn new(config: &Config) -> Self {
        let by = || Dimension::new("identity", config.tokens().map(|(name, _)| name));
        let outcome = |names: &[&str]| Dimension::new("outcome", names.iter().copied());
        Self {
            keys: Numbers::gauges([by()]),
            age: Numbers::gauges([by()]),
            rounds: Numbers::counters([by(), outcome(&["answered", "failed"])], Zeros::Shown),
            tokens: Numbers::gauges([by()]),
            lookups: Numbers::counters([by(), outcome(&["hit", "miss", "dropped"])], Zeros::Shown),
            proofs: Numbers::gauges([]),
            proofs_turned_away: Numbers::counters([], Zeros::Shown),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_identity_keys",
            "Keys of an identity's issuer that count",
            self.keys.clone(),
        );
        registry.register(
            "gateway_identity_keys_age_seconds",
            "Time since the issuer had these keys",
            self.age.clone(),
        );
        registry.register(
            "gateway_identity_key_rounds",
            "Questions to an issuer for its keys",
            self.rounds.clone(),
        );
        registry.register(
            "gateway_identity_tokens",
            "Tokens of an identity that are remembered",
            self.tokens.clone(),
        );
        registry.register(
            "gateway_identity_token_lookups",
            "Tokens by whether they were remembered, and those given up for others",
            self.lookups.clone(),
        );
        registry.register(
            "gateway_dpop_proofs",
            "Proofs of possession that are remembered",
            self.proofs.clone(),
        );
        registry.register(
            "gateway_dpop_proofs_turned_away",
            "Proofs of possession that there was no room for",
            self.proofs_turned_away.clone(),
        );
    }

    /// By the identity's place among those with tokens.
    pub(super) fn set(&self, identity: usize, figures: IdentityFigures) {
        self.keys.set([identity], figures.keys);
        self.age.set([identity], figures.age_seconds);
        self.tokens.set([identity], figures.tokens);
        for (outcome, count) in figures.rounds.into_iter().enumerate() {
            self.rounds.set([identity, outcome], count);
        }
        for (outcome, count) in figures.lookups.into_iter().enumerate() {
            self.lookups.set([identity, outcome], count);
        }
    }

    pub(super) fn proofs(&self, remembered: u64, turned_away: u64) {
        self.proofs.set([], remembered);
        self.proofs_turned_away.set([], turned_away);
    }
}
