//! Sampled drop events: so many a second per reason and CPU, the rest is in the counters. A full
//! ring costs the event, never the packet's time.

use gateway_common::{
    event::Event,
    maps::{EventTokens, Settings},
    packet::Packet,
    verdict::Verdict,
};

use crate::{maps, time};

const SECOND_NS: u64 = 1_000_000_000;

#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
pub(crate) fn report(packet: &Packet, verdict: &Verdict, settings: &Settings, now: u64) {
    let index = u32::from(verdict.number);
    let Some(tokens) = maps::EVENT_TOKENS.get_ptr_mut(index) else { return };
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    let tokens = unsafe { &mut *tokens };
    if !take_token(tokens, settings.events, now) {
        return;
    }
    let event = Event::new(packet, verdict.number, verdict.shadow, time::monotonic());
    match maps::EVENTS.reserve::<Event>(0) {
        Some(mut entry) => {
            entry.write(event);
            entry.submit(0);
        }
        None => tokens.lost += 1,
    }
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
