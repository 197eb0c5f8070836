//! Programs the bench runs beside the filter: one that does nothing, one that gives each packet
//! another source and goes on to the program under test, and a paced generator.
#![no_std]
#![no_main]
#![allow(
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "the verifier loses packet bounds at a call; entry points take the context by value"
)]

#[allow(dead_code, reason = "the bench uses the rest")]
mod plan;
mod rewrite;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::bpf_ktime_get_ns,
    macros::{map, xdp},
    maps::{Array, ProgramArray},
    programs::XdpContext,
};

use crate::plan::{POOLS, Pace, Pool, Progress};

/// Packets leave together, as a card raises one interrupt for so many: a receiver that is woken
/// for each would be measured at waking. Half of what a veth's ring holds.
const BURST: u64 = 128;

/// Packets the generator may be behind and still catch up.
const BACKLOG: u64 = 512;

/// Sources of packets, in turn.
#[map(name = "POOLS")]
static SOURCES: Array<Pool> = Array::with_max_entries(POOLS, 0);
#[map]
static PACE: Array<Pace> = Array::with_max_entries(1, 0);
/// The generator's progress; `rotate` counts its packets in it.
#[map]
static PROGRESS: Array<Progress> = Array::with_max_entries(1, 0);
/// What `rotate` goes on to.
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// What a packet costs that nobody looks at.
#[xdp]
fn empty(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Another source for each packet, then the program under test.
#[xdp]
fn rotate(context: XdpContext) -> u32 {
    let Some(progress) = progress() else { return xdp_action::XDP_ABORTED };
    progress.sent += 1;
    let Some(pool) = SOURCES.get(Pool::turn(progress.sent)) else {
        return xdp_action::XDP_ABORTED;
    };
    rewrite::source(&context, pool.source(progress.sent));
    // Returns only if there is no target.
    #[expect(unsafe_code, reason = "a tail call")]
    // SAFETY: the context is the one this program was entered with.
    unsafe {
        TARGET.tail_call(&context, 0);
    }
    xdp_action::XDP_ABORTED
}

/// Sends the frame out of the interface it was "received" on if one is due, else waits a turn.
#[xdp]
fn generate(context: XdpContext) -> u32 {
    let (Some(pace), Some(progress)) = (PACE.get(0), progress()) else {
        return xdp_action::XDP_ABORTED;
    };
    #[expect(unsafe_code, reason = "helper call")]
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < pace.start_ns || now > pace.end_ns {
        return xdp_action::XDP_DROP;
    }
    // An hour at a billion a second does not overflow after the division.
    let due = (now - pace.start_ns) / 1000 * pace.per_second / 1_000_000;
    if !progress.is_next(due) {
        return xdp_action::XDP_DROP;
    }
    let Some(pool) = SOURCES.get(Pool::turn(progress.sent)) else {
        return xdp_action::XDP_ABORTED;
    };
    if rewrite::source(&context, pool.source(progress.sent)) {
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_ABORTED
    }
}

impl Progress {
    /// Whether another packet leaves, if so many are due by now; counts it if so.
    #[inline(always)]
    fn is_next(&mut self, due: u64) -> bool {
        if self.left == 0 {
            let late = due.saturating_sub(self.sent + self.missed);
            if late < BURST {
                return false;
            }
            self.missed += late.saturating_sub(BACKLOG);
            self.left = BURST;
        }
        self.left -= 1;
        self.sent += 1;
        true
    }
}

/// The one entry. One program runs at a time, on one processor.
fn progress() -> Option<&'static mut Progress> {
    let entry = PROGRESS.get_ptr_mut(0)?;
    #[expect(unsafe_code, reason = "a map value in place")]
    // SAFETY: an array's entry lives as long as the program, and only this run writes to it.
    unsafe {
        entry.as_mut()
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends some helpers to GPL-compatible programs only.
#[expect(unsafe_code, reason = "the section the loader reads the licence from")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
