//! Opens a connection to a target: TCP, TLS where asked, and the HTTP version that both speak.

use std::{cell::Cell, future::poll_fn, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::pool::Permit;
use crate::{
    config::model::{Host, Protocol, Target},
    proxy::{net::local::LocalExecutor, pipeline::body::RequestBody, worker::Shared},
};

/// Bytes of a response head, at most.
const HEAD_BYTES: usize = 64 * 1024;

/// Fields of a response head, at most.
const HEAD_FIELDS: usize = 256;

/// An h2 connection that does not answer a ping is given up.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_WAIT: Duration = Duration::from_secs(10);

/// Flow control for h2 suppliers: room for one long download without waiting for updates.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialFault {
    #[error("all connections of the supplier are in use")]
    Busy,
    #[error("the target's name does not resolve to a permitted address")]
    NoAddress,
    #[error("connecting failed: {0}")]
    Connect(io::ErrorKind),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("the target does not speak the configured protocol")]
    Protocol,
    #[error("the HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
}

/// A connection, by the version it speaks.
pub(crate) enum Connected {
    Http1(http1::SendRequest<RequestBody>),
    /// With the streams the supplier allows, kept up to date.
    Http2(http2::SendRequest<RequestBody>, Rc<Cell<usize>>),
}

/// How to reach one target.
#[derive(Debug)]
pub(crate) struct Dialer {
    shared: Arc<Shared>,
    /// The target's place in the address book.
    place: usize,
    protocol: Protocol,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Dialer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: usize,
        target: &Target,
        tls: Option<Arc<ClientConfig>>,
    ) -> Option<Self> {
        let tls = match tls {
            Some(config) => {
                let name = match &target.host {
                    Host::Name(name) => ServerName::try_from(name.clone()).ok()?,
                    Host::Address(address) => ServerName::from(*address),
                };
                Some(Tls { connector: TlsConnector::from(config), name })
            }
            None => None,
        };
        Some(Self { shared, place, protocol: target.protocol, tls })
    }

    /// Tries the target's addresses in turn. The caller bounds the time.
    pub(crate) async fn connect(&self, permit: Permit) -> Result<Connected, DialFault> {
        let addresses = self.shared.book.addresses(self.place);
        let mut fault = DialFault::NoAddress;
        for address in addresses.iter() {
            match open(*address).await {
                Ok(stream) => return self.speak(stream, permit).await,
                Err(error) => fault = DialFault::Connect(error.kind()),
            }
        }
        Err(fault)
    }

    async fn speak(&self, stream: TcpStream, permit: Permit) -> Result<Connected, DialFault> {
        let Some(tls) = &self.tls else {
            // Without TLS there is no negotiation: h2 only where it is configured.
            let two = self.protocol == Protocol::Http2;
            return handshake(stream, two, permit).await;
        };
        let stream =
            tls.connector.connect(tls.name.clone(), stream).await.map_err(DialFault::Tls)?;
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if !two && self.protocol == Protocol::Http2 {
            return Err(DialFault::Protocol);
        }
        handshake(stream, two, permit).await
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake<S>(stream: S, two: bool, permit: Permit) -> Result<Connected, DialFault>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    if two {
        let (sender, connection) = second().handshake(io).await.map_err(DialFault::Handshake)?;
        let offered = Rc::new(Cell::new(connection.current_max_send_streams()));
        let seen = Rc::clone(&offered);
        let mut connection = Box::pin(connection);
        let watched = poll_fn(move |cx| {
            let polled = connection.as_mut().poll(cx);
            seen.set(connection.current_max_send_streams());
            polled
        });
        drive(watched, permit);
        return Ok(Connected::Http2(sender, offered));
    }
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
    let (sender, connection) = builder.handshake(io).await.map_err(DialFault::Handshake)?;
    drive(connection, permit);
    Ok(Connected::Http1(sender))
}

fn second() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .keep_alive_while_idle(false);
    builder
}

/// The worker's `LocalSet` owns the task; it ends with its last sender, or with the connection.
fn drive<F>(connection: F, permit: Permit)
where
    F: Future<Output = hyper::Result<()>> + 'static,
{
    let task = async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a supplier's connection ended");
        }
        drop(permit);
    };
    drop(tokio::task::spawn_local(task));
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
