//! Bans.

use aya_ebpf::maps::lpm_trie::Key;
use gateway_common::{
    maps::BanValue,
    verdict::{BanEntry, BanTables},
};

use super::KernelTables;
use crate::{atomic, maps};

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
    #[expect(unsafe_code, reason = "address of a field of a map value")]
    fn hit(&self) {
        // SAFETY: the pointer came from a lookup in this program run.
        let hits = unsafe { &raw mut (*self.0).hits };
        atomic::add(hits, 1);
    }
}

impl BanTables for KernelTables {
    type Ban = KernelBan;

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
}
