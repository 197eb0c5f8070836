//! The words before the tables of bans: where the guard writes what `gateway_common::cover` reads.
//! An entry is in its table before its marks are set, and out of it before they are cleared.

mod counted;

use std::sync::{Arc, Mutex, PoisonError};

use gateway_common::{
    cover::{self, Detail4, Kinds6, Place6},
    maps::BanSet,
};

pub(super) use counted::{Counted4, Counted6};

/// Words that several threads change, each its own bits.
pub(super) trait Cells {
    fn get(&self, word: u32) -> u64;
    /// Makes the bits of `mask` those of `bits`.
    fn change(&self, word: u32, mask: u64, bits: u64);
}

/// /24s of a group.
const BUCKETS: u32 = 64;

/// The marks of IPv4.
#[derive(Debug)]
pub(super) struct Sheet4<C> {
    pub(super) summary: Arc<C>,
    pub(super) detail: Arc<C>,
}

impl<C> Clone for Sheet4<C> {
    fn clone(&self) -> Self {
        Self { summary: Arc::clone(&self.summary), detail: Arc::clone(&self.detail) }
    }
}

impl<C: Cells> Sheet4<C> {
    pub(super) fn detail(&self, set: BanSet, bucket: u32) -> Detail4 {
        let (word, shift) = cover::detail4(set, bucket);
        let [.., upper, lower] = (self.detail.get(word) >> shift).to_be_bytes();
        Detail4(u16::from_be_bytes([upper, lower]))
    }

    /// Says what touches a /24. The summary sends packets to the detail: it is set after and
    /// cleared before it.
    pub(super) fn write(&self, set: BanSet, bucket: u32, detail: Detail4) {
        let (word, shift) = cover::detail4(set, bucket);
        let (group, bit) = cover::summary4(bucket);
        let summary = group * cover::GROUP4_WORDS + cover::touched4(set);
        let (mask, bits) = (u64::from(u16::MAX) << shift, u64::from(detail.0) << shift);
        if detail.0 == 0 {
            self.summary.change(summary, bit, 0);
            self.detail.change(word, mask, bits);
        } else {
            self.detail.change(word, mask, bits);
            self.summary.change(summary, bit, bit);
        }
    }

    /// Marks a prefix in a set where none is ever taken out alone.
    pub(super) fn mark(&self, set: BanSet, address: [u8; 4], length: u8) {
        let (first, count) = cover::range4(address, length);
        for bucket in first..first + count {
            let old = self.detail(set, bucket);
            self.write(set, bucket, with(set, old, address, length));
            self.point(set, bucket, address, length, true);
        }
    }

    /// What the group of a generation's /24 says beyond its being touched.
    fn point(&self, set: BanSet, bucket: u32, address: [u8; 4], length: u8, on: bool) {
        let (group, bucket) = cover::summary4(bucket);
        let (word, bit) = match length {
            32 => (cover::hosts4(set), cover::host4(address)),
            _ => (cover::wider4(set), bucket),
        };
        if let Some(word) = word {
            self.summary.change(group * cover::GROUP4_WORDS + word, bit, if on { bit } else { 0 });
        }
    }

    /// Every /24 with a mark in a set.
    pub(super) fn each_marked(&self, set: BanSet, mut each: impl FnMut(u32)) {
        for group in 0..cover::SUMMARY4_GROUPS {
            let (first, _) = cover::detail4(set, group * BUCKETS);
            let details = (first..first + BUCKETS / 4).any(|word| self.detail.get(word) != 0);
            let summary = self.summary.get(group * cover::GROUP4_WORDS + cover::touched4(set));
            if details || summary != 0 {
                let all = group * BUCKETS..(group + 1) * BUCKETS;
                all.filter(|bucket| {
                    summary & cover::summary4(*bucket).1 != 0 || self.detail(set, *bucket).0 != 0
                })
                .for_each(&mut each);
            }
        }
    }

    /// Takes back [`Self::mark`], in a set that no packet reads.
    pub(super) fn unmark(&self, set: BanSet, address: [u8; 4], length: u8) {
        let (first, count) = cover::range4(address, length);
        for bucket in first..first + count {
            self.write(set, bucket, Detail4::default());
            self.point(set, bucket, address, length, false);
        }
    }

    /// Clears all of a set that no packet reads.
    pub(super) fn clear(&self, set: BanSet) {
        for group in 0..cover::SUMMARY4_GROUPS {
            let first = group * cover::GROUP4_WORDS;
            let words = [Some(cover::touched4(set)), cover::wider4(set), cover::hosts4(set)];
            for word in words.into_iter().flatten() {
                self.summary.change(first + word, u64::MAX, 0);
            }
        }
        let (first, _) = cover::detail4(set, 0);
        let words = cover::DETAIL4_WORDS / u32::try_from(BanSet::COUNT).unwrap_or(1);
        for word in first..first + words {
            if self.detail.get(word) != 0 {
                self.detail.change(word, u64::MAX, 0);
            }
        }
    }
}

