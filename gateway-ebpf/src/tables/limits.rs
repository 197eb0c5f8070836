//! Words of the limits.

use gateway_common::{
    limit::{Lease, Slot},
    maps::{INSERT_CELL, LimitKey},
    verdict::LimitTables,
};

use super::{KernelCell, KernelTables};
use crate::maps;

/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;

/// A lease of this processor.
pub(crate) struct KernelSlot(*mut Lease);

impl Slot for KernelSlot {
    #[inline(always)]
    #[expect(unsafe_code, reason = "read of a per-CPU map value")]
    fn read(&self) -> Lease {
        // SAFETY: the pointer came from a lookup in this program run; the value belongs to this
        // CPU, and nothing else on it runs this program meanwhile.
        unsafe { self.0.read() }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "write to a per-CPU map value")]
    fn write(&self, lease: Lease) {
        // SAFETY: as above.
        let owner = unsafe { &raw mut (*self.0).owner };
        // SAFETY: as above.
        let word = unsafe { &raw mut (*self.0).word };
        // SAFETY: as above; volatile, or the compiler calls a loop over bytes for an empty lease.
        unsafe { owner.write_volatile(lease.owner) };
        // SAFETY: as above.
        unsafe { word.write_volatile(lease.word) };
    }
}

impl LimitTables for KernelTables {
    type Cell = KernelCell;
    type Slot = KernelSlot;

    #[inline(always)]
    fn lease(&self, slot: u32) -> Option<KernelSlot> {
        maps::LEASES.get_ptr_mut(slot).map(KernelSlot)
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
}
