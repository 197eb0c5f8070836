//! One accepted connection: TLS, who is at the other end, and the HTTP version both chose.

use std::{net::SocketAddr, rc::Rc};

use rustls::ProtocolVersion;
use tokio::{net::TcpStream, sync::watch};

use super::{
    connections::Place,
    handshake::{Secured, handshake},
    http2, proxy_header, serve,
};
use crate::{
    proxy::{pipeline::context::Peer, worker::Worker},
    telemetry::TlsVersion,
};

/// Serves a connection to its end; `place` is given back then.
pub(super) async fn converse(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    mut peer: Peer,
    mut place: Place,
    stop: watch::Receiver<bool>,
) {
    let configured = worker.shared.config.listeners.get(peer.listener);
    if configured.is_some_and(|listener| listener.proxy_protocol) {
        let named = proxy_header::read(&worker, &mut stream, peer, &mut place).await;
        let Some(named) = named else { return };
        peer = named;
    }
    let Some(listener) = worker.shared.tls.listener(peer.listener) else { return };
    // Boxed, for what a handshake needs must not be held as long as the connection lives; nor must
    // the stream have a place in each future that it goes through.
    let shaken = Box::pin(handshake(&worker, stream, &peer, listener)).await;
    let Some(Secured { stream, certificate }) = shaken else { return };
    let stream = Box::new(stream);
    let (_, session) = stream.get_ref();
    let two = session.alpn_protocol() == Some(b"h2");
    let version = session.protocol_version();
    let version = if version == Some(ProtocolVersion::TLSv1_3) {
        TlsVersion::Tls13
    } else {
        TlsVersion::Tls12
    };
    worker.shared.ledger.metrics.tls_handshake(version);
    let peer = Rc::new(Peer { tls: Some(version), certificate, ..peer });
    if two {
        Box::pin(http2::serve(&worker, &peer, stream, stop)).await;
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
    Peer { source, behind_proxy, tls: None, certificate: None, listener }
}
