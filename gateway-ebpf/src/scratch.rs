//! Where a packet is taken apart: memory of this processor, for a stack of 512 bytes is short, and
//! the verifier would follow everything it knows of what lies there.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use gateway_common::{packet::Packet, verdict::Desk};

/// One for each direction: a processor may be sending when packets come in.
#[map]
static SCRATCH: PerCpuArray<Desk> = PerCpuArray::with_max_entries(2, 0);

/// On the way in.
pub(crate) const INGRESS: u32 = 0;
/// On the way out.
pub(crate) const EGRESS: u32 = 1;

/// The desk of this processor, as it was left.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn desk(direction: u32) -> Option<&'static mut Desk> {
    let desk = SCRATCH.get_ptr_mut(direction)?;
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    Some(unsafe { &mut *desk })
}

/// Words of a packet.
const WORDS: usize = size_of::<Packet>() / size_of::<u64>();
const _: () = assert!(size_of::<Packet>() == WORDS * size_of::<u64>());

/// Makes a packet one of which nothing is known.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn clear(packet: &mut Packet) {
    let packet = core::ptr::from_mut(packet).cast::<u64>();
    for word in 0..WORDS {
        // SAFETY: inside the packet, which has this many words and is aligned to one.
        let word = unsafe { packet.add(word) };
        // SAFETY: as above; all zeroes is a packet of which nothing is known. Word by word, and
        // volatile: a `memset` here is a loop over bytes, which costs more than all of the parser.
        unsafe { word.write_volatile(0) };
    }
}
