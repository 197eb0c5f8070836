//! The maps: names, keys, values and sizes. Any change here raises [`LAYOUT_VERSION`]; a daemon
//! reuses pinned maps only if version and shape are exactly equal.

use core::mem::{offset_of, size_of};

use crate::{
    Reason,
    limit::{self, Limit, RowKeys},
    reason::PACKET_REASONS,
    summary::{ALLOW, BAN},
};

/// Version of everything in this file; part of the pins' folder name.
pub const LAYOUT_VERSION: u32 = if cfg!(feature = "layout-next") { 2 } else { 1 };

/// Name of the XDP program.
pub const PROGRAM: &str = "gateway";

/// Name of the program that reads both clocks.
pub const CLOCKS_PROGRAM: &str = "clocks";

/// One [`Settings`].
pub const SETTINGS: &str = "SETTINGS";
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

/// What the kernel program runs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Settings {
    /// Nanoseconds of one jiffy.
    pub tick_ns: u64,
    /// Bit by number of [`Reason`]: set where the configured answer is to drop.
    pub drops: u64,
    /// Limit of one source.
    pub packets: Limit,
    /// Limit of all allowed sources together.
    pub allow: Limit,
    /// New entries of [`EXACT`].
    pub inserts: Limit,
    /// Keys of the sketch.
    pub rows: [RowKeys; limit::ROWS as usize],
    /// [`flag`] bits.
    pub flags: u32,
    /// Events a second, per reason and CPU.
    pub events: u32,
}

/// Bits of [`Settings::flags`].
pub mod flag {
    /// Count what would be dropped and pass it.
    pub const SHADOW: u32 = 1;
    /// Pass everything.
    pub const PANIC: u32 = 2;
    /// There are IPv6 bans wider than a neighbourhood of the bitmap.
    pub const BAN6_WIDE: u32 = 4;
    /// There are allowed IPv6 prefixes wider than a neighbourhood of the bitmap.
    pub const ALLOW6_WIDE: u32 = 8;
}

impl Shape {
    /// Entries of the map when `[kernel.capacity]` says this.
    pub const fn entries(&self, hosts: u32, prefixes: u32, allow: u32, limits: u32) -> u32 {
        match self.sizing {
            Sizing::Fixed(entries) => entries,
            Sizing::Hosts => hosts,
            Sizing::Prefixes => prefixes,
            Sizing::Allow => allow,
            Sizing::Limits => limits,
        }
    }
}

impl Settings {
    /// True if all the bits of `flag` are set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }

    /// True if packets with this finding are dropped.
    #[inline(always)]
    pub const fn drops(&self, reason: Reason) -> bool {
        (self.drops >> (reason.number() & 63)) & 1 == 1
    }
}

const _: () = assert!(size_of::<Settings>() == 16 + 3 * 24 + 2 * 32 + 8);
const _: () = assert!(offset_of!(Settings, rows) == 88);
const _: () = assert!(offset_of!(Settings, flags) == 152);
const _: () = assert!(PACKET_REASONS == 64);

/// A ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct BanValue {
    /// End on the tick clock; zero for ever.
    pub expires_ns: u64,
    /// Packets it met, atomically counted.
    pub hits: u64,
    /// Number of the [`Reason`] it was made for.
    pub reason: u16,
    /// Number of who asked for it.
    pub source: u8,
    /// Length of its own prefix: a trie lookup does not tell which entry it found.
    pub length: u8,
    /// Always zero.
    pub zero: u32,
    /// Reserved by the next layout.
    #[cfg(feature = "layout-next")]
    pub generation: u64,
}

const _: () = assert!(size_of::<BanValue>() == if cfg!(feature = "layout-next") { 32 } else { 24 });
const _: () = assert!(offset_of!(BanValue, hits) == 8);
const _: () = assert!(offset_of!(BanValue, reason) == 16);
const _: () = assert!(offset_of!(BanValue, length) == 19);

