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

/// The desk of this processor, as the last packet left it.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn desk(direction: u32) -> Option<&'static mut Desk> {
    let desk = SCRATCH.get_ptr_mut(direction)?;
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    Some(unsafe { &mut *desk })
}
