//! Entries of the ban tables.

use core::mem::{offset_of, size_of};

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