/// The same with a prefix of this length more.
pub(super) fn with(set: BanSet, detail: Detail4, address: [u8; 4], length: u8) -> Detail4 {
    if length > 24 {
        return Detail4(detail.0 | Detail4::inside(set, address, length));
    }
    if u32::from(length) > detail.cover() { detail.covered_by(length) } else { detail }
}

/// The marks of IPv6.
#[derive(Debug)]
pub(super) struct Sheet6<C> {
    summary: Arc<C>,
    fine: Arc<C>,
    coarse: Arc<C>,
    /// Held from a change of a bucket to that of its bit in the summary, which all sets share: one
    /// thread must not clear it while another marks the bucket.
    order: Arc<Mutex<()>>,
}

impl<C> Clone for Sheet6<C> {
    fn clone(&self) -> Self {
        Self {
            summary: Arc::clone(&self.summary),
            fine: Arc::clone(&self.fine),
            coarse: Arc::clone(&self.coarse),
            order: Arc::clone(&self.order),
        }
    }
}

/// A bit of one of the two tables of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark6 {
    fine: bool,
    bucket: u32,
    kind: u8,
}

impl<C: Cells> Sheet6<C> {
    pub(super) fn new(summary: Arc<C>, fine: Arc<C>, coarse: Arc<C>) -> Self {
        Self { summary, fine, coarse, order: Arc::default() }
    }

    pub(super) fn write(&self, set: BanSet, mark: Mark6, on: bool) {
        let (_, shift) = cover::kinds6(set, 0);
        self.change(mark.fine, mark.bucket, u32::from(mark.kind) << shift, on);
    }

    /// Changes bits of a bucket. The summary sends packets to it: set after and cleared before.
    fn change(&self, fine: bool, bucket: u32, bits: u32, on: bool) {
        let (cells, (sign, bit)) = if fine {
            (&self.fine, cover::fine_summary6(bucket))
        } else {
            (&self.coarse, cover::coarse_summary6(bucket))
        };
        let (word, shift) = cover::bucket6(bucket);
        let (bits, all) = (u64::from(bits) << shift, u64::from(u32::MAX) << shift);
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if on {
            cells.change(word, bits, bits);
            self.summary.change(sign, bit, bit);
        } else {
            if cells.get(word) & all & !bits == 0 {
                self.summary.change(sign, bit, 0);
            }
            cells.change(word, bits, 0);
        }
    }

    /// Marks a prefix in a set where none is ever taken out alone.
    pub(super) fn mark(&self, set: BanSet, address: [u8; 16], length: u8) {
        self.write_near(set, address, length, true);
        each_mark6(address, length, |mark| self.write(set, mark, true));
    }

    /// In which part of its /48 a generation has a longer prefix.
    fn write_near(&self, set: BanSet, address: [u8; 16], length: u8, on: bool) {
        if let (true, Some(bit)) = (cover::has_near6(length), cover::near6(set, address)) {
            self.change(true, cover::fine6(address), bit, on);
        }
    }

    /// Every mark of a set.
    pub(super) fn each_marked(&self, set: BanSet, mut each: impl FnMut(Mark6)) {
        for (fine, cells, log) in self.tables() {
            for bucket in 0..1 << log {
                let (word, shift) = cover::kinds6(set, bucket);
                let [.., kinds] = (cells.get(word) >> shift).to_be_bytes();
                let kinds = (0..8).map(|bit| kinds & 1 << bit).filter(|kind| *kind != 0);
                kinds.for_each(|kind| each(Mark6 { fine, bucket, kind }));
            }
        }
    }

    fn tables(&self) -> [(bool, &Arc<C>, u32); 2] {
        [(true, &self.fine, cover::FINE6_LOG), (false, &self.coarse, cover::COARSE6_LOG)]
    }

    /// Takes back [`Self::mark`], in a set that no packet reads.
    pub(super) fn unmark(&self, set: BanSet, address: [u8; 16], length: u8) {
        each_mark6(address, length, |mark| self.write(set, mark, false));
        self.write_near(set, address, length, false);
    }

    /// Clears all of a set that no packet reads.
    pub(super) fn clear(&self, set: BanSet) {
        let bits = 0xff << (u32::from(set.number()) * 8) | cover::all_near6(set);
        for (fine, cells, log) in self.tables() {
            for bucket in 0..1 << log {
                let (word, shift) = cover::bucket6(bucket);
                if cells.get(word) >> shift & u64::from(bits) != 0 {
                    self.change(fine, bucket, bits, false);
                }
            }
        }
    }
}

/// Every bit that stands for a prefix.
pub(super) fn each_mark6(address: [u8; 16], length: u8, mut each: impl FnMut(Mark6)) {
    let mark = |fine, bucket, kind| Mark6 { fine, bucket, kind };
    match cover::place6(address, length) {
        Place6::Fine(kind) => each(mark(true, cover::fine6(address), kind)),
        Place6::Coarse(kind) => each(mark(false, cover::coarse6(address), kind)),
        Place6::Wide(count) => {
            let first = u128::from_be_bytes(address);
            for site in 0..count {
                let inside = first.saturating_add(u128::from(site) << 96).to_be_bytes();
                each(mark(false, cover::coarse6(inside), Kinds6::OTHER));
            }
        }
    }
}
