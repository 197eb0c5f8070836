//! What was to be reached, and what was: ratios of one run, each beside its goal.

use crate::{
    flood::{Mix, Outcome, Wall},
    lists::{Family, HOSTS, Kind},
    packets::Cell,
};

/// A ratio and its goal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) ratio: f64,
    pub(crate) at_most: f64,
}

/// Of the requests an undisturbed client gets, the share below which a filter has not survived.
const SURVIVAL: f64 = 0.5;

/// The packet goals: with the full list, by family and by how warm the caches are.
pub(crate) fn packets(cells: &[Cell]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for family in [Family::V4, Family::V6] {
        for rotating in [false, true] {
            let find = |hosts, kind| {
                let mut cells = cells.iter();
                cells.find(|cell| {
                    (cell.family, cell.rotating, cell.hosts, cell.kind)
                        == (family, rotating, hosts, kind)
                })
            };
            let name = format!("{}, {}", family.name(), sources(rotating));
            let mut add = |kind: Kind, at_most| {
                let ratio = find(HOSTS, kind).and_then(Cell::ratio);
                let what = format!("{name}: {}, of xdp-filter", kind.name());
                goals.extend(ratio.map(|ratio| Goal { what, ratio, at_most }));
            };
            add(Kind::Clear, 0.45);
            add(Kind::BesideHost, 0.75);
            add(Kind::BesidePrefix, 0.75);
            add(Kind::BannedHost, 0.65);
            if let (Some(full), Some(none)) = (find(HOSTS, Kind::Clear), find(0, Kind::Clear)) {
                let what = format!("{name}: {}, of the same with an empty list", full.kind.name());
                goals.push(Goal { what, ratio: full.ours / none.ours, at_most: 1.15 });
            }
        }
    }
    goals
}

/// Hot or rotating.
pub(crate) const fn sources(rotating: bool) -> &'static str {
    if rotating { "rotating" } else { "hot" }
}

/// What the honest client has behind the gateway's filter and behind the others, at each rate, and
/// which is the highest that nftables survives.
pub(crate) fn floods(outcomes: &[Outcome]) -> Vec<String> {
    [Mix::Banned, Mix::Half].into_iter().flat_map(|mix| flood(outcomes, mix)).collect()
}

fn flood(outcomes: &[Outcome], mix: Mix) -> Vec<String> {
    let find =
        |wall, rate| outcomes.iter().find(|one| (one.wall, one.mix, one.rate) == (wall, mix, rate));
    let served = |wall, rate| find(wall, rate).map(|one: &Outcome| one.served.per_second);
    let survives = |rate| {
        let (now, idle) = (served(Wall::Nftables, rate), served(Wall::Nftables, 0));
        now.zip(idle).is_some_and(|(now, idle)| now >= SURVIVAL * idle)
    };
    let ours = outcomes.iter().filter(|one| (one.wall, one.mix) == (Wall::Gateway, mix));
    ours.filter(|ours| ours.rate > 0)
        .map(|ours| {
            let note = if survives(ours.rate) { " (nftables survives)" } else { "" };
            let beside =
                [Wall::Nftables, Wall::Ipset].map(|wall| beside(ours, find(wall, ours.rate)));
            let beside: Vec<_> = beside.into_iter().flatten().collect();
            format!("{}, {}/s{note}: {}", mix.name(), ours.rate, beside.join("; "))
        })
        .collect()
}

fn beside(ours: &Outcome, other: Option<&Outcome>) -> Option<String> {
    let other = other?;
    let requests = ours.served.per_second / other.served.per_second.max(1.0);
    let p99 = |one: &Outcome| one.served.quantile(990).as_secs_f64().max(1e-6);
    let waits = p99(other) / p99(ours);
    Some(format!(
        "{requests:.1} × the requests behind {}, p99 {waits:.1} × shorter",
        other.wall.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_compares_with_the_peer_and_with_the_empty_list() {
        let cell = |hosts, ours| Cell {
            family: Family::V4,
            hosts,
            prefixes: 0,
            kind: Kind::Clear,
            rotating: false,
            empty: 5.0,
            ours,
            xdp_filter: Some(100.0),
        };
        let goals = packets(&[cell(0, 40.0), cell(HOSTS, 44.0)]);
        let ratios: Vec<_> = goals.iter().map(|goal| (goal.ratio, goal.at_most)).collect();
        assert_eq!(ratios, [(0.44, 0.45), (1.1, 1.15)]);
    }
}
