//! A map of words that lies in our own memory: written without a system call a word, read by the
//! kernel's program as it stands.

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::{
    io,
    num::NonZeroUsize,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::marks::Cells;

/// The words of one map.
#[derive(Debug)]
pub(super) struct Mapped {
    first: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is the map's, not a thread's, and every access to it is atomic.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps `count` words of an array with `BPF_F_MMAPABLE`.
    pub(super) fn of(map: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(count * size_of::<u64>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping of a map's own memory at an address the kernel chooses; the
        // kernel refuses a length that is not the map's.
        let first = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { first: first.cast(), count })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has `count` aligned words and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nobody holds a reference into the mapping any more. A failure leaves it mapped,
        // which harms nobody.
        let _unmapped = unsafe { munmap(self.first.cast(), self.count * size_of::<u64>()) };
    }
}

impl Cells for Mapped {
    fn get(&self, word: u32) -> u64 {
        self.words().get(word as usize).map_or(0, |cell| cell.load(Ordering::Acquire))
    }

    fn change(&self, word: u32, mask: u64, bits: u64) {
        let Some(cell) = self.words().get(word as usize) else { return };
        // Other sets have their bits in the same word, and another thread as writer.
        let changed = |old: u64| Some((old & !mask) | (bits & mask));
        let _old = cell.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed);
    }
}
