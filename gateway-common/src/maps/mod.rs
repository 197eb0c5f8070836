//! The maps: names, keys, values and sizes. Any change in this folder raises [`LAYOUT_VERSION`]; a daemon
//! reuses pinned maps only if version and shape are exactly equal.

mod bans;
mod cookies;
mod limits;
mod seen;
mod settings;
mod shape;

use core::mem::size_of;

use self::shape::{array, per_cpu, shape, trie};
pub use self::{
    bans::{BanValue, PrefixKey},
    cookies::{
        COOKIE_WORDS, CookiePolicy, OFFER_CELL, OWN_ADDRESSES, Offer, SENT_CELL, SYN_CELL,
        UNTIL_CELL,
    },
    limits::LimitKey,
    seen::{Clocks, Count, EventTokens},
    settings::{POLICY_SLOTS, Policy, Settings, flag, switch},
    shape::{Kind, NO_PREALLOC, Shape, Sizing},
};
use crate::{
    limit,
    reason::PACKET_REASONS,
    summary::{ALLOW, BAN},
    syn::Exchange,
};

/// Version of everything in this folder; part of the pins' folder name.
pub const LAYOUT_VERSION: u32 = if cfg!(feature = "layout-next") { 2 } else { 1 };

/// Name of the XDP program.
pub const PROGRAM: &str = "gateway";

/// Name of the program that answers SYNs with cookies.
pub const SYN_COOKIES_PROGRAM: &str = "syn_cookies";
/// Name of the program that reads both clocks.
pub const CLOCKS_PROGRAM: &str = "clocks";
/// The program that tells the loader's log, once a load, what the kernel runs.
pub const HELLO_PROGRAM: &str = "hello";

/// One [`Settings`].
pub const SETTINGS: &str = "SETTINGS";
/// Two [`Policy`]s: the one in force and, during a trial, the one before.
pub const POLICIES: &str = "POLICIES";
/// Bitmap of IPv4 neighbourhoods with bans ([`BAN`]).
pub const BAN4_SUMMARY: &str = "BAN4_SUMMARY";
/// Bitmap of IPv6 neighbourhoods with bans.
pub const BAN6_SUMMARY: &str = "BAN6_SUMMARY";
/// IPv4 address → [`BanValue`].
pub const BAN4_HOST: &str = "BAN4_HOST";
/// IPv6 address → [`BanValue`].
pub const BAN6_HOST: &str = "BAN6_HOST";
/// IPv4 prefix → [`BanValue`].
pub const BAN4_PREFIX: &str = "BAN4_PREFIX";
/// IPv6 prefix → [`BanValue`].
pub const BAN6_PREFIX: &str = "BAN6_PREFIX";
/// Bitmap of IPv4 neighbourhoods with allowed prefixes ([`ALLOW`]).
pub const ALLOW4_SUMMARY: &str = "ALLOW4_SUMMARY";
/// Bitmap of IPv6 neighbourhoods with allowed prefixes.
pub const ALLOW6_SUMMARY: &str = "ALLOW6_SUMMARY";
/// Allowed IPv4 prefixes.
pub const ALLOW4: &str = "ALLOW4";
/// Allowed IPv6 prefixes.
pub const ALLOW6: &str = "ALLOW6";
/// Cells of the packet limit's sketch, row after row.
pub const SKETCH: &str = "SKETCH";
/// Exact arrival times of sources over the sketch: [`LimitKey`] → nanoseconds.
pub const EXACT: &str = "EXACT";
/// Single words: [`ALLOW_CELL`], [`INSERT_CELL`].
pub const CELLS: &str = "CELLS";
/// Words of the SYN cookies: [`SYN_CELL`], [`UNTIL_CELL`], [`SENT_CELL`], [`OFFER_CELL`].
pub const COOKIES: &str = "COOKIES";
/// Addresses of this machine; an IPv4 address stands in the first four bytes.
pub const OWN: &str = "OWN";
/// One [`Exchange`], per CPU.
pub const SYN_EXCHANGE: &str = "SYN_EXCHANGE";
/// One slot: the program that answers SYNs, or none.
pub const SYN_PROGRAM: &str = "SYN_PROGRAM";
/// [`Count`] by number of [`Reason`], per CPU.
pub const COUNTERS: &str = "COUNTERS";
/// [`EventTokens`] by number of [`Reason`], per CPU.
pub const EVENT_TOKENS: &str = "EVENT_TOKENS";
/// Ring buffer of [`crate::event::Event`].
pub const EVENTS: &str = "EVENTS";
/// One [`Clocks`].
pub const CLOCKS: &str = "CLOCKS";

