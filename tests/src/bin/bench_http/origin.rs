//! The supplier of all three: as little work as can be done for an answer, so that it is never what
//! is measured. Requests have no body, and end with an empty line.

use anyhow::{Context, Result};
use gateway_tests::netns::runtime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

/// Where it listens.
pub(crate) const ADDRESS: &str = "127.0.0.1:1800";

/// Bytes of a small body and of a large one.
pub(crate) const SMALL: usize = 200;
pub(crate) const LARGE: usize = 100 * 1024;

/// Answers until it is killed.
pub(crate) fn serve() -> Result<()> {
    crate::machine::pin(crate::servers::LOAD)?;
    let (small, large): (&[u8], &[u8]) = (answer(SMALL).leak(), answer(LARGE).leak());
    LocalSet::new().block_on(&runtime()?, async move {
        let listener = TcpListener::bind(ADDRESS).await.context("opening the origin's port")?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting a connection")?;
            stream.set_nodelay(true).context("setting TCP_NODELAY")?;
            // It lives as long as its connection; the process ends with the bench.
            drop(tokio::task::spawn_local(converse(stream, small, large)));
        }
    })
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + length, b'x');
    bytes
}

async fn converse(mut stream: TcpStream, small: &'static [u8], large: &'static [u8]) {
    let mut head = Vec::with_capacity(4096);
    while let Ok(1..) = stream.read_buf(&mut head).await {
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let answer = if head.starts_with(b"GET /large") { large } else { small };
        if stream.write_all(answer).await.is_err() {
            return;
        }
        head.clear();
    }
}
