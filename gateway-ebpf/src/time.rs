//! The one clock read: jiffies, which the verifier turns into a single load. `bpf_ktime_get_ns`
//! would cost as much as the rest of a good packet's path.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use gateway_common::maps::{Clocks, Settings};

use crate::maps;

/// The tick clock, nanoseconds.
#[inline(always)]
pub(crate) fn now(settings: &Settings) -> u64 {
    jiffies().wrapping_mul(settings.tick_ns)
}

/// `CLOCK_MONOTONIC`, for events only.
#[inline(always)]
#[expect(unsafe_code, reason = "helper call")]
pub(crate) fn monotonic() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Both clocks, for the loader.
#[inline(always)]
pub(crate) fn publish() {
    let clocks = Clocks { jiffies: jiffies(), monotonic_ns: monotonic() };
    // The loader sees that nothing was written and says so.
    let _written = maps::CLOCKS.set(0, clocks, 0).is_ok();
}

#[inline(always)]
#[expect(unsafe_code, reason = "helper call")]
fn jiffies() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_jiffies64() }
}
