//! The maps as the rules see them.

use aya_ebpf::maps::lpm_trie::Key;
use gateway_common::{
    limit::Cell,
    maps::{ALLOW_CELL, BanValue, INSERT_CELL, LimitKey},
    verdict::{BanEntry, Bitmap, Tables},
};

use crate::{atomic, maps};

/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;

/// The maps of this object.
pub(crate) struct KernelTables;

/// A word in a map.
pub(crate) struct KernelCell(*mut u64);

/// A ban in a map. An entry removed meanwhile may be given to another address: a packet then reads
/// a neighbour's expiry once, which the removal raced for anyway.
pub(crate) struct KernelBan(*mut BanValue);

impl Cell for KernelCell {
    #[inline(always)]
    #[expect(unsafe_code, reason = "volatile read of a shared word")]
    fn load(&self) -> u64 {
        // SAFETY: the pointer came from a lookup in this program run; the word is aligned.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn compare_exchange(&self, current: u64, new: u64) -> u64 {
        atomic::compare_exchange(self.0, current, new)
    }
}

impl BanEntry for KernelBan {
    #[inline(always)]
    #[expect(unsafe_code, reason = "read of a map value")]
    fn expires_ns(&self) -> u64 {
        // SAFETY: the pointer came from a lookup in this program run.
        let expires_ns = unsafe { &raw const (*self.0).expires_ns };
        // SAFETY: the same, and a field of a map value is aligned.
        unsafe { expires_ns.read_volatile() }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "read of a map value")]
    fn length(&self) -> u8 {
        // SAFETY: the pointer came from a lookup in this program run.
        let length = unsafe { &raw const (*self.0).length };
        // SAFETY: the same, and a field of a map value is aligned.
        unsafe { length.read_volatile() }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "address of a field of a map value")]
    fn hit(&self) {
        // SAFETY: the pointer came from a lookup in this program run.
        let hits = unsafe { &raw mut (*self.0).hits };
        atomic::add(hits, 1);
    }
}

impl Tables for KernelTables {
    type Ban = KernelBan;
    type Cell = KernelCell;

    #[inline(always)]
    fn bitmap(&self, bitmap: Bitmap, word: u32) -> u64 {
        let words = match bitmap {
            Bitmap::Ban4 => &maps::BAN4_SUMMARY,
            Bitmap::Ban6 => &maps::BAN6_SUMMARY,
            Bitmap::Allow4 => &maps::ALLOW4_SUMMARY,
            Bitmap::Allow6 => &maps::ALLOW6_SUMMARY,
        };
        words.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn allow4(&self, address: [u8; 4]) -> bool {
        maps::ALLOW4.get(Key::new(32, address)).is_some()
    }

    #[inline(always)]
    fn allow6(&self, address: [u8; 16]) -> bool {
        maps::ALLOW6.get(Key::new(128, address)).is_some()
    }

    #[inline(always)]
    fn ban4_host(&self, address: [u8; 4]) -> Option<KernelBan> {
        maps::BAN4_HOST.get_ptr_mut(address).map(KernelBan)
    }

    #[inline(always)]
    fn ban6_host(&self, address: [u8; 16]) -> Option<KernelBan> {
        maps::BAN6_HOST.get_ptr_mut(address).map(KernelBan)
    }

    #[inline(always)]
    fn ban4_prefix(&self, address: [u8; 4], length: u32) -> Option<KernelBan> {
        let found = maps::BAN4_PREFIX.get(Key::new(length, address))?;
        Some(KernelBan(core::ptr::from_ref(found).cast_mut()))
    }

    #[inline(always)]
    fn ban6_prefix(&self, address: [u8; 16], length: u32) -> Option<KernelBan> {
        let found = maps::BAN6_PREFIX.get(Key::new(length, address))?;
        Some(KernelBan(core::ptr::from_ref(found).cast_mut()))
    }

    #[inline(always)]
    fn sketch(&self, index: u32) -> Option<KernelCell> {
        maps::SKETCH.get_ptr_mut(index).map(KernelCell)
    }

    #[inline(always)]
    fn exact(&self, key: &LimitKey) -> Option<KernelCell> {
        maps::EXACT.get_ptr_mut(key).map(KernelCell)
    }

    #[inline(always)]
    fn insert_exact(&self, key: &LimitKey, tat: u64) {
        // Full is impossible for an LRU; an entry another processor just made stays as it is, and
        // under contention the next packet tries again.
        let _inserted = maps::EXACT.insert(key, tat, NO_EXIST).is_ok();
    }

    #[inline(always)]
    fn insert_cell(&self) -> Option<KernelCell> {
        maps::CELLS.get_ptr_mut(INSERT_CELL).map(KernelCell)
    }

    #[inline(always)]
    fn allow_cell(&self) -> Option<KernelCell> {
        maps::CELLS.get_ptr_mut(ALLOW_CELL).map(KernelCell)
    }
}
