//! Allowed prefixes.

use aya_ebpf::maps::lpm_trie::Key;
use gateway_common::{maps::ALLOW_CELL, verdict::AllowTables};

use super::{KernelCell, KernelTables};
use crate::maps;

impl AllowTables for KernelTables {
    type AllowCell = KernelCell;

    #[inline(always)]
    fn allow4(&self, address: [u8; 4]) -> bool {
        maps::ALLOW4.get(Key::new(32, address)).is_some()
    }

    #[inline(always)]
    fn allow6(&self, address: [u8; 16]) -> bool {
        maps::ALLOW6.get(Key::new(128, address)).is_some()
    }

    #[inline(always)]
    fn allow_cell(&self) -> Option<KernelCell> {
        maps::CELLS.get_ptr_mut(ALLOW_CELL).map(KernelCell)
    }
}
