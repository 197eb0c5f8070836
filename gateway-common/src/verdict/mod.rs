//! The rules: allow → ban → findings of the parser → limits → pass.
//!
//! Pure: the packet, the settings and the time come in, the tables are behind a trait; the kernel
//! program and the tests run this same source. No early drop: every way out is a [`Verdict`].

use crate::{
    Reason,
    limit::{self, Cell, Outcome},
    maps::{LimitKey, Settings, flag},
    packet::{self, Packet, PacketBytes, Source},
    summary::{self, ALLOW, BAN, Summary},
};

/// What happens to the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On to the stack.
    Pass,
    /// Gone.
    Drop,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What happens.
    pub action: Action,
    /// Why; counted.
    pub reason: Reason,
    /// Shadow mode made a pass of a drop.
    pub shadow: bool,
}

/// The bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitmap {
    /// Neighbourhoods with IPv4 bans.
    Ban4,
    /// Neighbourhoods with IPv6 bans.
    Ban6,
    /// Neighbourhoods with allowed IPv4 prefixes.
    Allow4,
    /// Neighbourhoods with allowed IPv6 prefixes.
    Allow6,
}

/// A ban found in a table.
pub trait BanEntry {
    /// End on the tick clock, zero for ever.
    fn expires_ns(&self) -> u64;
    /// Length of its prefix.
    fn length(&self) -> u8;
    /// Counts a packet that met it.
    fn hit(&self);
}

/// What the rules look up.
pub trait Tables {
    /// A ban.
    type Ban: BanEntry;
    /// A word of a limit.
    type Cell: Cell;
    /// A word of a bitmap.
    fn bitmap(&self, bitmap: Bitmap, word: u32) -> u64;
    /// True if an allowed prefix covers the address.
    fn allow4(&self, address: [u8; 4]) -> bool;
    /// The same for IPv6.
    fn allow6(&self, address: [u8; 16]) -> bool;
    /// The ban of exactly this address.
    fn ban4_host(&self, address: [u8; 4]) -> Option<Self::Ban>;
    /// The same for IPv6.
    fn ban6_host(&self, address: [u8; 16]) -> Option<Self::Ban>;
    /// The longest banned prefix of at most `length` bits that covers the address.
    fn ban4_prefix(&self, address: [u8; 4], length: u32) -> Option<Self::Ban>;
    /// The same for IPv6.
    fn ban6_prefix(&self, address: [u8; 16], length: u32) -> Option<Self::Ban>;
    /// A cell of the sketch.
    fn sketch(&self, index: u32) -> Option<Self::Cell>;
    /// The exact entry of a source.
    fn exact(&self, key: &LimitKey) -> Option<Self::Cell>;
    /// Gives a source an exact entry, evicting an old one if there is no room.
    fn insert_exact(&self, key: &LimitKey, tat: u64);
    /// The word that bounds such insertions.
    fn insert_cell(&self) -> Option<Self::Cell>;
    /// The word all allowed sources share.
    fn allow_cell(&self) -> Option<Self::Cell>;
}

/// Expired bans a lookup steps over to wider ones beneath. The guard removes expired bans within
/// seconds; more than this many nested in one another at once would have to be made on purpose.
const EXPIRED_STEPS: u32 = 8;

/// Reads a frame and decides. `now` is the tick clock.
#[inline(always)]
pub fn judge<P, T>(frame: &P, settings: &Settings, tables: &T, now: u64) -> (Packet, Verdict)
where
    P: PacketBytes + ?Sized,
    T: Tables,
{
    if settings.has(flag::PANIC) {
        let packet = Packet::without_source(Reason::PanicPass);
        return (packet, pass(Reason::PanicPass));
    }
    let packet = packet::parse(frame);
    (packet, decide(&packet, settings, tables, now))
}

/// The rules, in order, for a packet that was read.
#[inline(always)]
pub fn decide<T: Tables>(packet: &Packet, settings: &Settings, tables: &T, now: u64) -> Verdict {
    match reason_of(packet, settings, tables, now) {
        Ok(reason) => pass(reason),
        Err(reason) => drop_unless_shadow(reason, settings),
    }
}

const fn pass(reason: Reason) -> Verdict {
    Verdict { action: Action::Pass, reason, shadow: false }
}

#[inline(always)]
const fn drop_unless_shadow(reason: Reason, settings: &Settings) -> Verdict {
    let shadow = settings.has(flag::SHADOW);
    Verdict { action: if shadow { Action::Pass } else { Action::Drop }, reason, shadow }
}

