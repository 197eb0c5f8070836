//! Opens a connection to an address of a target: TCP, TLS, and HTTP by what ALPN agreed on.

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, spawn_local},
    time::timeout_at,
};
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::{
    endpoint::Endpoint,
    error::DialError,
    upload::Upload,
    wire::{Received, Wire},
};
use crate::{clock, config::model::Protocol, proxy::net::local::LocalExecutor};

/// Bytes of a response head or of trailers. hyper's own bound on fields, 100, stands: it keeps the
/// parsed fields on the stack.
const MAX_HEAD: usize = 64 * 1024;
/// Bytes read ahead of the client, at most, on one HTTP/1.1 connection.
const MAX_BUFFER: usize = 256 * 1024;
/// Bytes a supplier may send ahead of a slow client, per h2 stream and per connection.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// A silent h2 connection with requests under way is asked for a sign of life this often.
const PING: Duration = Duration::from_secs(15);
const PING_ANSWER: Duration = Duration::from_secs(10);

/// What opening a connection needs to know of a target.
pub(super) struct Dialer {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) connect: Duration,
    /// Of how many addresses that share `connect` this one is.
    pub(super) sharing: Cell<u32>,
    pub(super) stall: Duration,
}

/// A connection just opened.
pub(super) enum Dialed {
    Http1 { sender: http1::SendRequest<Upload>, driver: AbortHandle, received: Received },
    Http2(http2::SendRequest<Upload>),
}

impl Dialer {
    /// Opens a connection within its part of `timeouts.connect`, all included: of several addresses
    /// a dead one must not cost the request.
    pub(super) async fn dial(&self) -> Result<Dialed, DialError> {
        let until = clock::now() + self.connect / self.sharing.get().max(1);
        match timeout_at(until.into(), self.open()).await {
            Ok(dialed) => dialed,
            Err(_elapsed) => Err(DialError::Timeout),
        }
    }

    async fn open(&self) -> Result<Dialed, DialError> {
        let (wire, version) = self.connect_to(self.endpoint.address).await?;
        match version {
            Protocol::Http2 => start_http2(wire).await,
            Protocol::Auto | Protocol::Http1 => start_http1(wire).await,
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<(Wire, Protocol), DialError> {
        let stream = TcpStream::connect(address)
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| DialError::Connect { address, source })?;
        let Some((config, name)) = &self.tls else {
            return Ok((Wire::plain(stream, self.stall), self.protocol));
        };
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name.clone(), stream)
            .await
            .map_err(|source| DialError::Handshake { address, source })?;
        let agreed_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let version = match (self.protocol, agreed_h2) {
            (_, true) => Protocol::Http2,
            (Protocol::Http2, false) => return Err(DialError::Alpn),
            (Protocol::Auto | Protocol::Http1, false) => Protocol::Http1,
        };
        Ok((Wire::tls(stream, self.stall), version))
    }
}

async fn start_http1(wire: Wire) -> Result<Dialed, DialError> {
    let received = wire.received();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(wire))
        .await?;
    let driver = spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "supplier connection ended");
        }
    });
    Ok(Dialed::Http1 { sender, driver: driver.abort_handle(), received })
}

async fn start_http2(wire: Wire) -> Result<Dialed, DialError> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_ANSWER)
        .handshake(TokioIo::new(wire))
        .await?;
    // Ends when the last sender is gone and the last stream is over.
    drop(spawn_local(async move {
        if let Err(error) = connection.await {
            debug!(%error, "supplier connection ended");
        }
    }));
    Ok(Dialed::Http2(sender))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;
    use crate::proxy::upstream::member::Member;

    const CONNECT: Duration = Duration::from_millis(900);

    fn dialer(address: SocketAddr, sharing: u32) -> Dialer {
        Dialer {
            endpoint: Endpoint::new((address, 0), Member::new(1), &Arc::default(), None),
            protocol: Protocol::Http1,
            tls: None,
            connect: CONNECT,
            sharing: Cell::new(sharing),
            stall: CONNECT,
        }
    }

    /// A listener whose queue is full: it answers no SYN.
    async fn black_hole(address: SocketAddr) -> (Socket, Vec<TcpStream>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            timeout_at((clock::now() + CONNECT / 9).into(), TcpStream::connect(address)).await
        {
            queued.push(stream.unwrap());
            assert!(queued.len() < 8, "the queue never fills");
        }
        (socket, queued)
    }

    #[tokio::test]
    async fn gives_up_at_its_part_of_the_connect_timeout() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let address = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), port);
        let _hole = black_hole(address).await;
        for sharing in [1, 3] {
            let start = clock::now();
            assert!(matches!(dialer(address, sharing).dial().await, Err(DialError::Timeout)));
            let elapsed = clock::now() - start;
            assert!(CONNECT / sharing <= elapsed, "{elapsed:?} of {sharing}");
        }
    }
}
