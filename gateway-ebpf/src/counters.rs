//! Packets and bytes by interface and reason, per CPU: no cache line is shared.

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use gateway_common::{
    maps::{Settings, counter_index},
    verdict::Verdict,
};

use crate::maps;

#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn count(context: &XdpContext, length: usize, verdict: &Verdict, settings: &Settings) {
    // `nothing` is zero, but the verifier need not follow each reason from here on.
    let reason = u32::from(verdict.number) ^ settings.nothing as u32;
    let slot = maps::INTERFACES.get(interface(context)).copied().unwrap_or(0);
    let Some(count) = maps::COUNTERS.get_ptr_mut(counter_index(slot, reason)) else { return };
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    let count = unsafe { &mut *count };
    count.packets += 1;
    count.bytes += length as u64;
    count.shadow_packets += u64::from(verdict.shadow);
}

/// Index of the interface the packet came in by.
#[inline(always)]
#[expect(unsafe_code, reason = "read of a field of the context")]
pub(crate) fn interface(context: &XdpContext) -> u32 {
    let context = context.as_ptr().cast::<xdp_md>();
    // SAFETY: the kernel's own context, valid for the whole run.
    unsafe { (*context).ingress_ifindex }
}
