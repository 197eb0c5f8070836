//! The one bounds-checked read of packet bytes, and the one write.

use core::arch::asm;

use aya_ebpf::programs::XdpContext;
use gateway_common::{packet::PacketBytes, syn::reply::PacketSpace};

/// Offsets past this are refused: the verifier wants a bound, and no header chain the parser
/// walks is longer (two VLAN tags, IPv6, eight extension headers of 2 KiB).
const MAX_OFFSET: usize = 0x4fff;

/// A frame between its two pointers.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// Volatile reads: the compiler would else pass both pointers to a function in place of the
    /// context, cut to the 32 bits they have in the context's type.
    #[inline(always)]
    #[expect(unsafe_code, reason = "read of the context")]
    pub(crate) fn new(context: &XdpContext) -> Self {
        // SAFETY: the context is this run's.
        let start = unsafe { &raw const (*context.ctx).data };
        // SAFETY: the same.
        let end = unsafe { &raw const (*context.ctx).data_end };
        // SAFETY: the same; the verifier makes pointers of these words.
        let start = unsafe { start.read_volatile() };
        // SAFETY: the same.
        let end = unsafe { end.read_volatile() };
        Self::between(start as usize, end as usize)
    }

    #[inline(always)]
    pub(crate) const fn between(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The address of `length` bytes inside the frame.
    #[inline(always)]
    fn inside(&self, offset: usize, length: usize) -> Option<usize> {
        if offset > MAX_OFFSET {
            return None;
        }
        let first = pinned(self.start + offset);
        if first + length > self.end { None } else { Some(first) }
    }
}

impl PacketBytes for Frame {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "the one read of packet memory")]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let first = self.inside(offset, N)?;
        // SAFETY: `first..first + N` lies inside the frame, as the verifier proves once more; bytes
        // have no alignment.
        Some(unsafe { *(first as *const [u8; N]) })
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let first = self.inside(offset, N * 4)?;
        let mut words = [0; N];
        for (number, place) in words.iter_mut().enumerate() {
            *place = word(first + number * 4);
        }
        Some(words)
    }

    #[inline(always)]
    fn settle(&self) {
        barrier();
    }
}

/// What was written to memory is in memory, and is read from there again behind.
#[inline(always)]
#[expect(unsafe_code, reason = "a barrier to the compiler")]
pub(crate) fn barrier() {
    // SAFETY: no instruction.
    unsafe { asm!("", options(nostack)) }
}

/// The same address, in one register from here on: were it computed twice, for the check and for
/// the read, the verifier would not know the two to be the same.
#[inline(always)]
#[expect(unsafe_code, reason = "a barrier to the compiler")]
pub(crate) fn pinned(mut address: usize) -> usize {
    // SAFETY: changes nothing.
    unsafe { asm!("{0} = {0}", inout(reg) address, options(pure, nomem, nostack)) }
    address
}

/// Four bytes in one instruction. The compiler would take an address that need not be aligned
/// apart into bytes; the kernels we know do not mind (`HAVE_EFFICIENT_UNALIGNED_ACCESS`).
#[inline(always)]
#[expect(unsafe_code, reason = "the one read of packet memory")]
fn word(address: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller has checked the bounds, as the verifier does once more.
    unsafe {
        asm!(
            "{word} = *(u32 *)({address} + 0)",
            word = out(reg) word,
            address = in(reg) address,
            options(pure, readonly, nostack),
        );
    }
    word as u32
}

impl PacketSpace for Frame {
    #[inline(always)]
    #[expect(unsafe_code, reason = "the one write of packet memory")]
    fn write<const N: usize>(&mut self, offset: usize, bytes: &[u8; N]) -> bool {
        let Some(first) = self.inside(offset, N) else { return false };
        // SAFETY: `first..first + N` lies inside the frame, as the verifier proves once more; bytes
        // have no alignment.
        unsafe { *(first as *mut [u8; N]) = *bytes };
        true
    }
}
