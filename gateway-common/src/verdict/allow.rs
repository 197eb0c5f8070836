//! Allowed sources: exempt from bans and findings, within one limit they share.

use super::Rules;
use super::bitmap::{Bitmap, BitmapTables, in_bitmap6, is_set};
use crate::{
    Reason,
    limit::{self, Cell, Outcome},
    maps::flag,
    packet::Source,
    summary::ALLOW,
};

/// What the rules of this file look up.
pub trait AllowTables: BitmapTables {
    /// The word all allowed sources share.
    type AllowCell: Cell;
    /// True if an allowed prefix covers the address.
    fn allow4(&self, address: [u8; 4]) -> bool;
    /// The same for IPv6.
    fn allow6(&self, address: [u8; 16]) -> bool;
    /// The word all allowed sources share.
    fn allow_cell(&self) -> Option<Self::AllowCell>;
}

#[inline(always)]
pub(super) fn is_allowed<T: AllowTables>(source: Source, rules: &Rules<'_>, tables: &T) -> bool {
    match source {
        Source::Unknown => false,
        Source::V4(address) => {
            is_set(tables, Bitmap::Allow4, ALLOW.v4_bucket(address)) && tables.allow4(address)
        }
        Source::V6(address) => {
            in_bitmap6(
                tables,
                Bitmap::Allow6,
                ALLOW,
                address,
                rules.settings.has(flag::ALLOW6_WIDE),
            ) && tables.allow6(address)
        }
    }
}

/// Source addresses can be forged: all that claim to be allowed share one limit. A lost race
/// passes, for an allowed source is never to be locked out by contention.
#[inline(always)]
pub(super) fn within_allow_limit<T: AllowTables>(
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let Some(cell) = tables.allow_cell() else { return Ok(Reason::Allowed) };
    match limit::take(&cell, &rules.policy.allow, now) {
        Outcome::Within | Outcome::Contended => Ok(Reason::Allowed),
        Outcome::Over => Err(Reason::AllowLimit),
    }
}
