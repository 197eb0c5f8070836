//! Who was banned before, so that a relapse is worth more. Kept in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ipnet::IpNet;

use crate::{clock::Wall, guard::timekeeper::moved};

/// Offenders remembered, at most; the one whose last ban ended first makes room.
const CAPACITY: usize = 100_000;

/// Someone who was banned for strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offender {
    pub(crate) bans: u32,
    /// When the last ban ended or ends.
    pub(crate) until: Wall,
}

/// A change the store has to follow: `None` forgets.
pub(crate) type Change = (IpNet, Option<Offender>);

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Offenders {
    past: BTreeMap<IpNet, Offender>,
    ends: BTreeSet<(Wall, IpNet)>,
    changes: Vec<Change>,
    evicted: u64,
}

impl Offenders {
    /// From the store.
    pub(crate) fn new(stored: impl IntoIterator<Item = (IpNet, Offender)>) -> Self {
        let offenders: BTreeMap<_, _> = stored.into_iter().take(CAPACITY).collect();
        let ends = offenders.iter().map(|(net, offender)| (offender.until, *net)).collect();
        Self { past: offenders, ends, ..Self::default() }
    }

    /// How many bans of `net` still count: those before a last one that ended within `forget`.
    pub(crate) fn relapse(&self, net: IpNet, forget: Duration, wall: Wall) -> u32 {
        let offender = self.past.get(&net);
        offender.filter(|past| wall.since(past.until) <= forget).map_or(0, |past| past.bans)
    }

    pub(crate) fn remember(&mut self, net: IpNet, bans: u32, until: Wall) {
        self.drop_entry(net);
        if self.past.len() >= CAPACITY
            && let Some((_, oldest)) = self.ends.first().copied()
        {
            self.forget(oldest);
            self.evicted += 1;
        }
        let offender = Offender { bans, until };
        self.past.insert(net, offender);
        self.ends.insert((until, net));
        self.changes.push((net, Some(offender)));
    }

    pub(crate) fn forget(&mut self, net: IpNet) {
        if self.drop_entry(net) {
            self.changes.push((net, None));
        }
    }

    /// Forgets those whose last ban ended more than `forget` ago, `limit` at most.
    pub(crate) fn sweep(&mut self, forget: Duration, wall: Wall, limit: usize) {
        let gone: Vec<IpNet> = self
            .ends
            .iter()
            .take_while(|(until, _)| wall.since(*until) > forget)
            .take(limit)
            .map(|(_, net)| *net)
            .collect();
        for net in gone {
            self.forget(net);
        }
    }

    /// Moves all times with a clock that was set.
    pub(crate) fn shift(&mut self, seconds: i64) {
        for (net, offender) in &mut self.past {
            offender.until = moved(offender.until, seconds);
            self.changes.push((*net, Some(*offender)));
        }
        self.ends = self.past.iter().map(|(net, past)| (past.until, *net)).collect();
    }

    /// What the store has to follow since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn bans_of(&self, net: IpNet) -> Option<Offender> {
        self.past.get(&net).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.past.len()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn drop_entry(&mut self, net: IpNet) -> bool {
        let Some(past) = self.past.remove(&net) else { return false };
        self.ends.remove(&(past.until, net));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORGET: Duration = Duration::from_secs(100);

    #[test]
    fn a_relapse_counts_until_it_is_forgotten_and_the_store_hears_of_both() {
        let mut offenders = Offenders::default();
        let net = "192.0.2.1/32".parse().unwrap();
        offenders.remember(net, 2, Wall(1000));
        assert_eq!(offenders.relapse(net, FORGET, Wall(1100)), 2);
        assert_eq!(offenders.relapse(net, FORGET, Wall(1101)), 0);

        offenders.sweep(FORGET, Wall(1100), 10);
        assert_eq!(offenders.len(), 1);
        offenders.sweep(FORGET, Wall(1101), 10);
        assert_eq!(offenders.len(), 0);
        let remembered = Offender { bans: 2, until: Wall(1000) };
        assert_eq!(offenders.take_changes(), [(net, Some(remembered)), (net, None)]);
    }
}
