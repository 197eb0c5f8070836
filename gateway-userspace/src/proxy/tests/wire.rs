//! An h2 connection as bytes: frames that no library would send, and what comes back.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    client::{PATIENCE, handshake},
    lab::Lab,
};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// HPACK: method, scheme and path from the static table, the authority as a literal.
const POST: [u8; 14] = *b"\x83\x87\x84\x41\x09localhost";
const GET: [u8; 14] = *b"\x82\x87\x84\x41\x09localhost";

pub(super) struct Wire {
    stream: TlsStream<TcpStream>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Wire {
    pub(super) async fn open(lab: &Lab) -> Self {
        let mut stream = handshake(lab.address, lab.identified.trusting(&[b"h2"])).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
        Self { stream }
    }

    /// A POST to `/` whose body does not end.
    pub(super) async fn request(&mut self, stream: u32) {
        self.send(&headers(stream, &POST, END_HEADERS)).await;
    }

    /// Sends bytes; who is not heard any more is seen when the end is read.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        drop(timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("room in time"));
    }

    /// The code of the GOAWAY that comes, and after it the end.
    pub(super) async fn end(&mut self) -> u32 {
        let goaway = self.until(|frame| frame.kind == GOAWAY).await;
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("an end in time"));
        u32::from_be_bytes(goaway.payload[4..8].try_into().unwrap())
    }

    pub(super) async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await;
            if wanted(&frame) {
                return frame;
            }
        }
    }

    pub(super) async fn next(&mut self) -> Frame {
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
    pub(super) fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

pub(super) fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS with such a block.
pub(super) fn headers(stream: u32, block: &[u8], flags: u8) -> Vec<u8> {
    let mut bytes = frame(HEADERS, stream, block);
    bytes[4] = flags;
    bytes
}

/// A whole GET of `/`.
pub(super) fn get(stream: u32) -> Vec<u8> {
    headers(stream, &GET, END_HEADERS | END_STREAM)
}
