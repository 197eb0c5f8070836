//! `[bans]`: from strikes to bans.

use std::{ops::RangeInclusive, time::Duration};

use gateway_common::{Reason, reason::Plane};

use crate::config::{
    defaults,
    fault::{nearest, quoted},
    model::{Bans, Coverage},
    tree::Section,
    units,
};

/// Shorter is over before the ban is in the map; longer is the operator's to decide.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 366);

/// Shorter would forget a login between two looks at who is there; longer is a matter of `protect`.
const LOGIN: RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_hours(24);

/// Highest score and weight: sums stay far from the end of `u32`.
const SCORE: u32 = 1_000_000;

pub(super) fn read(mut section: Section<'_>) -> Bans {
    let default = defaults::bans();
    let bans = Bans {
        threshold: section.whole("threshold", default.threshold, 1..=SCORE),
        half_life: section.time("half_life", default.half_life, TIMES),
        first: section.time("first", default.first, TIMES),
        longest: section.time("longest", default.longest, TIMES),
        forget: section.time("forget", default.forget, TIMES),
        trust: section.time("trust", default.trust, Duration::ZERO..=*TIMES.end()),
        login: section.time("login", default.login, LOGIN),
        sources: section.whole("sources", default.sources, 16..=10_000_000),
        per_second: section.whole("per_second", default.per_second, 1..=100_000),
        coverage: coverage(section.section("coverage"), default.coverage),
        weights: weights(&section.section("weights")),
    };
    if bans.first > bans.longest {
        section.refuse_inside(
            "first",
            format!("is longer than bans.longest ({})", units::write_duration(bans.longest)),
            "write a shorter first or a longer longest",
        );
    }
    section.finish();
    bans
}

fn coverage(mut section: Section<'_>, default: Coverage) -> Coverage {
    let coverage = Coverage {
        ipv4: section.whole("ipv4", default.ipv4, 1..=100),
        ipv6: section.whole("ipv6", default.ipv6, 1..=100),
    };
    section.finish();
    coverage
}

/// The keys are reasons for which a request can be refused.
fn weights(section: &Section<'_>) -> Vec<(Reason, u32)> {
    let reasons: Vec<&'static str> = Reason::ALL
        .iter()
        .filter(|reason| reason.info().plane == Plane::Request)
        .map(|reason| reason.name())
        .collect();
    let mut weights = Vec::new();
    for (name, entry) in section.entries() {
        let known = reasons.iter().find(|known| **known == name);
        let reason = known.and_then(|known| Reason::ALL.iter().find(|r| r.name() == *known));
        match reason {
            Some(reason) => weights.extend(entry.whole(0..=SCORE).map(|weight| (*reason, weight))),
            None => entry.refuse(
                format!("{} is no reason that earns strikes", quoted(name)),
                nearest(name, &reasons).map_or_else(
                    || "docs/reasons.md lists them".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                ),
            ),
        }
    }
    weights
}
