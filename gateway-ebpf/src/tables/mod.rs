//! The maps as the rules see them.

mod allow;
mod bans;
mod limits;
mod policy;
mod syn;

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use gateway_common::{
    limit::Cell,
    verdict::{Bitmap, BitmapTables},
};

use crate::{access, atomic, maps};

/// The maps of this object, and the context by which helpers know the network namespace.
pub(crate) struct KernelTables {
    context: *mut c_void,
}

impl KernelTables {
    #[inline(always)]
    pub(crate) fn new(context: &impl EbpfContext) -> Self {
        Self { context: context.as_ptr() }
    }
}

/// A word in a map.
pub(crate) struct KernelCell(*mut u64);

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

impl BitmapTables for KernelTables {
    #[inline(always)]
    fn bitmap(&self, bitmap: Bitmap, word: u32) -> u64 {
        let words = match bitmap {
            Bitmap::Allow4 => &maps::ALLOW4_SUMMARY,
            Bitmap::Allow6 => &maps::ALLOW6_SUMMARY,
        };
        words.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn settle(&self) {
        access::barrier();
    }
}
