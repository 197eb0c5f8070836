//! Marks of the dynamic bans, which go one by one: counted, so that a mark is cleared with the
//! last ban that needs it.

use std::collections::{BTreeSet, HashMap, HashSet};

use gateway_common::{
    cover::{self, Detail4},
    maps::{BanKey, BanSet, TailKey},
};

use super::{Cells, Mark6, Sheet4, Sheet6, each_mark6, with};
use crate::guard::kernel::{filter::KernelError, list::Marks};

/// The narrowest prefix that covers whole /24s.
const COVER: u8 = 24;

/// Bits of a [`Detail4`].
const BITS: usize = u16::BITS as usize;

/// Those of IPv4.
#[derive(Debug)]
pub(in crate::guard::kernel) struct Counted4<C> {
    sheet: Sheet4<C>,
    /// Bans inside a /24, by the bit of [`Detail4::inside`] that stands for them.
    inside: HashMap<u32, [u16; BITS]>,
    /// Prefixes of /24s and more.
    covers: HashSet<([u8; 4], u8)>,
}

impl<C: Cells> Counted4<C> {
    pub(in crate::guard::kernel) fn new(sheet: Sheet4<C>) -> Self {
        Self { sheet, inside: HashMap::new(), covers: HashSet::new() }
    }

    /// Takes back marks that a guard who died half-way left for nothing. A filter is at work on
    /// them: each is written as it shall be, never cleared first.
    pub(in crate::guard::kernel) fn settle(&self) {
        let lengths: BTreeSet<u8> = self.covers.iter().map(|(_, length)| *length).collect();
        self.sheet.each_marked(BanSet::Dynamic, |bucket| {
            let expected = self.expected(bucket, &lengths);
            self.sheet.write(BanSet::Dynamic, bucket, expected);
        });
    }

    fn expected(&self, bucket: u32, lengths: &BTreeSet<u8>) -> Detail4 {
        let address = (bucket << 8).to_be_bytes();
        let inside = self.inside.get(&bucket).copied().unwrap_or_default();
        let present = (0..).zip(inside).filter(|(_, count)| *count > 0);
        let bits = present.fold(0, |bits, (number, _): (u32, _)| bits | 1 << number);
        Detail4(bits).covered_by(self.around(address, lengths.iter().copied()))
    }

    fn count(&mut self, key: BanKey<4>, step: impl Fn(u16) -> u16) {
        let bucket = cover::bucket4(key.address);
        let counts = self.inside.entry(bucket).or_default();
        let bit = Detail4::inside(BanSet::Dynamic, key.address, key.length);
        let Some(count) = counts.get_mut(bit.trailing_zeros() as usize) else { return };
        *count = step(*count);
        let (is_left, is_empty) = (*count > 0, counts.iter().all(|count| *count == 0));
        let old = self.sheet.detail(BanSet::Dynamic, bucket);
        let new = Detail4(if is_left { old.0 | bit } else { old.0 & !bit });
        if is_empty {
            self.inside.remove(&bucket);
        }
        self.sheet.write(BanSet::Dynamic, bucket, new);
    }

    fn uncover_range(&mut self, key: BanKey<4>) {
        self.covers.remove(&(key.address, key.length));
        let parent = self.around(key.address, 1..key.length);
        let (first, count) = cover::range4(key.address, key.length);
        for bucket in first..first + count {
            let old = self.sheet.detail(BanSet::Dynamic, bucket);
            // Where a longer one covers, it still does.
            if old.cover() == u32::from(key.length) {
                self.sheet.write(BanSet::Dynamic, bucket, old.covered_by(parent));
            }
        }
    }

    /// The longest of these lengths, ordered, of which a prefix is around this address; zero for
    /// none.
    fn around(&self, address: [u8; 4], lengths: impl DoubleEndedIterator<Item = u8>) -> u8 {
        let address = u32::from_be_bytes(address);
        let covers = |length: &u8| {
            let masked = address & u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
            self.covers.contains(&(masked.to_be_bytes(), *length))
        };
        lengths.rev().find(covers).unwrap_or(0)
    }
}

impl<C: Cells> Marks<BanKey<4>> for Counted4<C> {
    fn cover(&mut self, key: &BanKey<4>) {
        if key.length > COVER {
            self.count(*key, |count| count.saturating_add(1));
            return;
        }
        self.covers.insert((key.address, key.length));
        let (first, count) = cover::range4(key.address, key.length);
        for bucket in first..first + count {
            let old = self.sheet.detail(BanSet::Dynamic, bucket);
            self.sheet.write(
                BanSet::Dynamic,
                bucket,
                with(BanSet::Dynamic, old, key.address, key.length),
            );
        }
    }

    fn uncover(&mut self, key: &BanKey<4>) {
        if key.length > COVER {
            self.count(*key, |count| count.saturating_sub(1));
        } else {
            self.uncover_range(*key);
        }
    }

    fn flush(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
}

/// Those of IPv6.
#[derive(Debug)]
pub(in crate::guard::kernel) struct Counted6<C> {
    sheet: Sheet6<C>,
    counts: HashMap<Mark6, u32>,
}

impl<C: Cells> Counted6<C> {
    pub(in crate::guard::kernel) fn new(sheet: Sheet6<C>) -> Self {
        Self { sheet, counts: HashMap::new() }
    }

    /// Takes back marks that a guard who died half-way left for nothing.
    pub(in crate::guard::kernel) fn settle(&self) {
        self.sheet.each_marked(BanSet::Dynamic, |mark| {
            if !self.counts.contains_key(&mark) {
                self.sheet.write(BanSet::Dynamic, mark, false);
            }
        });
    }

    fn cover_net(&mut self, address: [u8; 16], length: u8) {
        let Self { sheet, counts } = self;
        each_mark6(address, length, |mark| {
            let count = counts.entry(mark).or_insert(0);
            *count += 1;
            sheet.write(BanSet::Dynamic, mark, true);
        });
    }

    fn uncover_net(&mut self, address: [u8; 16], length: u8) {
        let Self { sheet, counts } = self;
        each_mark6(address, length, |mark| {
            let Some(count) = counts.get_mut(&mark) else { return };
            *count -= 1;
            if *count == 0 {
                counts.remove(&mark);
                sheet.write(BanSet::Dynamic, mark, false);
            }
        });
    }
}

impl<C: Cells> Marks<BanKey<16>> for Counted6<C> {
    fn cover(&mut self, key: &BanKey<16>) {
        self.cover_net(key.address, key.length);
    }

    fn uncover(&mut self, key: &BanKey<16>) {
        self.uncover_net(key.address, key.length);
    }

    fn flush(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
}

impl<C: Cells> Marks<TailKey> for Counted6<C> {
    fn cover(&mut self, key: &TailKey) {
        self.cover_net(key.path.address, tail_length(key));
    }

    fn uncover(&mut self, key: &TailKey) {
        self.uncover_net(key.path.address, tail_length(key));
    }

    fn flush(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
}

/// Bits of the address that count.
fn tail_length(key: &TailKey) -> u8 {
    u8::try_from(key.length.saturating_sub(TailKey::SET_BITS)).unwrap_or(128)
}
