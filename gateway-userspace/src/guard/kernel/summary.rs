//! Reference counts behind the bitmaps of allowed prefixes. The kernel asks a bit before any table, so a clear
//! bit must mean that no entry touches the neighbourhood, at every moment: bits are set after the
//! entry is there and cleared after it is gone.

use std::collections::{BTreeSet, HashMap};

use gateway_common::{
    maps::PrefixKey,
    summary::{Summary, position},
};

use super::{
    filter::KernelError,
    list::{Key, Marks},
};

/// What an entry touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// So many buckets from the first.
    Buckets { first: u32, count: u32 },
    /// More than the bitmap can say: a flag makes the kernel look up always.
    Wide,
}

/// A key that shows in a bitmap.
pub(super) trait Covers: Key {
    /// What it touches.
    fn coverage(&self, geometry: Summary) -> Coverage;
}

impl Covers for PrefixKey<4> {
    fn coverage(&self, geometry: Summary) -> Coverage {
        let length = u8::try_from(self.length).unwrap_or(32);
        let (first, count) = geometry.v4_range(self.address, length);
        Coverage::Buckets { first, count }
    }
}

impl Covers for PrefixKey<16> {
    fn coverage(&self, geometry: Summary) -> Coverage {
        if self.length < u32::from(geometry.v6_length) {
            return Coverage::Wide;
        }
        Coverage::Buckets { first: geometry.v6_bucket(self.address), count: 1 }
    }
}

/// Where the words of a bitmap go, and the flag for what it cannot show.
pub(super) trait Words {
    /// Writes `words[i]` at `indexes[i]`.
    fn write(&mut self, indexes: &[u32], words: &[u64]) -> Result<(), KernelError>;
    /// Switches "look up always".
    fn write_wide(&mut self, wide: bool) -> Result<(), KernelError>;
}

/// A bitmap with its counts.
#[derive(Debug)]
pub(super) struct Counted<W> {
    geometry: Summary,
    counts: HashMap<u32, u32>,
    bits: Vec<u64>,
    wide: u32,
    wide_written: bool,
    dirty: BTreeSet<u32>,
    words: W,
}

impl<W: Words> Counted<W> {
    /// `length` words, all zero, as in a fresh map.
    pub(super) fn new(geometry: Summary, length: u32, words: W) -> Self {
        Self {
            geometry,
            counts: HashMap::new(),
            bits: vec![0; length as usize],
            wide: 0,
            wide_written: false,
            dirty: BTreeSet::new(),
            words,
        }
    }

    fn change(&mut self, bucket: u32, set: bool) {
        let (index, bit) = position(bucket);
        let Some(word) = self.bits.get_mut(index as usize) else { return };
        *word = if set { *word | bit } else { *word & !bit };
        self.dirty.insert(index);
    }

    /// Writes every word, whatever the kernel holds.
    pub(super) fn flush_all(&mut self) -> Result<(), KernelError> {
        self.dirty.extend(0..u32::try_from(self.bits.len()).unwrap_or(u32::MAX));
        self.wide_written = self.wide == 0;
        self.write_dirty()
    }

    /// Writes what changed. On an error the changes stay noted for the next time.
    fn write_dirty(&mut self) -> Result<(), KernelError> {
        let wide = self.wide > 0;
        if wide != self.wide_written {
            self.words.write_wide(wide)?;
            self.wide_written = wide;
        }
        if self.dirty.is_empty() {
            return Ok(());
        }
        let indexes: Vec<u32> = self.dirty.iter().copied().collect();
        let bits = &self.bits;
        let words: Vec<u64> =
            indexes.iter().map(|index| bits.get(*index as usize).copied().unwrap_or(0)).collect();
        self.words.write(&indexes, &words)?;
        self.dirty.clear();
        Ok(())
    }
}

impl<K: Covers, W: Words> Marks<K> for Counted<W> {
    fn cover(&mut self, key: &K) {
        let Coverage::Buckets { first, count } = key.coverage(self.geometry) else {
            self.wide += 1;
            return;
        };
        for bucket in first..first.saturating_add(count) {
            let entries = self.counts.entry(bucket).or_insert(0);
            *entries += 1;
            if *entries == 1 {
                self.change(bucket, true);
            }
        }
    }

    fn uncover(&mut self, key: &K) {
        let Coverage::Buckets { first, count } = key.coverage(self.geometry) else {
            self.wide = self.wide.saturating_sub(1);
            return;
        };
        for bucket in first..first.saturating_add(count) {
            let Some(entries) = self.counts.get_mut(&bucket) else { continue };
            *entries -= 1;
            if *entries == 0 {
                self.counts.remove(&bucket);
                self.change(bucket, false);
            }
        }
    }

    fn flush(&mut self) -> Result<(), KernelError> {
        self.write_dirty()
    }
}
