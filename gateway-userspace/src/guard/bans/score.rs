//! Strike scores: the weights of a source's strikes added up, halving over time.

use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::guard::recent::Recent;

/// Scores of the sources that struck last.
#[derive(Debug)]
pub(crate) struct Scores {
    scores: Recent<IpNet, Score>,
    half_life: Duration,
}

#[derive(Debug)]
struct Score {
    value: f64,
    at: Instant,
}

impl Scores {
    pub(crate) fn new(sources: u32, half_life: Duration) -> Self {
        Self { scores: Recent::new(sources), half_life }
    }

    pub(crate) fn set_half_life(&mut self, half_life: Duration) {
        self.half_life = half_life;
    }

    /// Adds a strike and returns the score, `cap` at most: what a source did while it could not
    /// be banned does not count for ever.
    pub(crate) fn add(&mut self, source: IpNet, weight: u32, cap: f64, now: Instant) -> f64 {
        let half_life = self.half_life;
        let score = self.scores.entry(source, || Score { value: 0.0, at: now });
        score.value = (score.at_time(now, half_life) + f64::from(weight)).min(cap);
        score.at = now;
        score.value
    }

    /// The score of `source`; `None` for one without strikes.
    pub(crate) fn of(&self, source: IpNet, now: Instant) -> Option<f64> {
        self.scores.get(source).map(|score| score.at_time(now, self.half_life))
    }

    pub(crate) fn clear(&mut self, source: IpNet) {
        self.scores.remove(source);
    }

    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.scores.capacity()
    }

    /// Scores that were forgotten to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.scores.evicted()
    }
}

impl Score {
    fn at_time(&self, now: Instant, half_life: Duration) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.value * (-passed / half_life.as_secs_f64().max(f64::MIN_POSITIVE)).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const HALF_LIFE: Duration = Duration::from_mins(1);

    #[test]
    fn strikes_add_up_and_halve_in_the_half_life() {
        let mut scores = Scores::new(10, HALF_LIFE);
        let (start, source) = (clock::now(), "192.0.2.1/32".parse().unwrap());
        scores.add(source, 20, 1000.0, start);
        assert!(near(scores.add(source, 20, 1000.0, start), 40.0));
        assert!(near(scores.of(source, start + HALF_LIFE).unwrap(), 20.0));
        assert!(near(scores.add(source, 10, 1000.0, start + 2 * HALF_LIFE), 20.0));
    }

    #[test]
    fn a_score_stays_under_its_cap() {
        let mut scores = Scores::new(10, HALF_LIFE);
        let (start, source) = (clock::now(), "192.0.2.1/32".parse().unwrap());
        for _ in 0..100 {
            scores.add(source, 20, 200.0, start);
        }
        assert!(near(scores.of(source, start).unwrap(), 200.0));
    }

    #[test]
    fn a_flood_of_sources_is_bounded_and_counted() {
        let mut scores = Scores::new(16, HALF_LIFE);
        let start = clock::now();
        for last in 0..=255 {
            let source = std::net::Ipv4Addr::new(192, 0, 2, last);
            scores.add(ipnet::Ipv4Net::from(source).into(), 5, 200.0, start);
        }
        assert_eq!((scores.len(), scores.evicted()), (16, 240));
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-6
    }
}
