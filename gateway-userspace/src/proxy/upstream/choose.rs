//! Which target takes a request. Those that may not be asked are passed over as long as there is
//! another: a supplier all of whose targets seem bad is asked all the same.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
    time::Duration,
};

use super::{endpoint::Endpoint, member::Member};
use crate::config::model::{Balance, Profile};

/// Of the golden ratio: its multiples fall evenly over the numbers, however few are taken.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Addresses of one supplier, at most.
pub(super) const PLACES: usize = 64;

/// Some of a supplier's addresses.
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
        (0..PLACES).filter(move |place| self.has(*place))
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
    /// The place of an address; `None` once all were tried.
    pub(super) fn of(self, profile: &Profile, roster: &[Arc<Endpoint>]) -> Option<usize> {
        let untried = (0..roster.len()).filter(|place| !self.tried.has(*place));
        let all: Set = untried.collect();
        if all.len() < 2 {
            return all.iter().next();
        }
        let good = |place: &usize| roster.get(*place).is_some_and(|one| one.is_good(self.now));
        let best: Set = all.iter().filter(good).collect();
        let among = if best.len() == 0 { all } else { best };
        let draw = Draw { choice: self, slow_start: profile.slow_start, roster, among };
        match (&profile.balance, self.key) {
            (Balance::Hash(_), Some(key)) => draw.by_key(key),
            (Balance::RoundRobin, _) => draw.in_turn(),
            (Balance::LeastRequest | Balance::Hash(_), _) => draw.least(),
        }
    }
}

/// A choice among some.
struct Draw<'r> {
    choice: Choice,
    slow_start: Duration,
    roster: &'r [Arc<Endpoint>],
    among: Set,
}

impl Draw<'_> {
    /// The one of two that has less to do: nearly as good as asking all, and no herd runs to the
    /// one that was idle a moment ago.
    fn least(&self) -> Option<usize> {
        let first = self.in_turn()?;
        let second = self.by_part(self.choice.turn.wrapping_mul(STEP).rotate_left(32))?;
        let load = |place: usize| self.member(place).map_or(u64::MAX, Member::load);
        Some(if load(second) < load(first) { second } else { first })
    }

    /// One after the other, where all have the same part.
    fn in_turn(&self) -> Option<usize> {
        let first = self.among.iter().next().map(|place| self.part(place))?;
        if self.among.iter().all(|place| self.part(place) == first) {
            let place = self.choice.turn.checked_rem(u64::from(self.among.len()))?;
            return self.among.iter().nth(usize::try_from(place).ok()?);
        }
        self.by_part(self.choice.turn.wrapping_mul(STEP))
    }

    /// By a number that is spread over all numbers.
    fn by_part(&self, number: u64) -> Option<usize> {
        let total: u64 = self.among.iter().map(|place| self.part(place)).sum();
        let mut left = u64::try_from((u128::from(number) * u128::from(total)) >> 64).ok()?;
        for place in self.among.iter() {
            let part = self.part(place);
            if left < part {
                return Some(place);
            }
            left -= part;
        }
        self.among.iter().last()
    }

    fn part(&self, place: usize) -> u64 {
        self.member(place).map_or(0, |member| member.part(self.slow_start, self.choice.now))
    }

    /// Rendezvous hashing: when a target goes, only its own keys move, and they come back with it.
    /// The logarithm makes a weight's share of the wins its share of the weights.
    fn by_key(&self, key: u64) -> Option<usize> {
        let cost = |place: usize| {
            let weight = self.member(place).map_or(1, Member::weight);
            let mark = self.roster.get(place).map_or(0, |one| one.mark);
            let drawn = u32::try_from(hash((key, mark)) >> 32).unwrap_or(0);
            let drawn = (f64::from(drawn) + 0.5) / (f64::from(u32::MAX) + 1.0);
            -drawn.ln() / f64::from(weight)
        };
        self.among.iter().min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
    }

    fn member(&self, place: usize) -> Option<&Member> {
        self.roster.get(place).map(|one| &one.member)
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
    use std::net::SocketAddr;

    use super::*;
    use crate::config::{
        defaults,
        model::{Ejection, HashKey, Profile},
    };

    struct Team(Profile, Vec<Arc<Endpoint>>);

    fn team(balance: Balance, weights: &[u32]) -> Team {
        let one = |(place, weight): (u8, &u32)| {
            let address = SocketAddr::from(([192, 0, 2, place], 80));
            Endpoint::new((address, 0), Member::new(*weight), &Arc::default(), None)
        };
        let profile = Profile { balance, ..defaults::profile() };
        Team(profile, (0_u8..).zip(weights).map(one).collect())
    }

    fn choose(Team(profile, all): &Team, turn: u64, key: Option<u64>) -> usize {
        Choice { turn, key, tried: Set::default(), now: 1 }.of(profile, all).unwrap()
    }

    fn shares(team: &Team, count: u64, key: impl Fn(u64) -> Option<u64>) -> Vec<usize> {
        let mut shares = vec![0; team.1.len()];
        (0..count).for_each(|turn| shares[choose(team, turn, key(turn))] += 1);
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
            let team = team(balance.clone(), &[1, 3]);
            let shares = shares(&team, 4000, |turn| if by_key { key(turn) } else { None });
            assert!((900..1100).contains(&shares[0]) || balance == Balance::LeastRequest);
            assert!(shares[1] > shares[0] * 2, "{balance:?} {shares:?}");
        }
    }

    #[test]
    fn the_busier_of_two_is_left_out() {
        let team = team(Balance::LeastRequest, &[1, 1]);
        (0..5).for_each(|_| team.1[0].member.begin());
        let shares = shares(&team, 1000, |_| None);
        assert!(shares[0] < 350, "only where both draws fall on it: {shares:?}");
    }

    #[test]
    fn only_the_keys_of_a_lost_target_move_and_they_come_back() {
        let Team(profile, all) = team(Balance::Hash(HashKey::Client), &[1; 5]);
        let at = |now, key| {
            let tried = Set::default();
            Choice { turn: 0, key: Some(hash(key)), tried, now }.of(&profile, &all).unwrap()
        };
        let before: Vec<usize> = (0..1000).map(|key| at(1, key)).collect();
        let first = Duration::from_secs(1);
        all[2].member.eject(&Ejection { faults: 1, first, longest: first, share: 100 }, 1);
        for (key, was) in before.iter().enumerate() {
            let is = at(2, key);
            assert!(is != 2 && (*was == 2 || is == *was), "{key}: {was} {is}");
        }
        let after: Vec<usize> = (0..1000).map(|key| at(2_000_000_000, key)).collect();
        assert_eq!(after, before);
    }

    #[test]
    fn bad_ones_are_asked_when_there_is_no_other_and_tried_ones_never_again() {
        let Team(profile, all) = team(Balance::RoundRobin, &[1, 1]);
        for one in &all {
            one.reached(false);
        }
        let mut tried = Set::default();
        tried.add(0);
        let choice = Choice { turn: 0, key: None, tried, now: 1 };
        assert_eq!(choice.of(&profile, &all), Some(1));
        tried.add(1);
        assert_eq!(Choice { tried, ..choice }.of(&profile, &all), None);
    }

    #[test]
    fn an_address_its_name_left_is_chosen_no_more() {
        let Team(profile, all) = team(Balance::RoundRobin, &[1, 1]);
        all[0].leave(true);
        for turn in 0..4 {
            let choice = Choice { turn, key: None, tried: Set::default(), now: 1 };
            assert_eq!(choice.of(&profile, &all), Some(1));
        }
    }
}
