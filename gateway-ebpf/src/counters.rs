//! Packets and bytes by reason, per CPU: no cache line is shared.

use gateway_common::verdict::Verdict;

use crate::maps;

#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn count(length: usize, verdict: &Verdict) {
    let index = u32::from(verdict.reason.number());
    let Some(count) = maps::COUNTERS.get_ptr_mut(index) else { return };
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    let count = unsafe { &mut *count };
    count.packets += 1;
    count.bytes += length as u64;
    count.shadow_packets += u64::from(verdict.shadow);
}
