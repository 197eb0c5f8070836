//! What is known of one name: addresses until their time is over, or for a while longer where
//! nobody answers (RFC 8767), and when to ask again. Time is passed in.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Failure,
    resolver::{Finding, Findings},
};
use crate::config::model::Dns;

/// Asked again this long before the time is over, or a tenth of it.
const AHEAD: Duration = Duration::from_secs(5);
/// After a failure; doubles up to `SLOWEST`.
const AGAIN: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(30);

/// One name's.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Record {
    v4: Family,
    v6: Family,
    failure: Option<Failure>,
    failures_in_a_row: u32,
    /// `None` before the first answer.
    next: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Family {
    addresses: Vec<IpAddr>,
    /// The end of its time to live.
    until: Option<Instant>,
    /// Whether the name is there.
    exists: bool,
}

impl Record {
    pub(in super::super) fn learn(&mut self, findings: &Findings, settings: &Dns, now: Instant) {
        let four = self.v4.learn(&findings.v4, settings, now);
        let six = self.v6.learn(&findings.v6, settings, now);
        self.failure = four.or(six);
        let Some(_failure) = self.failure else {
            self.failures_in_a_row = 0;
            self.next = self.used().filter_map(|family| family.ask_at(now)).min();
            return;
        };
        let doublings = self.failures_in_a_row.min(5);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.next = Some(now + (AGAIN * (1 << doublings)).min(SLOWEST));
    }

    /// Those whose time counts: that there are no addresses of one kind is asked together with
    /// those of the other.
    fn used(&self) -> impl Iterator<Item = &Family> {
        let nothing = self.addresses().is_empty();
        [&self.v4, &self.v6].into_iter().filter(move |one| nothing || !one.addresses.is_empty())
    }

    /// All that may be connected to.
    pub(in super::super) fn addresses(&self) -> Vec<IpAddr> {
        self.v4.addresses.iter().chain(&self.v6.addresses).copied().collect()
    }

    /// When to ask again; `None` is at once.
    pub(in super::super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whom to ask has changed.
    pub(in super::super) fn forget_when(&mut self) {
        self.next = None;
    }

    /// Whether addresses are in use whose time is over.
    pub(in super::super) fn is_stale(&self, now: Instant) -> bool {
        [&self.v4, &self.v6].into_iter().any(|family| family.is_stale(now))
    }

    /// In one word, for the log and for `gateway status`.
    pub(in super::super) fn outcome(&self, now: Instant) -> &'static str {
        match self.failure {
            _ if self.is_stale(now) => "stale",
            _ if !self.addresses().is_empty() => "found",
            Some(_) => "failed",
            None if self.next.is_none() => "unasked",
            None if self.v4.exists || self.v6.exists => "no addresses",
            None => "no such name",
        }
    }

