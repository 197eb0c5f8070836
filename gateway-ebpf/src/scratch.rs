//! Where a packet is taken apart: memory of this processor, for a stack of 512 bytes is short, and
//! the verifier would follow everything it knows of what lies there.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use gateway_common::verdict::Desk;

/// One for each direction: a processor may be sending when packets come in.
#[map]
static SCRATCH: PerCpuArray<Desk> = PerCpuArray::with_max_entries(2, 0);

/// On the way in.
pub(crate) const INGRESS: u32 = 0;
/// On the way out.
pub(crate) const EGRESS: u32 = 1;

/// Words of a desk.
const WORDS: usize = size_of::<Desk>() / size_of::<u64>();
const _: () = assert!(size_of::<Desk>() == WORDS * size_of::<u64>());

/// The desk of this processor, empty.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn clear_desk(direction: u32) -> Option<&'static mut Desk> {
    let desk = SCRATCH.get_ptr_mut(direction)?;
    for word in 0..WORDS {
        // SAFETY: inside the value, which has this many words and is aligned to one.
        let word = unsafe { desk.cast::<u64>().add(word) };
        // SAFETY: as above. Word by word, and volatile: a `memset` here is a loop over bytes, which
        // costs more than all of the parser.
        unsafe { word.write_volatile(0) };
    }
    // SAFETY: all zeroes is an empty desk; the value belongs to this CPU, and nothing else on it
    // runs this program meanwhile.
    Some(unsafe { &mut *desk })
}

/// The desk of this processor, as it was left.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn desk(direction: u32) -> Option<&'static mut Desk> {
    let desk = SCRATCH.get_ptr_mut(direction)?;
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    Some(unsafe { &mut *desk })
}
