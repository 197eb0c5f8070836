//! Words of the SYN cookies, and the addresses they are answered for.

use gateway_common::syn::SynTables;

use super::{KernelCell, KernelTables};
use crate::maps;

impl SynTables for KernelTables {
    type SynCell = KernelCell;

    #[inline(always)]
    fn syn_cell(&self, index: u32) -> Option<KernelCell> {
        maps::COOKIES.get_ptr_mut(index).map(KernelCell)
    }
}
