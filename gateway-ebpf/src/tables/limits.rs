//! Words of the limits.

use gateway_common::{
    maps::{INSERT_CELL, LimitKey},
    verdict::LimitTables,
};

use super::{KernelCell, KernelTables};
use crate::maps;

/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;

impl LimitTables for KernelTables {
    type Cell = KernelCell;

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
