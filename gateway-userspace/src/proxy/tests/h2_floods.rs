//! Floods of lawful h2 frames, and heads made to cost: each ends its connection with a reason, in
//! bounded time and memory, and no honest client comes near.

use std::time::Duration;

use gateway_common::Reason;

use super::{
    lab::{Identified, Lab, config},
    origin::{Origin, Speaks},
    wire::{
        CONTINUATION, DATA, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, frame, get,
        headers,
    },
};
use crate::proxy::testing;

const CALM: u32 = 11;

/// Waits for a strike of this reason among others.
async fn struck(lab: &mut Lab, reason: Reason) {
    while lab.strikes(1).await != [reason] {}
}

#[tokio::test]
async fn floods_of_frames_that_carry_nothing_end_the_connection() {
    for (name, one) in [
        ("PING", frame(PING, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 7, &[0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", frame(WINDOW_UPDATE, 1, &[0, 0, 0, 1])),
        ("empty DATA", frame(DATA, 1, &[])),
        ("unknown", frame(0xfa, 0, b"x")),
    ] {
        let mut lab = Lab::start(config());
        let mut wire = Wire::open(&lab).await;
        wire.request(1).await;
        // More than the credit and what time gives back while a slow machine reads them.
        for _ in 0..30 {
            wire.send(&one.repeat(200)).await;
        }
        assert_eq!(wire.end().await, CALM, "{name}");
        struck(&mut lab, Reason::H2Flood).await;
    }
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let mut few = config();
    few.proxy.streams = 10;
    let mut lab = Lab::start(few);
    let mut wire = Wire::open(&lab).await;
    for burst in 0..40 {
        let pair = |number: u32| {
            let stream = 2 * (burst * 50 + number) + 1;
            [get(stream), frame(RST_STREAM, stream, &[0, 0, 0, 8])].concat()
        };
        wire.send(&(0..50).flat_map(pair).collect::<Vec<u8>>()).await;
    }
    assert_eq!(wire.end().await, CALM);
    struck(&mut lab, Reason::H2ResetFlood).await;
}

#[tokio::test]
async fn who_lets_requests_end_may_reset_as_many() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut open = config();
    open.suppliers = vec![testing::supplier("echo", origin.kind())];
    open.proxy.anonymous.burst = 100_000;
    let mut lab = Lab::start(open);
    let mut wire = Wire::open(&lab).await;
    for number in 0..500 {
        let (kept, left) = (4 * number + 1, 4 * number + 3);
        let reset = frame(RST_STREAM, left, &[0, 0, 0, 8]);
        let update = frame(WINDOW_UPDATE, 0, &[0, 0, 16, 0]);
        wire.send(&[get(kept), get(left), reset, update].concat()).await;
        wire.until(|frame| frame.stream == kept && frame.kind == DATA).await;
    }
    lab.no_strike();
}

#[tokio::test]
async fn floods_of_continuation_end_the_connection() {
    for fragment in
        [vec![], b"\0\x01x\x01y".to_vec(), [b"\0\x01x\x7e".to_vec(), vec![b'y'; 126]].concat()]
    {
        let mut lab = Lab::start(config());
        let mut wire = Wire::open(&lab).await;
        wire.send(&headers(1, &[0x82], 0)).await;
        for _ in 0..50 {
            wire.send(&frame(CONTINUATION, 1, &fragment).repeat(100)).await;
        }
        assert_eq!(wire.end().await, CALM, "fragments of {} bytes", fragment.len());
        struck(&mut lab, Reason::H2Flood).await;
    }
}

#[tokio::test]
async fn a_field_block_without_end_is_not_collected() {
    let mut small = config();
    small.proxy.head_bytes = 4 << 10;
    let mut lab = Lab::start(small);
    let mut wire = Wire::open(&lab).await;
    wire.send(&headers(1, &[0x82], 0)).await;
    for _ in 0..8 {
        // One field that never ends.
        wire.send(&frame(CONTINUATION, 1, &[b'y'; 16_000])).await;
    }
    assert_eq!(wire.end().await, CALM);
    struck(&mut lab, Reason::HeadTooLarge).await;
}

#[tokio::test]
async fn a_header_bomb_is_refused_without_unfolding_it() {
    let mut lab = Lab::start(config());
    let mut wire = Wire::open(&lab).await;
    // An entry that nearly fills the table, named ten thousand times: 38 MB in 14 kB.
    let entry = [&b"\x40\x01x\x7f\x81\x1d"[..], &[b'y'; 3840]].concat();
    let block = [entry, vec![0xbe; 10_000]].concat();
    wire.send(&headers(1, &block, 5)).await;
    assert_eq!(wire.end().await, CALM);
    struck(&mut lab, Reason::H2Flood).await;
}

#[tokio::test]
async fn a_field_block_that_stops_arriving_is_not_waited_for() {
    let mut impatient = config();
    impatient.proxy.timeouts.head = Duration::from_millis(300);
    let mut lab = Lab::start(impatient);
    let mut wire = Wire::open(&lab).await;
    // Another request under way does not lend it time.
    wire.request(1).await;
    wire.send(&headers(3, &[0x82], 0)).await;
    assert_eq!(wire.end().await, CALM);
    struck(&mut lab, Reason::HeadTimeout).await;
}

#[tokio::test]
async fn a_burst_of_requests_is_served_whole() {
    let mut lab = Lab::start(config());
    let mut wire = Wire::open(&lab).await;
    wire.send(&(0..100).flat_map(|number| get(2 * number + 1)).collect::<Vec<u8>>()).await;
    let mut ended = 0;
    while ended < 100 {
        let frame = wire.next().await;
        ended += u32::from(frame.kind == DATA);
    }
    lab.no_strike();
}

#[tokio::test]
async fn breaches_end_in_goaway_with_their_code_and_a_reason() {
    for (name, bytes, code) in [
        ("size", frame(PING, 0, b"1"), 6),
        ("state", frame(DATA, 1, b"x"), 1),
        ("compression", headers(1, &[0x80], 5), 9),
        ("window", frame(WINDOW_UPDATE, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2), 3),
        ("field", headers(1, b"\x82\x87\x84\0\x01X\x01y", 5), 1),
    ] {
        let mut lab = Lab::start(config());
        let mut wire = Wire::open(&lab).await;
        wire.send(&bytes).await;
        assert_eq!(wire.end().await, code, "{name}");
        assert_eq!(lab.strikes(1).await, [Reason::H2Protocol], "{name}");
    }
}
