//! Is there a SYN flood? One word counts the SYNs of all sources together, since a flood of forged
//! ones has no source; another holds until when cookies are on.

use crate::{
    limit::{self, Cell, Limit, Outcome},
    maps::{SENT_CELL, SYN_CELL, UNTIL_CELL},
    verdict::Rules,
};

/// What the rules of this folder look up.
pub trait SynTables {
    /// A word.
    type SynCell: Cell;
    /// A word of the cookies.
    fn syn_cell(&self, index: u32) -> Option<Self::SynCell>;
}

/// How far the word may lie past what this packet would write: clocks of processors differ while
/// one of them is taken away. Further ahead it was left by a longer hold of an earlier policy.
const STALE_NS: u64 = 1_000_000_000;

/// Counts a SYN; true while SYNs are to be answered with cookies.
#[inline(always)]
pub fn is_flood<T: SynTables>(rules: &Rules<'_>, tables: &T, now: u64) -> bool {
    let policy = &rules.policy.cookies;
    if policy.hold_ns == 0 {
        return false;
    }
    let (Some(count), Some(until)) = (tables.syn_cell(SYN_CELL), tables.syn_cell(UNTIL_CELL))
    else {
        return false;
    };
    let (end, longest) = (until.load(), now + policy.hold_ns);
    if is_over(&count, &policy.above, now) {
        if end < longest || end > longest + STALE_NS {
            // Whoever wins this race wrote the same, give or take a tick.
            until.compare_exchange(end, longest);
        }
        return true;
    }
    is_on(end, policy.hold_ns, now)
}

/// True at `now` while the word says so.
#[inline(always)]
pub const fn is_on(until: u64, hold_ns: u64, now: u64) -> bool {
    now < until && until <= now + hold_ns + STALE_NS
}

/// A word that stands at its cap is not written again before the clock moves: in a flood all
/// processors would fight for it.
#[inline(always)]
fn is_over(count: &impl Cell, above: &Limit, now: u64) -> bool {
    let cap = now + above.burst_ns + above.slack_ns + above.interval_ns;
    let tat = count.load();
    if tat >= cap && tat <= cap + STALE_NS {
        return true;
    }
    limit::advance(count, above, now)
}

/// True if one more SYN-ACK may be sent. A lost race sends it: the cap is there for who is hit by
/// answers to forged sources, and one more is nothing to him.
#[inline(always)]
pub fn is_cap_free<T: SynTables>(rules: &Rules<'_>, tables: &T, now: u64) -> bool {
    let Some(sent) = tables.syn_cell(SENT_CELL) else { return true };
    limit::take(&sent, &rules.policy.cookies.most, now) != Outcome::Over
}
