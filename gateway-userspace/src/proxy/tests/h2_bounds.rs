//! What an h2 attacker is given to work with, read off the wire.

use std::collections::BTreeMap;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    client::{PATIENCE, handshake},
    lab::{Lab, config},
};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

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
        (256 << 10, 16_384, 32 << 10)
    );
    assert_eq!(window, 1 << 20);

    for number in 0..=10 {
        wire.request(2 * number + 1).await;
    }
    let refused = wire.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY)).await;
    assert_eq!((refused.kind, refused.stream, refused.number()), (RST_STREAM, 21, REFUSED_STREAM));
}

struct Wire {
    stream: TlsStream<TcpStream>,
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Wire {
    async fn open(lab: &Lab) -> Self {
        let mut stream = handshake(lab.address, lab.identified.trusting(&[b"h2"])).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
        Self { stream }
    }

    /// A POST to `/` whose body does not end.
    async fn request(&mut self, stream: u32) {
        // HPACK: method, scheme and path from the static table, the authority as a literal.
        let head = [&[0x83, 0x87, 0x84, 0x41, 9][..], b"localhost"].concat();
        let mut bytes = frame(HEADERS, stream, &head);
        // END_HEADERS
        bytes[4] = 4;
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await;
            if wanted(&frame) {
                return frame;
            }
        }
    }

    async fn next(&mut self) -> Frame {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            Frame { kind: head[3], stream, payload }
        };
        timeout(PATIENCE, reading).await.unwrap()
    }
}

impl Frame {
    /// An increment, or the code of a reset stream.
    fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

fn setting(bytes: &[u8]) -> (u16, u32) {
    (
        u16::from_be_bytes(bytes[..2].try_into().unwrap()),
        u32::from_be_bytes(bytes[2..].try_into().unwrap()),
    )
}
