//! One accepted connection: TLS, who is at the other end, and the HTTP version both chose.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use gateway_common::Reason;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{connections::Place, proxy_header, serve};
use crate::{
    clock,
    proxy::{pipeline::context::Peer, worker::Worker},
    telemetry::TlsVersion,
};

/// Serves a connection to its end; `place` is given back then.
pub(super) async fn converse(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    mut peer: Peer,
    tls: Arc<ServerConfig>,
    mut place: Place,
    stop: watch::Receiver<bool>,
) {
    let listener = worker.shared.config.listeners.get(peer.listener);
    if listener.is_some_and(|listener| listener.proxy_protocol) {
        let named = proxy_header::read(&worker, &mut stream, peer, &mut place).await;
        let Some(named) = named else { return };
        peer = named;
    }
    let Some(stream) = handshake(&worker, stream, &peer, tls).await else { return };
    let (_, session) = stream.get_ref();
    let two = session.alpn_protocol() == Some(b"h2");
    let version = session.protocol_version();
    let version = if version == Some(ProtocolVersion::TLSv1_3) {
        TlsVersion::Tls13
    } else {
        TlsVersion::Tls12
    };
    worker.shared.ledger.metrics.tls_handshake(version);
    let peer = Rc::new(Peer { tls: Some(version), ..peer });
    if two {
        Box::pin(serve::second(&worker, &peer, stream, stop)).await;
    } else {
        Box::pin(serve::first(&worker, &peer, stream, stop)).await;
    }
    drop(place);
}

/// The peer behind an accepted socket.
pub(super) fn peer(worker: &Worker, address: SocketAddr, listener: usize) -> Peer {
    let source = address.ip().to_canonical();
    let trusted = &worker.shared.config.kernel.trusted_proxies;
    let behind_proxy = trusted.iter().any(|net| net.contains(&source));
    Peer { source, behind_proxy, tls: None, listener }
}

async fn handshake(
    worker: &Worker,
    stream: TcpStream,
    peer: &Peer,
    tls: Arc<ServerConfig>,
) -> Option<TlsStream<TcpStream>> {
    let deadline = Instant::from_std(clock::now() + worker.shared.config.proxy.timeouts.handshake);
    // To connect and close without a word is what load balancers do to see that we live.
    let spoke = match timeout_at(deadline, stream.peek(&mut [0])).await {
        Ok(peeked) => peeked.is_ok_and(|bytes| bytes > 0),
        Err(_elapsed) => return late(worker, peer),
    };
    if !spoke {
        return None;
    }
    match timeout_at(deadline, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) if refused_us(&error) => {
            worker.shared.ledger.refused_connection(peer, Reason::TlsHandshake, &error.to_string());
            None
        }
        Ok(Err(error)) => {
            worker.refused_connection(peer, Reason::TlsHandshake, &error.to_string());
            None
        }
        Err(_elapsed) => late(worker, peer),
    }
}

fn late<T>(worker: &Worker, peer: &Peer) -> Option<T> {
    worker.refused_connection(peer, Reason::TlsTimeout, "proxy.timeouts.handshake");
    None
}

/// A client that breaks off by an alert does not like us, most often our certificate: that is
/// counted, but no evidence against it.
fn refused_us(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}
