//! Sampled drop events: so many a second per reason and CPU, the rest is in the counters. A full
//! ring costs the event, never the packet's time.

use aya_ebpf::programs::XdpContext;
use gateway_common::{
    event::{Circumstance, Event},
    maps::{EventTokens, Settings},
    packet::Packet,
    verdict::Verdict,
};

use crate::{access::Frame, counters, maps, time};

const SECOND_NS: u64 = 1_000_000_000;

#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn report(
    context: &XdpContext,
    packet: &Packet,
    verdict: &Verdict,
    settings: &Settings,
    now: u64,
) {
    let index = u32::from(verdict.number);
    let Some(tokens) = maps::EVENT_TOKENS.get_ptr_mut(index) else { return };
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    let tokens = unsafe { &mut *tokens };
    if !take_token(tokens, settings.events, now) {
        tokens.unsampled += 1;
        return;
    }
    let circumstance = Circumstance {
        reason: verdict.number,
        shadow: verdict.shadow,
        interface: counters::interface(context),
        at_ns: time::monotonic(),
    };
    if !send(&Frame::new(context), packet, &circumstance) {
        tokens.lost += 1;
    }
}

/// False if the ring is full.
#[inline(always)]
#[expect(unsafe_code, reason = "write to reserved memory of the ring")]
fn send(frame: &Frame, packet: &Packet, circumstance: &Circumstance) -> bool {
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else { return false };
    // SAFETY: the reserved memory is the kernel's, aligned to eight bytes and ours alone until it
    // is submitted; an event is integers only, so that any bytes in it are a value.
    let event = unsafe { &mut *entry.as_mut_ptr() };
    event.fill(frame, packet, circumstance);
    entry.submit(0);
    true
}

#[inline(always)]
fn take_token(tokens: &mut EventTokens, limit: u32, now: u64) -> bool {
    if now.wrapping_sub(tokens.since_ns) >= SECOND_NS {
        tokens.since_ns = now;
        tokens.sent = 0;
    }
    let granted = tokens.sent < limit;
    tokens.sent += u32::from(granted);
    granted
}
