//! Ends a connection without a reset. A socket closed over unread bytes (an h2 client's window
//! updates and acknowledgements) is reset by the kernel, and the reset takes the end of the
//! response away from a client that has not read it yet (RFC 9112 section 9.6 says the same of
//! HTTP/1.1).

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// How long a client may take to close its side, and how much it may still say.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST: u64 = 64 * 1024;

/// Says that nothing more comes, then reads until the client closes too, within bounds.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let goodbye = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await
    };
    if !matches!(timeout(PATIENCE, goodbye).await, Ok(Ok(_bytes))) {
        tracing::trace!("a client did not close its side");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_client_that_talks_on_still_reads_the_end_of_its_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let answer = vec![b'x'; 256 * 1024];
        let serving = async {
            server.write_all(&answer).await.unwrap();
            linger(server).await;
        };
        let reading = async {
            client.write_all(b"an update that nobody reads any more").await.unwrap();
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            client.shutdown().await.unwrap();
            read.len()
        };
        let ((), read) = tokio::join!(serving, reading);
        assert_eq!(read, 256 * 1024);
    }

    #[tokio::test]
    async fn a_client_that_never_closes_is_not_waited_for_long() {
        let (server, _client) = tokio::io::duplex(64);
        timeout(2 * PATIENCE, linger(server)).await.unwrap();
    }
}
