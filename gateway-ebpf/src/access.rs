//! The one bounds-checked read of packet bytes, and the one write.

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
        let (start, end) =
            unsafe { (&raw const (*context.ctx).data, &raw const (*context.ctx).data_end) };
        // SAFETY: the same; the verifier makes pointers of these words.
        let start = unsafe { start.read_volatile() };
        // SAFETY: the same.
        let end = unsafe { end.read_volatile() };
        Self { start: start as usize, end: end as usize }
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
        if offset > MAX_OFFSET {
            return None;
        }
        let first = self.start + offset;
        if first + N > self.end {
            return None;
        }
        // SAFETY: `first..first + N` lies inside the frame, as the verifier proves once more; bytes
        // have no alignment.
        Some(unsafe { *(first as *const [u8; N]) })
    }
}

impl PacketSpace for Frame {
    #[inline(always)]
    #[expect(unsafe_code, reason = "the one write of packet memory")]
    fn write<const N: usize>(&mut self, offset: usize, bytes: &[u8; N]) -> bool {
        if offset > MAX_OFFSET {
            return false;
        }
        let first = self.start + offset;
        if first + N > self.end {
            return false;
        }
        // SAFETY: `first..first + N` lies inside the frame, as the verifier proves once more; bytes
        // have no alignment.
        unsafe { *(first as *mut [u8; N]) = *bytes };
        true
    }
}