/// Index in [`CELLS`] of the aggregate limit of allowed sources.
pub const ALLOW_CELL: u32 = 0;
/// Index of the insertion guard: a cache line away from the other, both are written under load.
pub const INSERT_CELL: u32 = 8;
/// Words in [`CELLS`].
pub const CELL_WORDS: u32 = 16;

/// Entries of the arrays by reason.
#[expect(clippy::cast_possible_truncation, reason = "64")]
pub const REASONS: u32 = PACKET_REASONS as u32;

/// Bytes of the ring buffer.
pub const EVENT_BYTES: u32 = 256 * 1024;

/// Every map of the object.
pub const SHAPES: [Shape; 23] = [
    array(SETTINGS, size_of::<Settings>(), 1),
    array(POLICIES, size_of::<Policy>(), POLICY_SLOTS),
    array(BAN4_SUMMARY, 8, BAN.v4_words()),
    array(BAN6_SUMMARY, 8, BAN.v6_words()),
    shape(BAN4_HOST, Kind::Hash, 4, size_of::<BanValue>(), Sizing::Hosts, 0),
    shape(BAN6_HOST, Kind::Hash, 16, size_of::<BanValue>(), Sizing::Hosts, 0),
    trie(BAN4_PREFIX, 4, size_of::<BanValue>(), Sizing::Prefixes),
    trie(BAN6_PREFIX, 16, size_of::<BanValue>(), Sizing::Prefixes),
    array(ALLOW4_SUMMARY, 8, ALLOW.v4_words()),
    array(ALLOW6_SUMMARY, 8, ALLOW.v6_words()),
    trie(ALLOW4, 4, 8, Sizing::Allow),
    trie(ALLOW6, 16, 8, Sizing::Allow),
    array(SKETCH, 8, limit::ROWS << limit::ROW_LOG),
    shape(EXACT, Kind::LruHash, size_of::<LimitKey>(), 8, Sizing::Limits, 0),
    array(CELLS, 8, CELL_WORDS),
    array(COOKIES, 8, COOKIE_WORDS),
    shape(OWN, Kind::Hash, 16, 8, Sizing::Fixed(OWN_ADDRESSES), 0),
    shape(SYN_EXCHANGE, Kind::PerCpuArray, 4, size_of::<Exchange>(), Sizing::Fixed(1), 0),
    shape(SYN_PROGRAM, Kind::ProgArray, 4, 4, Sizing::Fixed(1), 0),
    per_cpu(COUNTERS, size_of::<Count>()),
    per_cpu(EVENT_TOKENS, size_of::<EventTokens>()),
    shape(EVENTS, Kind::RingBuf, 0, 0, Sizing::Fixed(EVENT_BYTES), 0),
    array(CLOCKS, size_of::<Clocks>(), 1),
];

/// The bytes of a key or value, and back.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "Pod is aya's promise that a type is its bytes")]
mod pod {
    use super::{BanValue, Clocks, Count, EventTokens, LimitKey, Policy, PrefixKey, Settings};

    // SAFETY: `repr(C)`, integers only, sizes asserted above: no padding, every pattern is valid.
    unsafe impl aya::Pod for Settings {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Policy {}
    // SAFETY: as above.
    unsafe impl aya::Pod for BanValue {}
    // SAFETY: as above, for the only two lengths in use.
    unsafe impl aya::Pod for PrefixKey<4> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PrefixKey<16> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for LimitKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Count {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EventTokens {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Clocks {}
}
