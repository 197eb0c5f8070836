//! A ban as a map value, and back.

use std::time::Duration;

use gateway_common::maps::{BanValue, SEEN_SHIFT};

use super::filter::{KernelBan, Record};

/// Ends are on the tick clock, where zero is "never".
pub(super) fn value_at(now_ns: u64, ban: &KernelBan, length: u8) -> BanValue {
    let expires_ns = ban.left.map_or(0, |left| {
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        now_ns.saturating_add(left).max(1)
    });
    BanValue {
        expires_ns,
        reason: ban.reason.number(),
        source: ban.source.number(),
        length,
        ..BanValue::default()
    }
}

/// What a ban met.
pub(super) fn record_at(now_ns: u64, value: &BanValue) -> Record {
    let seen_ns = u64::from(value.last_seen) << SEEN_SHIFT;
    let ago = Duration::from_nanos(now_ns.saturating_sub(seen_ns));
    Record { hits: value.hits, last_seen: (value.hits > 0).then_some(ago) }
}
