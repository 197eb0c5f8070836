//! Entries of the ban tables.

use core::mem::{offset_of, size_of};

use super::switch;

/// The sets that share the tables. A set is changed or exchanged without touching the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BanSet {
    /// Single bans that come and go one by one.
    Dynamic = 0,
    /// Bulk lists, first generation.
    BulkA = 1,
    /// Bulk lists, second generation.
    BulkB = 2,
}

impl BanSet {
    /// Number of sets.
    pub const COUNT: usize = 3;
    /// Every set, by number.
    pub const ALL: [Self; Self::COUNT] = [Self::Dynamic, Self::BulkA, Self::BulkB];

    /// The number in keys.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The generation that [`super::Settings::switch`] puts in force.
    #[inline(always)]
    pub const fn in_force(word: u32) -> Self {
        if word & switch::GENERATION_B == 0 { Self::BulkA } else { Self::BulkB }
    }

    /// The other generation.
    pub const fn other(self) -> Self {
        match self {
            Self::BulkA => Self::BulkB,
            Self::Dynamic | Self::BulkB => Self::BulkA,
        }
    }
}

/// A ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct BanValue {
    /// End on the tick clock; zero for ever.
    pub expires_ns: u64,
    /// Packets it met, at least: of two processors that count at one moment one may not show. What
    /// is counted by reason is exact.
    pub hits: u64,
    /// Number of the [`Reason`](crate::Reason) it was made for.
    pub reason: u16,
    /// Number of who asked for it.
    pub source: u8,
    /// Length of its own prefix: a trie lookup does not tell which entry it found.
    pub length: u8,
    /// When it last met a packet: the tick clock in units of two to the [`SEEN_SHIFT`] nanoseconds.
    /// Zero for never.
    pub last_seen: u32,
    /// Reserved by the next layout.
    #[cfg(feature = "layout-next")]
    pub generation: u64,
}

/// Nanoseconds to units of [`BanValue::last_seen`]: about a second, for 146 years.
pub const SEEN_SHIFT: u32 = 30;

const _: () = assert!(size_of::<BanValue>() == if cfg!(feature = "layout-next") { 32 } else { 24 });
const _: () = assert!(offset_of!(BanValue, hits) == 8);
const _: () = assert!(offset_of!(BanValue, reason) == 16);
const _: () = assert!(offset_of!(BanValue, length) == 19);
const _: () = assert!(offset_of!(BanValue, last_seen) == 20);

/// Key of a ban in a hash: an exact prefix of an exact set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct BanKey<const N: usize> {
    /// Bits past `length` are zero.
    pub address: [u8; N],
    /// Length of the prefix; all bits of the address for a single one.
    pub length: u8,
    /// Number of a [`BanSet`].
    pub set: u8,
    /// Always zero.
    pub zero: [u8; 2],
}

impl<const N: usize> BanKey<N> {
    /// The key of a prefix, whose host bits are zero.
    #[inline(always)]
    pub const fn new(set: BanSet, address: [u8; N], length: u8) -> Self {
        Self { address, length, set: set.number(), zero: [0; 2] }
    }
}

impl<const N: usize> Default for BanKey<N> {
    fn default() -> Self {
        Self::new(BanSet::Dynamic, [0; N], 0)
    }
}

const _: () = assert!(size_of::<BanKey<4>>() == 8);
const _: () = assert!(size_of::<BanKey<16>>() == 20);

/// What the trie of all sets goes by: the set, then the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct TailPath {
    /// Number of a [`BanSet`].
    pub set: u8,
    /// Always zero.
    pub zero: [u8; 3],
    /// Bits past the length are zero.
    pub address: [u8; 16],
}

/// Key of a ban in the trie of all sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C)]
pub struct TailKey {
    /// Bits that count, those before the address among them.
    pub length: u32,
    /// The set and the address.
    pub path: TailPath,
}

impl TailKey {
    /// Bits before the address.
    pub const SET_BITS: u32 = 32;

    /// The key of a prefix in a set.
    #[inline(always)]
    pub const fn new(set: BanSet, address: [u8; 16], length: u32) -> Self {
        let path = TailPath { set: set.number(), zero: [0; 3], address };
        Self { length: Self::SET_BITS + length, path }
    }
}

const _: () = assert!(size_of::<TailKey>() == 24);

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