/// Key of a trie: how many bits count, then the address in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PrefixKey<const N: usize> {
    /// Bits that count.
    pub length: u32,
    /// Bits past `length` are zero.
    pub address: [u8; N],
}

impl<const N: usize> Default for PrefixKey<N> {
    fn default() -> Self {
        Self { length: 0, address: [0; N] }
    }
}

const _: () = assert!(size_of::<PrefixKey<4>>() == 8);
const _: () = assert!(size_of::<PrefixKey<16>>() == 20);

/// Whom a limit counts: an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(C)]
pub struct LimitKey {
    /// Network order; an IPv4 address stands in the first four bytes.
    pub prefix: [u8; 8],
    /// 4 or 6.
    pub family: u32,
}

const _: () = assert!(size_of::<LimitKey>() == 12);

/// What was counted for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// All packets of this reason.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Those of them that only shadow mode let pass.
    pub shadow_packets: u64,
}

const _: () = assert!(size_of::<Count>() == 24);

/// How many events of a reason a CPU sent in the current second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct EventTokens {
    /// Start of the second, on the tick clock.
    pub since_ns: u64,
    /// Events sent in it.
    pub sent: u32,
    /// Always zero.
    pub zero: u32,
    /// Events lost since load because the ring was full.
    pub lost: u64,
}

const _: () = assert!(size_of::<EventTokens>() == 24);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Clocks {
    /// `jiffies64`.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
}

const _: () = assert!(size_of::<Clocks>() == 16);

/// Kernel types of maps, by their number in the system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`
    Array = 2,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie = 11,
    /// `BPF_MAP_TYPE_RINGBUF`
    RingBuf = 27,
}

/// Which key of `[kernel.capacity]` sizes a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizing {
    /// As many entries as stand here.
    Fixed(u32),
    /// `hosts`
    Hosts,
    /// `prefixes`
    Prefixes,
    /// `allow`
    Allow,
    /// `limits`
    Limits,
}

/// The shape of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Name in the object and of the pin.
    pub name: &'static str,
    /// Kernel type.
    pub kind: Kind,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Entries, or bytes of a ring buffer.
    pub sizing: Sizing,
    /// Creation flags.
    pub flags: u32,
}

/// `BPF_F_NO_PREALLOC`, which tries must have.
pub const NO_PREALLOC: u32 = 1;

const fn array(name: &'static str, value: usize, entries: u32) -> Shape {
    shape(name, Kind::Array, 4, value, Sizing::Fixed(entries), 0)
}

const fn per_cpu(name: &'static str, value: usize) -> Shape {
    shape(name, Kind::PerCpuArray, 4, value, Sizing::Fixed(REASONS), 0)
}

const fn trie(name: &'static str, address: usize, value: usize, sizing: Sizing) -> Shape {
    shape(name, Kind::LpmTrie, 4 + address, value, sizing, NO_PREALLOC)
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
const fn shape(
    name: &'static str,
    kind: Kind,
    key: usize,
    value: usize,
    sizing: Sizing,
    flags: u32,
) -> Shape {
    Shape { name, kind, key: key as u32, value: value as u32, sizing, flags }
}

/// Every map of the object.
pub const SHAPES: [Shape; 18] = [
    array(SETTINGS, size_of::<Settings>(), 1),
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
    per_cpu(COUNTERS, size_of::<Count>()),
    per_cpu(EVENT_TOKENS, size_of::<EventTokens>()),
    shape(EVENTS, Kind::RingBuf, 0, 0, Sizing::Fixed(EVENT_BYTES), 0),
    array(CLOCKS, size_of::<Clocks>(), 1),
];

/// The bytes of a key or value, and back.
#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "Pod is aya's promise that a type is its bytes")]
mod pod {
    use super::{BanValue, Clocks, Count, EventTokens, LimitKey, PrefixKey, Settings};

    // SAFETY: `repr(C)`, integers only, sizes asserted above: no padding, every pattern is valid.
    unsafe impl aya::Pod for Settings {}
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