/// `Ok` to pass, `Err` to drop.
#[inline(always)]
fn reason_of<T: Tables>(
    packet: &Packet,
    settings: &Settings,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if is_allowed(packet.source, settings, tables) {
        return within_allow_limit(settings, tables, now);
    }
    if let Some(reason) = ban_on(packet.source, settings, tables, now) {
        return Err(reason);
    }
    let passed = match packet.finding {
        Some(finding) if settings.drops(finding) => return Err(finding),
        Some(finding) => finding,
        None => Reason::Passed,
    };
    match limit_key(packet.source) {
        Some(key) => within_packet_limit(&key, passed, settings, tables, now),
        None => Ok(passed),
    }
}

#[inline(always)]
fn is_allowed<T: Tables>(source: Source, settings: &Settings, tables: &T) -> bool {
    match source {
        Source::Unknown => false,
        Source::V4(address) => {
            is_set(tables, Bitmap::Allow4, ALLOW.v4_bucket(address)) && tables.allow4(address)
        }
        Source::V6(address) => {
            in_bitmap6(tables, Bitmap::Allow6, ALLOW, address, settings.has(flag::ALLOW6_WIDE))
                && tables.allow6(address)
        }
    }
}

/// Source addresses can be forged: all that claim to be allowed share one limit. A lost race
/// passes, for an allowed source is never to be locked out by contention.
#[inline(always)]
fn within_allow_limit<T: Tables>(
    settings: &Settings,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let Some(cell) = tables.allow_cell() else { return Ok(Reason::Allowed) };
    match limit::take(&cell, &settings.allow, now) {
        Outcome::Within | Outcome::Contended => Ok(Reason::Allowed),
        Outcome::Over => Err(Reason::AllowLimit),
    }
}

#[inline(always)]
fn ban_on<T: Tables>(source: Source, settings: &Settings, tables: &T, now: u64) -> Option<Reason> {
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
            let wide = settings.has(flag::BAN6_WIDE);
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

#[inline(always)]
fn is_set<T: Tables>(tables: &T, bitmap: Bitmap, bucket: u32) -> bool {
    let (word, bit) = summary::position(bucket);
    tables.bitmap(bitmap, word) & bit != 0
}

#[inline(always)]
fn in_bitmap6<T: Tables>(
    tables: &T,
    bitmap: Bitmap,
    geometry: Summary,
    address: [u8; 16],
    wide: bool,
) -> bool {
    wide || is_set(tables, bitmap, geometry.v6_bucket(address))
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

/// Whom the packet limit counts.
#[inline(always)]
const fn limit_key(source: Source) -> Option<LimitKey> {
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
fn within_packet_limit<T: Tables>(
    key: &LimitKey,
    passed: Reason,
    settings: &Settings,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if !is_over_sketch(key, settings, tables, now) {
        return Ok(passed);
    }
    let Some(cell) = tables.exact(key) else {
        return first_over(key, passed, settings, tables, now);
    };
    match limit::take_exact(&cell, &settings.packets, now) {
        Outcome::Within => Ok(passed),
        Outcome::Over | Outcome::Contended => Err(Reason::PacketLimit),
    }
}

/// Every row is advanced, also when the first is not over: each counts every packet.
#[inline(always)]
fn is_over_sketch<T: Tables>(key: &LimitKey, settings: &Settings, tables: &T, now: u64) -> bool {
    let source = u64::from_be_bytes(key.prefix);
    let mut over = true;
    for (row, keys) in (0..).zip(&settings.rows) {
        let keys = if key.family == 4 { keys.v4 } else { keys.v6 };
        if let Some(cell) = tables.sketch(limit::sketch_index(keys, source, row)) {
            over &= limit::advance(&cell, &settings.packets, now);
        }
    }
    over
}

/// A source that goes over for the first time gets an entry, as long as not too many do: a flood
/// of sources must not evict the entries that hold others in check.
#[inline(always)]
fn first_over<T: Tables>(
    key: &LimitKey,
    passed: Reason,
    settings: &Settings,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let outcome = match tables.insert_cell() {
        Some(cell) => limit::take(&cell, &settings.inserts, now),
        None => Outcome::Within,
    };
    if outcome == Outcome::Within {
        tables.insert_exact(key, limit::exact_first(&settings.packets, now));
        return Ok(passed);
    }
    let guarded = Reason::LimitInserts;
    if settings.drops(guarded) { Err(guarded) } else { Ok(guarded) }
}

#[cfg(test)]
mod tests;
