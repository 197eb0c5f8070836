//! The bitmaps before the tables: a clear bit ends the lookup.

use crate::summary::{self, Summary};

/// The bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitmap {
    /// Neighbourhoods with allowed IPv4 prefixes.
    Allow4,
    /// Neighbourhoods with allowed IPv6 prefixes.
    Allow6,
}

/// Where the bitmaps are.
pub trait BitmapTables {
    /// A word of a bitmap.
    fn bitmap(&self, bitmap: Bitmap, word: u32) -> u64;
    /// Does nothing; see [`crate::packet::PacketBytes::settle`].
    #[inline(always)]
    fn settle(&self) {}
}

#[inline(always)]
pub(super) fn is_set<T: BitmapTables>(tables: &T, bitmap: Bitmap, bucket: u32) -> bool {
    let (word, bit) = summary::position(bucket);
    tables.bitmap(bitmap, word) & bit != 0
}

#[inline(always)]
pub(super) fn in_bitmap6<T: BitmapTables>(
    tables: &T,
    bitmap: Bitmap,
    geometry: Summary,
    address: [u8; 16],
    wide: bool,
) -> bool {
    wide || is_set(tables, bitmap, geometry.v6_bucket(address))
}
