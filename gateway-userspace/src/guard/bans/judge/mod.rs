//! From strikes to a sentence: when a source is banned, and for how long.
//!
//! Only evidence that cannot hurt a bystander counts: the proxy reports sources that completed a
//! handshake, and here go those that share an address, stand behind a trusted proxy, are
//! protected, or hold a caller who authenticated a moment ago.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use ipnet::IpNet;

use super::{offenders::Offenders, score::Scores};
use crate::{
    clock::Wall,
    config::model::Bans,
    guard::{
        address::{canonical_net, overlap, source},
        recent::Recent,
    },
};

/// A strike as the proxy reports it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike {
    pub(crate) source: IpAddr,
    pub(crate) reason: u16,
    pub(crate) behind_proxy: bool,
}

/// Why a strike led to nothing. The name is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ignored {
    UnknownReason,
    Weightless,
    BehindProxy,
    Shared,
    Protected,
    Trusted,
    AlreadyBanned,
    BanRate,
}

impl Ignored {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UnknownReason => "unknown_reason",
            Self::Weightless => "weightless",
            Self::BehindProxy => "behind_proxy",
            Self::Shared => "shared",
            Self::Protected => "protected",
            Self::Trusted => "trusted",
            Self::AlreadyBanned => "already_banned",
            Self::BanRate => "ban_rate",
        }
    }
}

/// What a strike leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Judgement {
    Ignored(Ignored),
    Noted { score: f64 },
    Ban(Sentence),
}

/// A ban to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) net: IpNet,
    pub(crate) reason: Reason,
    pub(crate) ttl: Duration,
    /// Bans before this one that still count.
    pub(crate) relapse: u32,
}

/// What the judge asks of the ban list: whether a source is protected or banned already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) protected: bool,
    pub(crate) banned: bool,
}

/// Scores, trust and past offences.
#[derive(Debug)]
pub(crate) struct Judge {
    settings: Bans,
    shared: Vec<IpNet>,
    scores: Scores,
    trusted: Recent<IpNet, Instant>,
    offenders: Offenders,
    second: (Option<Instant>, u32),
    ignored: BTreeMap<Ignored, u64>,
}

impl Judge {
    pub(crate) fn new(settings: &Bans, shared: &[IpNet], offenders: Offenders) -> Self {
        Self {
            settings: settings.clone(),
            shared: shared.iter().copied().map(canonical_net).collect(),
            scores: Scores::new(settings.sources, settings.half_life),
            trusted: Recent::new(settings.sources),
            offenders,
            second: (None, 0),
            ignored: BTreeMap::new(),
        }
    }

    /// Judges by other settings from now on. Scores, and how many of them there are, stay.
    pub(crate) fn set(&mut self, settings: &Bans) {
        self.settings = settings.clone();
        self.scores.set_half_life(settings.half_life);
    }

    /// `address` authenticated.
    pub(crate) fn trust(&mut self, address: IpAddr, now: Instant) {
        *self.trusted.entry(source(address), || now) = now;
    }

    pub(crate) fn is_trusted(&self, source: IpNet, now: Instant) -> bool {
        self.trusted
            .get(source)
            .is_some_and(|at| now.saturating_duration_since(*at) < self.settings.trust)
    }

    /// Trusted sources that had to go for others.
    pub(crate) fn trust_evicted(&self) -> u64 {
        self.trusted.evicted()
    }

    /// The name of the rule that keeps `source` from strike bans, `None` if none does.
    pub(crate) fn is_shared(&self, source: IpNet) -> bool {
        self.shared.iter().any(|shared| overlap(*shared, source))
    }

    /// Weighs a strike. `standing` is the ban list's word on its source.
    pub(crate) fn weigh(
        &mut self,
        strike: Strike,
        standing: Standing,
        now: Instant,
        wall: Wall,
    ) -> Judgement {
        let net = source(strike.source);
        let (reason, weight) = match self.admit(strike, net, standing, now) {
            Ok(admitted) => admitted,
            Err(ignored) => return self.ignore(ignored),
        };
        let threshold = f64::from(self.settings.threshold);
        let score = self.scores.add(net, weight, 2.0 * threshold, now);
        // Rounded: five strikes of 20 within a second reach 100, though the first one decayed a bit.
        if score.round() < threshold {
            return Judgement::Noted { score };
        }
        if !self.take_turn(now) {
            return self.ignore(Ignored::BanRate);
        }
        let relapse = self.offenders.relapse(net, self.settings.forget, wall);
        Judgement::Ban(Sentence { net, reason, ttl: self.term(relapse), relapse })
    }

    /// The sentence was carried out: the score begins anew and the offence is remembered.
    pub(crate) fn sentenced(&mut self, sentence: &Sentence, wall: Wall) {
        self.scores.clear(sentence.net);
        self.offenders.remember(sentence.net, sentence.relapse + 1, wall.plus(sentence.ttl));
    }

    /// The operator lifted a ban on `net`: its past is forgotten with it.
    pub(crate) fn pardon(&mut self, net: IpNet) {
        self.scores.clear(net);
        self.offenders.forget(net);
    }

    /// The weight of a strike for `reason`.
    pub(crate) fn weight(&self, reason: Reason) -> u32 {
        let configured = self.settings.weights.iter().find(|(other, _)| *other == reason);
        configured.map_or(reason.info().strike, |(_, weight)| *weight)
    }

    pub(crate) fn scores(&self) -> &Scores {
        &self.scores
    }

    pub(crate) fn offenders(&self) -> &Offenders {
        &self.offenders
    }

    pub(crate) fn offenders_mut(&mut self) -> &mut Offenders {
        &mut self.offenders
    }

    pub(crate) fn settings(&self) -> &Bans {
        &self.settings
    }

    /// How many strikes led to nothing, by why.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (Ignored, u64)> {
        self.ignored.iter().map(|(why, count)| (*why, *count))
    }

    fn admit(
        &self,
        strike: Strike,
        net: IpNet,
        standing: Standing,
        now: Instant,
    ) -> Result<(Reason, u32), Ignored> {
        let reason = Reason::from_number(strike.reason).ok_or(Ignored::UnknownReason)?;
        let weight = self.weight(reason);
        let hindrances = [
            (weight == 0, Ignored::Weightless),
            (strike.behind_proxy, Ignored::BehindProxy),
            (standing.banned, Ignored::AlreadyBanned),
            (standing.protected, Ignored::Protected),
            (self.is_shared(net), Ignored::Shared),
            (self.is_trusted(net, now), Ignored::Trusted),
        ];
        match hindrances.iter().find(|(hinders, _)| *hinders) {
            Some((_, why)) => Err(*why),
            None => Ok((reason, weight)),
        }
    }

    /// One of the bans this second has room for.
    fn take_turn(&mut self, now: Instant) -> bool {
        let (begun, used) = &mut self.second;
        let running = begun
            .is_some_and(|begun| now.saturating_duration_since(begun) < Duration::from_secs(1));
        if !running {
            (*begun, *used) = (Some(now), 0);
        }
        *used += 1;
        *used <= self.settings.per_second
    }

    fn term(&self, relapse: u32) -> Duration {
        let factor = 1_u32.checked_shl(relapse).unwrap_or(u32::MAX);
        self.settings.first.saturating_mul(factor).min(self.settings.longest)
    }

    fn ignore(&mut self, why: Ignored) -> Judgement {
        *self.ignored.entry(why).or_default() += 1;
        Judgement::Ignored(why)
    }
}

#[cfg(test)]
mod tests;
