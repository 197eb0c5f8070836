//! What an h2 attacker is given to work with, read off the wire.

use std::collections::BTreeMap;

use super::{
    lab::{Lab, config},
    wire::{GOAWAY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire},
};

/// What a connection may send ahead before anything is settled (RFC 9113 section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

const REFUSED_STREAM: u32 = 7;

#[tokio::test]
async fn windows_and_tables_are_small_and_a_stream_too_many_is_refused() {
    let mut config = config();
    config.proxy.streams = 10;
    config.proxy.head_bytes = 16 << 10;
    let lab = Lab::start(config);
    let mut wire = Wire::open(&lab).await;
    let (mut settings, mut window) = (BTreeMap::new(), FIRST_WINDOW);
    while settings.is_empty() || window == FIRST_WINDOW {
        let frame = wire.next().await;
        match frame.kind {
            SETTINGS => settings.extend(frame.payload.chunks_exact(6).map(setting)),
            WINDOW_UPDATE if frame.stream == 0 => window += frame.number(),
            _ => {}
        }
    }
    // Field table, streams, window of a stream, frame, head: RFC 9113 section 6.5.2.
    let told = |number: u16, otherwise| settings.get(&number).copied().unwrap_or(otherwise);
    assert_eq!((told(1, 4096), told(3, u32::MAX)), (4096, 10));
    assert_eq!(
        (told(4, 65_535), told(5, 16_384), told(6, u32::MAX)),
        (256 << 10, 16_384, 128 << 10)
    );
    assert_eq!(window, 1 << 20);

    for number in 0..=10 {
        wire.request(2 * number + 1).await;
    }
    let refused = wire.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY)).await;
    assert_eq!((refused.kind, refused.stream, refused.number()), (RST_STREAM, 21, REFUSED_STREAM));
}

fn setting(bytes: &[u8]) -> (u16, u32) {
    (
        u16::from_be_bytes(bytes[..2].try_into().unwrap()),
        u32::from_be_bytes(bytes[2..].try_into().unwrap()),
    )
}
