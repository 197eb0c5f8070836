//! A supplier that writes down what it gets, byte by byte, read by a reader of its own: strict, and
//! shared with nothing that is under test.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::config::model::{Host, Protocol, SupplierKind, Target};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// `METHOD target body`.
    pub(super) fn told(&self) -> String {
        let line = self.head.lines().next().unwrap_or_default();
        let line = line.strip_suffix(" HTTP/1.1").expect("HTTP/1.1 to suppliers");
        format!("{line} {}", String::from_utf8_lossy(&self.body))
    }

    /// All values of a field, in small letters by name.
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
    }
}

/// Counts what reaches it. Ends with the test's runtime.
pub(super) struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: JoinSet<()>,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let record = Arc::clone(&seen);
        task.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Self { address, seen, _task: task }
    }

    /// The whole requests since the last call.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(super) fn kind(&self) -> SupplierKind {
        SupplierKind::Http(vec![Target {
            tls: false,
            host: Host::Address(self.address.ip()),
            port: self.address.port(),
            protocol: Protocol::Http1,
            weight: 1,
        }])
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    loop {
        while let Some((request, length)) = whole(&bytes) {
            bytes.drain(..length);
            seen.lock().unwrap().push(request);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

/// The first request and its length, once it is whole.
fn whole(bytes: &[u8]) -> Option<(Seen, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut seen = Seen { head, body: Vec::new() };
    let lengths =
        seen.values("content-length").iter().map(|v| v.parse().unwrap()).collect::<Vec<usize>>();
    let chunked = seen.values("transfer-encoding") == ["chunked"];
    assert!(lengths.len() + usize::from(chunked) <= 1, "{}", seen.head);
    if chunked {
        let (body, length) = chunks(&bytes[end..])?;
        seen.body = body;
        return Some((seen, end + length));
    }
    let length = lengths.first().copied().unwrap_or(0);
    seen.body = bytes.get(end..end + length)?.to_vec();
    Some((seen, end + length))
}

fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a size without extension");
        at += line + 2;
        if size == 0 {
            let rest = bytes.get(at..)?;
            if rest.starts_with(b"\r\n") {
                return Some((body, at + 2));
            }
            let end = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
            return Some((body, at + end + 4));
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        assert_eq!(bytes.get(at + size..at + size + 2)?, b"\r\n");
        at += size + 2;
    }
}
