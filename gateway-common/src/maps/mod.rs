//! The maps: names, keys, values and sizes. Any change in this folder raises [`LAYOUT_VERSION`]; a daemon
//! reuses pinned maps only if version and shape are exactly equal.

mod bans;
mod cookies;
mod flows;
mod interfaces;
mod limits;
mod ports;
mod seen;
mod settings;
mod shape;

use core::mem::size_of;

use self::shape::{array, mapped, per_cpu, shape, trie};
pub use self::{
    bans::{BanKey, BanSet, BanValue, PrefixKey, SEEN_SHIFT, TailKey, TailPath},
    cookies::{
        COOKIE_WORDS, CookiePolicy, OFFER_CELL, OWN_ADDRESSES, Offer, SENT_CELL, SYN_CELL,
        UNTIL_CELL,
    },
    flows::FlowKey,
    interfaces::{COUNTER_ENTRIES, INTERFACE_INDEXES, INTERFACE_SLOTS, counter_index},
    limits::{LimitKey, family},
    ports::{PORT_WORDS, PortSet, port_bit, port_word},
    seen::{Clocks, Count, EventTokens},
    settings::{POLICY_SLOTS, Policy, Settings, flag, switch},
    shape::{Kind, MMAPABLE, NO_PREALLOC, Room, Shape, Sizing},
};
use crate::{cover, limit, reason::PACKET_REASONS, summary::ALLOW};

/// Version of everything in this folder; part of the pins' folder name.
pub const LAYOUT_VERSION: u32 = if cfg!(feature = "layout-next") { 3 } else { 2 };

/// Name of the XDP program.
pub const PROGRAM: &str = "gateway";

