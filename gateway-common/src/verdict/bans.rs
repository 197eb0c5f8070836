//! Bans: a bitmap first, then the host, then the prefixes.

use super::Rules;
use super::bitmap::{Bitmap, BitmapTables, in_bitmap6, is_set};
use crate::{Reason, maps::flag, packet::Source, summary::BAN};

/// A ban found in a table.
pub trait BanEntry {
    /// End on the tick clock, zero for ever.
    fn expires_ns(&self) -> u64;
    /// Length of its prefix.
    fn length(&self) -> u8;
    /// Counts a packet that met it.
    fn hit(&self);
}

/// What the rules of this file look up.
pub trait BanTables: BitmapTables {
    /// A ban.
    type Ban: BanEntry;
    /// The ban of exactly this address.
    fn ban4_host(&self, address: [u8; 4]) -> Option<Self::Ban>;
    /// The same for IPv6.
    fn ban6_host(&self, address: [u8; 16]) -> Option<Self::Ban>;
    /// The longest banned prefix of at most `length` bits that covers the address.
    fn ban4_prefix(&self, address: [u8; 4], length: u32) -> Option<Self::Ban>;
    /// The same for IPv6.
    fn ban6_prefix(&self, address: [u8; 16], length: u32) -> Option<Self::Ban>;
}

/// Expired bans a lookup steps over to wider ones beneath. The guard removes expired bans within
/// seconds; more than this many nested in one another at once would have to be made on purpose.
const EXPIRED_STEPS: u32 = 8;

#[inline(always)]
pub(super) fn ban_on<T: BanTables>(
    source: Source,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Option<Reason> {
    match source {
        Source::Unknown => None,
        Source::V4(address) => {
            if !is_set(tables, Bitmap::Ban4, BAN.v4_bucket(address)) {
                return None;
            }
            if holds(tables.ban4_host(address), now) {
                return Some(Reason::BanHost);
            }
            prefix_holds(31, now, |length| tables.ban4_prefix(address, length))
        }
        Source::V6(address) => {
            let wide = rules.settings.has(flag::BAN6_WIDE);
            if !in_bitmap6(tables, Bitmap::Ban6, BAN, address, wide) {
                return None;
            }
            if holds(tables.ban6_host(address), now) {
                return Some(Reason::BanHost);
            }
            prefix_holds(127, now, |length| tables.ban6_prefix(address, length))
        }
    }
}

/// Counts the packet on a ban in force.
#[inline(always)]
fn holds<B: BanEntry>(ban: Option<B>, now: u64) -> bool {
    match ban {
        Some(ban) if is_in_force(&ban, now) => {
            ban.hit();
            true
        }
        _ => false,
    }
}

#[inline(always)]
fn is_in_force(ban: &impl BanEntry, now: u64) -> bool {
    let expires = ban.expires_ns();
    expires == 0 || now < expires
}

/// The longest prefix decides, unless it expired: then the next wider one.
#[inline(always)]
fn prefix_holds<B: BanEntry>(
    longest: u32,
    now: u64,
    lookup: impl Fn(u32) -> Option<B>,
) -> Option<Reason> {
    let mut length = longest;
    for _ in 0..EXPIRED_STEPS {
        let ban = lookup(length)?;
        if is_in_force(&ban, now) {
            ban.hit();
            return Some(Reason::BanPrefix);
        }
        length = u32::from(ban.length()).checked_sub(1)?;
    }
    None
}
