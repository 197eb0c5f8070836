//! Bans.

use core::arch::asm;

use aya_ebpf::maps::lpm_trie::Key;
use gateway_common::{
    cover::Group4,
    maps::{BanKey, BanValue, SEEN_SHIFT, TailKey},
    verdict::{BanEntry, BanTables},
};

use super::KernelTables;
use crate::maps;

/// A ban in a map. An entry removed meanwhile may be given to another address: a packet then reads
/// a neighbour's expiry once, which the removal raced for anyway.
pub(crate) struct KernelBan(*mut BanValue);

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
    #[expect(unsafe_code, reason = "write to a map value")]
    #[expect(clippy::cast_possible_truncation, reason = "good for 146 years")]
    fn hit(&self, now: u64) {
        // SAFETY: the pointer came from a lookup in this program run.
        let hits = unsafe { &raw mut (*self.0).hits };
        // SAFETY: a field of a map value is aligned. No locked instruction: behind one no read
        // begins, and the next packet's would wait for this entry's line. Of two processors that
        // count at once either count may stand.
        let count = unsafe { hits.read_volatile() };
        // SAFETY: as above.
        unsafe { hits.write_volatile(count + 1) };
        // SAFETY: as above.
        let last_seen = unsafe { &raw mut (*self.0).last_seen };
        // SAFETY: a field of a map value is aligned; of two processors that write at once either
        // is right.
        unsafe { last_seen.write_volatile((now >> SEEN_SHIFT) as u32) };
    }
}

impl BanTables for KernelTables {
    type Ban = KernelBan;

    #[inline(always)]
    #[expect(unsafe_code, reason = "volatile read of a shared word")]
    fn read_once(&self, word: &u32) -> u32 {
        // SAFETY: a reference is valid and aligned.
        unsafe { core::ptr::from_ref(word).read_volatile() }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "a bound for the compiler")]
    fn settled<const N: usize>(&self, address: [u8; N]) -> [u8; N] {
        let mut settled = address;
        // SAFETY: a register is copied to itself; one without any instruction would give two lines
        // of the debug information one place, which the kernel refuses.
        unsafe { asm!("{bytes} = {bytes}", bytes = inout(reg) settled.as_mut_ptr() => _) };
        settled
    }

    #[inline(always)]
    fn ban4_summary(&self, group: u32) -> Option<&Group4> {
        maps::BAN4_SUMMARY.get(group)
    }

    #[inline(always)]
    fn ban4_detail(&self, word: u32) -> u64 {
        maps::BAN4_DETAIL.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn find4(&self, key: &BanKey<4>) -> Option<KernelBan> {
        maps::BAN4.get_ptr_mut(key).map(KernelBan)
    }

    #[inline(always)]
    fn ban6_summary(&self, word: u32) -> u64 {
        maps::BAN6_SUMMARY.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn ban6_fine(&self, word: u32) -> u64 {
        maps::BAN6_FINE.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn ban6_coarse(&self, word: u32) -> u64 {
        maps::BAN6_COARSE.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn find6(&self, key: &BanKey<16>) -> Option<KernelBan> {
        maps::BAN6.get_ptr_mut(key).map(KernelBan)
    }

    #[inline(always)]
    fn find6_tail(&self, key: TailKey) -> Option<KernelBan> {
        let found = maps::BAN6_TAIL.get(Key::new(key.length, key.path))?;
        Some(KernelBan(core::ptr::from_ref(found).cast_mut()))
    }
}
