//! The one bounds-checked read of packet bytes, and the one write.

use core::arch::asm;

use aya_ebpf::programs::XdpContext;
use gateway_common::{
    packet::{Packet, PacketBytes},
    syn::reply::PacketSpace,
};

use crate::scratch;

/// Offsets past this are refused: the verifier wants a bound, and no header chain the parser
/// walks is longer (two VLAN tags, IPv6, eight extension headers of 2 KiB).
const MAX_OFFSET: usize = 0x4fff;

/// A frame between its two pointers. Its length is reckoned at once: the verifier would else keep
/// apart, to the end of the program, how much of the frame each way through the parser has seen.
pub(crate) struct Frame {
    start: usize,
    end: usize,
    length: usize,
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
    pub(crate) fn between(start: usize, end: usize) -> Self {
        Self { start, end, length: reckoned(end - start) }
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
        self.length
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
        const { assert!(N <= WORDS, "only so many are read at once") };
        let first = self.inside(offset, N * 4)?;
        let mut words = [0; N];
        for (place, word) in words.iter_mut().zip(words_at(first)) {
            *place = word;
        }
        Some(words)
    }

    #[inline(always)]
    fn settle(&self) {
        barrier();
    }

    #[inline(always)]
    fn forget(&self, packet: &mut Packet) {
        scratch::clear(packet);
    }
}

/// What was written to memory is in memory, and is read from there again behind.
#[inline(always)]
#[expect(unsafe_code, reason = "a barrier to the compiler")]
pub(crate) fn barrier() {
    // SAFETY: no instruction.
    unsafe { asm!("", options(nostack)) }
}

/// The same number, known here and not first where it is needed.
#[inline(always)]
#[expect(unsafe_code, reason = "a barrier to the compiler")]
fn reckoned(mut number: usize) -> usize {
    // SAFETY: changes nothing.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(nomem, nostack)) }
    number
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

/// Words that [`PacketBytes::words`] may be asked for.
const WORDS: usize = 14;

/// The first words from an address; those nobody asks for are not read. The place of each is in its
/// instruction: ten registers are soon full of addresses.
#[inline(always)]
fn words_at(address: usize) -> [u32; WORDS] {
    [
        word::<0>(address),
        word::<4>(address),
        word::<8>(address),
        word::<12>(address),
        word::<16>(address),
        word::<20>(address),
        word::<24>(address),
        word::<28>(address),
        word::<32>(address),
        word::<36>(address),
        word::<40>(address),
        word::<44>(address),
        word::<48>(address),
        word::<52>(address),
    ]
}

/// Four bytes in one instruction. The compiler would take an address that need not be aligned
/// apart into bytes; the kernels we know do not mind (`HAVE_EFFICIENT_UNALIGNED_ACCESS`).
#[inline(always)]
#[expect(unsafe_code, reason = "the one read of packet memory")]
fn word<const OFFSET: usize>(address: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller has checked the bounds, as the verifier does once more.
    unsafe {
        asm!(
            "{word} = *(u32 *)({address} + {offset})",
            word = out(reg) word,
            address = in(reg) address,
            offset = const OFFSET,
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
