//! Which target takes a request. Those that may not be asked are passed over as long as there is
//! another: a supplier all of whose targets seem bad is asked all the same.

use std::hash::{DefaultHasher, Hasher as _};

use super::{crew::Crew, member::Member};
use crate::config::model::Balance;

/// Of the golden ratio: its multiples fall evenly over the numbers, however few are taken.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Some of a supplier's targets; a configuration has 64 at most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set(u64);

impl Set {
    pub(super) fn add(&mut self, place: usize) {
        self.0 |= Self::bit(place);
    }

    fn has(self, place: usize) -> bool {
        self.0 & Self::bit(place) != 0
    }

    fn len(self) -> u32 {
        self.0.count_ones()
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |place| self.has(*place))
    }

    fn bit(place: usize) -> u64 {
        u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0)
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut set = Self::default();
        places.into_iter().for_each(|place| set.add(place));
        set
    }
}

/// What one choice is made by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// Differs from request to request.
    pub(super) turn: u64,
    /// The request's own, where targets are chosen by one.
    pub(super) key: Option<u64>,
    pub(super) tried: Set,
    pub(super) now: u64,
}

impl Choice {
    /// The place of a target; `None` once all were tried. `rests` are those that could not be
    /// connected to a moment ago.
    pub(super) fn of(self, crew: &Crew, rests: impl Fn(usize) -> bool) -> Option<usize> {
        let untried = (0..crew.members.len()).filter(|place| !self.tried.has(*place));
        let all: Set = untried.collect();
        if all.len() < 2 {
            return all.iter().next();
        }
        let good = |place: &usize| {
            !rests(*place) && crew.members.get(*place).is_some_and(|m| m.is_available(self.now))
        };
        let best: Set = all.iter().filter(good).collect();
        let among = if best.len() == 0 { all } else { best };
        match (&crew.profile.balance, self.key) {
            (Balance::Hash(_), Some(key)) => Self::by_key(crew, among, key),
            (Balance::RoundRobin, _) => self.in_turn(crew, among),
            (Balance::LeastRequest | Balance::Hash(_), _) => self.least(crew, among),
        }
    }

    /// The one of two that has less to do: nearly as good as asking all, and no herd runs to the
    /// one that was idle a moment ago.
    fn least(self, crew: &Crew, among: Set) -> Option<usize> {
        let first = self.in_turn(crew, among)?;
        let second = self.by_part(crew, among, self.turn.wrapping_mul(STEP).rotate_left(32))?;
        let load = |place: usize| crew.members.get(place).map_or(u64::MAX, Member::load);
        Some(if load(second) < load(first) { second } else { first })
    }

    /// One after the other, where all have the same part.
    fn in_turn(self, crew: &Crew, among: Set) -> Option<usize> {
        let part = |place: usize| self.part(crew, place);
        let first = among.iter().next().map(part)?;
        if among.iter().all(|place| part(place) == first) {
            let place = self.turn.checked_rem(u64::from(among.len()))?;
            return among.iter().nth(usize::try_from(place).ok()?);
        }
        self.by_part(crew, among, self.turn.wrapping_mul(STEP))
    }

    /// By a number that is spread over all numbers.
    fn by_part(self, crew: &Crew, among: Set, number: u64) -> Option<usize> {
        let total: u64 = among.iter().map(|place| self.part(crew, place)).sum();
        let mut left = u64::try_from((u128::from(number) * u128::from(total)) >> 64).ok()?;
        for place in among.iter() {
            let part = self.part(crew, place);
            if left < part {
                return Some(place);
            }
            left -= part;
        }
        among.iter().last()
    }

    fn part(self, crew: &Crew, place: usize) -> u64 {
        let member = crew.members.get(place);
        member.map_or(0, |member| member.part(crew.profile.slow_start, self.now))
    }

    /// Rendezvous hashing: when a target goes, only its own keys move, and they come back with it.
    /// The logarithm makes a weight's share of the wins its share of the weights.
    fn by_key(crew: &Crew, among: Set, key: u64) -> Option<usize> {
        let cost = |place: usize| {
            let weight = crew.members.get(place).map_or(1, Member::weight);
            let drawn = u32::try_from(hash((key, place)) >> 32).unwrap_or(0);
            let drawn = (f64::from(drawn) + 0.5) / (f64::from(u32::MAX) + 1.0);
            -drawn.ln() / f64::from(weight)
        };
        among.iter().min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
    }
}

/// The same in every process of one build.
pub(crate) fn hash(value: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::config::{
        defaults,
        model::{Ejection, HashKey, Profile},
    };

    fn crew(balance: Balance, weights: &[u32]) -> Arc<Crew> {
        Crew::new(&Profile { balance, ..defaults::profile() }, weights.iter().copied())
    }

    fn choose(crew: &Crew, turn: u64, key: Option<u64>) -> usize {
        Choice { turn, key, tried: Set::default(), now: 1 }.of(crew, |_| false).unwrap()
    }

    fn shares(crew: &Crew, count: u64, key: impl Fn(u64) -> Option<u64>) -> Vec<usize> {
        let mut shares = vec![0; crew.members.len()];
        (0..count).for_each(|turn| shares[choose(crew, turn, key(turn))] += 1);
        shares
    }

    #[test]
    fn weights_are_kept_by_turns_by_load_and_by_key() {
        let key = |turn| Some(hash(turn));
        for (balance, by_key) in [
            (Balance::RoundRobin, false),
            (Balance::LeastRequest, false),
            (Balance::Hash(HashKey::Client), true),
        ] {
            let crew = crew(balance.clone(), &[1, 3]);
            let shares = shares(&crew, 4000, |turn| if by_key { key(turn) } else { None });
            assert!((900..1100).contains(&shares[0]) || balance == Balance::LeastRequest);
            assert!(shares[1] > shares[0] * 2, "{balance:?} {shares:?}");
        }
    }

    #[test]
    fn the_busier_of_two_is_left_out() {
        let crew = crew(Balance::LeastRequest, &[1, 1]);
        (0..5).for_each(|_| crew.members[0].begin());
        let shares = shares(&crew, 1000, |_| None);
        assert!(shares[0] < 350, "only where both draws fall on it: {shares:?}");
    }

    #[test]
    fn only_the_keys_of_a_lost_target_move_and_they_come_back() {
        let crew = crew(Balance::Hash(HashKey::Client), &[1; 5]);
        let at = |now, key| {
            let tried = Set::default();
            Choice { turn: 0, key: Some(hash(key)), tried, now }.of(&crew, |_| false).unwrap()
        };
        let before: Vec<usize> = (0..1000).map(|key| at(1, key)).collect();
        let first = Duration::from_secs(1);
        crew.members[2].eject(&Ejection { faults: 1, first, longest: first, share: 100 }, 1);
        for (key, was) in before.iter().enumerate() {
            let is = at(2, key);
            assert!(is != 2 && (*was == 2 || is == *was), "{key}: {was} {is}");
        }
        let after: Vec<usize> = (0..1000).map(|key| at(2_000_000_000, key)).collect();
        assert_eq!(after, before);
    }

    #[test]
    fn bad_ones_are_asked_when_there_is_no_other_and_tried_ones_never_again() {
        let crew = crew(Balance::RoundRobin, &[1, 1]);
        let mut tried = Set::default();
        tried.add(0);
        let choice = Choice { turn: 0, key: None, tried, now: 1 };
        assert_eq!(choice.of(&crew, |_| true), Some(1));
        tried.add(1);
        assert_eq!(Choice { tried, ..choice }.of(&crew, |_| false), None);
    }
}