/// Name of the program that sees what this host sends.
pub const EGRESS_PROGRAM: &str = "gateway_egress";

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
/// Which IPv4 /24s have bans of which set ([`cover::Group4`]).
pub const BAN4_SUMMARY: &str = "BAN4_SUMMARY";
/// What touches an IPv4 /24 ([`cover::Detail4`]).
pub const BAN4_DETAIL: &str = "BAN4_DETAIL";
/// Which hashed IPv6 /48s and /32s have any bans ([`cover::fine_summary6`]).
pub const BAN6_SUMMARY: &str = "BAN6_SUMMARY";
/// What touches a hashed IPv6 /48 ([`cover::Kinds6`]).
pub const BAN6_FINE: &str = "BAN6_FINE";
/// What touches a hashed IPv6 /32.
pub const BAN6_COARSE: &str = "BAN6_COARSE";
/// [`BanKey`] → [`BanValue`], IPv4.
pub const BAN4: &str = "BAN4";
/// The same of the IPv6 lengths in [`cover::HASHED6`].
pub const BAN6: &str = "BAN6";
/// [`TailKey`] → [`BanValue`]: all other IPv6 lengths.
pub const BAN6_TAIL: &str = "BAN6_TAIL";
/// Bitmap of IPv4 neighbourhoods with allowed prefixes ([`ALLOW`]).
pub const ALLOW4_SUMMARY: &str = "ALLOW4_SUMMARY";
/// Bitmap of IPv6 neighbourhoods with allowed prefixes.
pub const ALLOW6_SUMMARY: &str = "ALLOW6_SUMMARY";
/// Allowed IPv4 prefixes.
pub const ALLOW4: &str = "ALLOW4";
/// Allowed IPv6 prefixes.
pub const ALLOW6: &str = "ALLOW6";
/// Cells of the limits' sketch, row after row.
pub const SKETCH: &str = "SKETCH";
/// [`limit::Lease`]s of the sketch, per CPU.
pub const LEASES: &str = "LEASES";
/// Exact arrival times of sources over the sketch: [`LimitKey`] → nanoseconds.
pub const EXACT: &str = "EXACT";
/// Single words: [`ALLOW_CELL`], [`INSERT_CELL`].
pub const CELLS: &str = "CELLS";
/// Words of the SYN cookies: [`SYN_CELL`], [`UNTIL_CELL`], [`SENT_CELL`], [`OFFER_CELL`].
pub const COOKIES: &str = "COOKIES";
/// Addresses of this machine; an IPv4 address stands in the first four bytes.
pub const OWN: &str = "OWN";
/// One slot: the program that answers SYNs, or none.
pub const SYN_PROGRAM: &str = "SYN_PROGRAM";
/// Bitmaps of ports ([`PortSet`]), [`PORT_WORDS`] a slot of policy.
pub const PORTS: &str = "PORTS";
/// Flows this host asked for: [`FlowKey`] → when that was last seen, on the tick clock.
pub const FLOWS: &str = "FLOWS";
/// Slot in [`COUNTERS`] by interface index.
pub const INTERFACES: &str = "INTERFACES";
/// [`Count`] by [`counter_index`], per CPU.
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
pub const SHAPES: [Shape; 28] = [
    array(SETTINGS, size_of::<Settings>(), 1),
    array(POLICIES, size_of::<Policy>(), POLICY_SLOTS),
    mapped(BAN4_SUMMARY, size_of::<cover::Group4>(), cover::SUMMARY4_GROUPS),
    mapped(BAN4_DETAIL, 8, cover::DETAIL4_WORDS),
    mapped(BAN6_SUMMARY, 8, cover::SUMMARY6_WORDS),
    mapped(BAN6_FINE, 8, 1 << (cover::FINE6_LOG - 1)),
    mapped(BAN6_COARSE, 8, 1 << (cover::COARSE6_LOG - 1)),
    shape(BAN4, Kind::Hash, size_of::<BanKey<4>>(), size_of::<BanValue>(), Sizing::Bans, 0),
    shape(BAN6, Kind::Hash, size_of::<BanKey<16>>(), size_of::<BanValue>(), Sizing::Bans, 0),
    trie(BAN6_TAIL, 20, size_of::<BanValue>(), Sizing::Tail),
    array(ALLOW4_SUMMARY, 8, ALLOW.v4_words()),
    array(ALLOW6_SUMMARY, 8, ALLOW.v6_words()),
    trie(ALLOW4, 4, 8, Sizing::Allow),
    trie(ALLOW6, 16, 8, Sizing::Allow),
    array(SKETCH, 8, limit::SKETCH_CELLS),
    per_cpu(LEASES, size_of::<limit::Lease>(), limit::LEASES),
    shape(EXACT, Kind::LruHash, size_of::<LimitKey>(), 8, Sizing::Limits, 0),
    array(CELLS, 8, CELL_WORDS),
    array(COOKIES, 8, COOKIE_WORDS),
    shape(OWN, Kind::Hash, 16, 8, Sizing::Fixed(OWN_ADDRESSES), 0),
    shape(SYN_PROGRAM, Kind::ProgArray, 4, 4, Sizing::Fixed(1), 0),
    array(PORTS, 8, POLICY_SLOTS * PORT_WORDS),
    shape(FLOWS, Kind::LruHash, size_of::<FlowKey>(), 8, Sizing::Flows, 0),
    array(INTERFACES, 4, INTERFACE_INDEXES),
    per_cpu(COUNTERS, size_of::<Count>(), COUNTER_ENTRIES),
    per_cpu(EVENT_TOKENS, size_of::<EventTokens>(), REASONS),
    shape(EVENTS, Kind::RingBuf, 0, 0, Sizing::Fixed(EVENT_BYTES), 0),
    array(CLOCKS, size_of::<Clocks>(), 1),
];

/// The bytes of a key or value, and back.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "Pod is aya's promise that a type is its bytes")]
mod pod {
    use super::{
        BanKey, BanValue, Clocks, Count, EventTokens, FlowKey, LimitKey, Policy, PrefixKey,
        Settings, TailKey,
    };

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
    // SAFETY: as above, for the only two lengths in use.
    unsafe impl aya::Pod for BanKey<4> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for BanKey<16> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for TailKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for LimitKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FlowKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Count {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EventTokens {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Clocks {}
}