    pub(in super::super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    pub(in super::super) fn status(&self, now: Instant) -> Value {
        let left = self.used().filter_map(|family| family.until).min();
        let left = left.map(|until| until.saturating_duration_since(now).as_secs());
        json!({
            "outcome": self.outcome(now),
            "ttl_left_s": left,
            "failure": self.failure.map(|failure| failure.to_string()),
            "failures_in_a_row": self.failures_in_a_row,
        })
    }
}

impl Family {
    fn learn(&mut self, finding: &Finding, settings: &Dns, now: Instant) -> Option<Failure> {
        match finding {
            Finding::Found { addresses, ttl } => {
                let ttl = (*ttl).clamp(settings.ttl_min, settings.ttl_max);
                *self = Self { addresses: addresses.clone(), until: Some(now + ttl), exists: true };
                None
            }
            Finding::Absent { exists, ttl } => {
                let ttl = ttl.unwrap_or(settings.negative_max).min(settings.negative_max);
                let until = Some(now + ttl.max(settings.ttl_min));
                *self = Self { addresses: Vec::new(), until, exists: *exists };
                None
            }
            Finding::Failed(failure) => {
                if self.until.is_some_and(|until| until + settings.stale <= now) {
                    *self = Self::default();
                }
                Some(*failure)
            }
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        !self.addresses.is_empty() && self.until.is_some_and(|until| until < now)
    }

    fn ask_at(&self, now: Instant) -> Option<Instant> {
        let left = self.until?.saturating_duration_since(now);
        Some(now + left.saturating_sub((left / 10).min(AHEAD)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, config::defaults};

    const HOUR: Duration = Duration::from_hours(1);

    fn settings() -> Dns {
        let (ttl_min, ttl_max) = (Duration::from_secs(2), HOUR);
        let (negative_max, stale) = (Duration::from_secs(30), HOUR * 2);
        Dns { ttl_min, ttl_max, negative_max, stale, ..defaults::dns() }
    }

    fn found(ttl: u64) -> Findings {
        let addresses = vec![[192, 0, 2, 1].into()];
        Findings {
            v4: Finding::Found { addresses, ttl: Duration::from_secs(ttl) },
            v6: Finding::Absent { exists: true, ttl: Some(HOUR) },
        }
    }

    fn gone() -> Findings {
        let nothing = Finding::Absent { exists: false, ttl: Some(Duration::from_secs(10)) };
        Findings { v4: nothing.clone(), v6: nothing }
    }

    #[test]
    fn asks_a_little_before_the_time_is_over_within_the_bounds() {
        let now = clock::now();
        for (ttl, after) in [(20, 18), (0, 1), (1, 1), (30, 27), (100, 95)] {
            let mut record = Record::default();
            record.learn(&found(ttl), &settings(), now);
            let next = record.next().unwrap() - now;
            assert_eq!(next.as_secs(), after, "{ttl}: {next:?}");
        }
        let mut record = Record::default();
        record.v6.until = Some(now + HOUR * 9);
        let longest = record.v4.learn(&found(1_000_000).v4, &settings(), now);
        assert!(longest.is_none() && record.v4.until == Some(now + HOUR));
    }

    #[test]
    fn addresses_outlive_their_time_while_nobody_answers_and_no_longer_than_allowed() {
        let start = clock::now();
        let mut record = Record::default();
        record.learn(&found(20), &settings(), start);
        let mut now = start + Duration::from_secs(21);
        let mut waits = Vec::new();
        for _ in 0..7 {
            record.learn(&Findings::failed(Failure::Timeout), &settings(), now);
            assert_eq!((record.addresses().len(), record.outcome(now)), (1, "stale"));
            waits.push((record.next().unwrap() - now).as_secs());
            now = record.next().unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        now = start + Duration::from_secs(21) + HOUR * 2;
        record.learn(&Findings::failed(Failure::Timeout), &settings(), now);
        assert!(record.addresses().is_empty());
        assert_eq!(record.outcome(now), "failed");
        record.learn(&found(20), &settings(), now);
        assert_eq!(record.outcome(now), "found");
    }

    #[test]
    fn a_name_that_is_gone_takes_its_addresses_with_it_at_once() {
        let now = clock::now();
        let mut record = Record::default();
        assert_eq!(record.outcome(now), "unasked");
        record.learn(&found(20), &settings(), now);
        record.learn(&gone(), &settings(), now);
        assert!(record.addresses().is_empty());
        assert_eq!(record.outcome(now), "no such name");
        assert_eq!((record.next().unwrap() - now).as_secs(), 9);
    }

    #[test]
    fn one_family_that_fails_leaves_the_other_as_it_is() {
        let now = clock::now();
        let mut record = Record::default();
        let half = Findings { v6: Finding::Failed(Failure::ServerFailed), ..found(20) };
        record.learn(&half, &settings(), now);
        assert_eq!((record.addresses().len(), record.outcome(now)), (1, "found"));
        assert_eq!(record.failure(), Some(Failure::ServerFailed));
    }
}
