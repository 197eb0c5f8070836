//! The packet limit: sketch first, exact entries for those the sketch calls over.

use super::Rules;
use crate::{
    Reason,
    limit::{self, Cell, Outcome},
    maps::LimitKey,
    packet::Source,
    summary,
};

/// What the rules of this file look up.
pub trait LimitTables {
    /// A word of a limit.
    type Cell: Cell;
    /// A cell of the sketch.
    fn sketch(&self, index: u32) -> Option<Self::Cell>;
    /// The exact entry of a source.
    fn exact(&self, key: &LimitKey) -> Option<Self::Cell>;
    /// Gives a source an exact entry, evicting an old one if there is no room.
    fn insert_exact(&self, key: &LimitKey, tat: u64);
    /// The word that bounds such insertions.
    fn insert_cell(&self) -> Option<Self::Cell>;
}

/// Whom the packet limit counts.
#[inline(always)]
pub(super) const fn limit_key(source: Source) -> Option<LimitKey> {
    match source {
        Source::Unknown => None,
        Source::V4([a, b, c, d]) => Some(LimitKey { prefix: [a, b, c, d, 0, 0, 0, 0], family: 4 }),
        Source::V6(address) => {
            Some(LimitKey { prefix: summary::upper_half(address).to_be_bytes(), family: 6 })
        }
    }
}

/// Sketch first; a source over in every row is judged by its own entry.
#[inline(always)]
pub(super) fn within_packet_limit<T: LimitTables>(
    key: &LimitKey,
    passed: Reason,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if !is_over_sketch(key, rules, tables, now) {
        return Ok(passed);
    }
    let Some(cell) = tables.exact(key) else {
        return first_over(key, passed, rules, tables, now);
    };
    match limit::take_exact(&cell, &rules.policy.packets, now) {
        Outcome::Within => Ok(passed),
        Outcome::Over | Outcome::Contended => Err(Reason::PacketLimit),
    }
}

/// Every row is advanced, also when the first is not over: each counts every packet.
#[inline(always)]
fn is_over_sketch<T: LimitTables>(key: &LimitKey, rules: &Rules<'_>, tables: &T, now: u64) -> bool {
    let source = u64::from_be_bytes(key.prefix);
    let mut over = true;
    for (row, keys) in (0..).zip(&rules.settings.rows) {
        let keys = if key.family == 4 { keys.v4 } else { keys.v6 };
        if let Some(cell) = tables.sketch(limit::sketch_index(keys, source, row)) {
            over &= limit::advance(&cell, &rules.policy.packets, now);
        }
    }
    over
}

/// A source that goes over for the first time gets an entry, as long as not too many do: a flood
/// of sources must not evict the entries that hold others in check.
#[inline(always)]
fn first_over<T: LimitTables>(
    key: &LimitKey,
    passed: Reason,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let outcome = match tables.insert_cell() {
        Some(cell) => limit::take(&cell, &rules.policy.inserts, now),
        None => Outcome::Within,
    };
    if outcome == Outcome::Within {
        tables.insert_exact(key, limit::exact_first(&rules.policy.packets, now));
        return Ok(passed);
    }
    let guarded = Reason::LimitInserts;
    if rules.policy.drops(guarded) { Err(guarded) } else { Ok(guarded) }
}
