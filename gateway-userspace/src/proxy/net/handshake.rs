//! From an accepted socket to a TLS stream, and what it says about the peer where that fails. Whoever
//! goes away is counted, and nothing more: networks break, browsers open connections ahead and let
//! them go. Evidence is what no honest client sends.

use std::{io, sync::Arc, time::Duration};

use gateway_common::Reason;
use rustls::{CertificateError, Error, ServerConfig, server::Acceptor};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::handshakes::{Denied, Turn};
use crate::{
    clock,
    proxy::{
        identity::certificate::ClientCertificate, pipeline::context::Peer, tls::Listener,
        worker::Worker,
    },
};

/// A fatal `unrecognized_name` (RFC 6066 section 3), as a record before any keys.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What a handshake yields.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// Shakes hands within `proxy.timeouts.handshake`.
pub(super) async fn handshake(
    worker: &Worker,
    stream: TcpStream,
    peer: &Peer,
    listener: &Listener,
) -> Option<Secured> {
    let deadline = Instant::from_std(clock::now() + worker.shared.config.proxy.timeouts.handshake);
    // To connect and close without a word is what load balancers do to see that we live.
    match timeout_at(deadline, stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => {}
        Ok(_silent) => return None,
        Err(_elapsed) => return note(worker, peer, Reason::TlsAbandoned, "said nothing"),
    }
    let _turn = turn(worker, peer, &stream)?;
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match timeout_at(deadline, acceptor).await {
        Ok(Ok(start)) => start,
        Ok(Err(error)) => return fault(worker, peer, &error),
        Err(_elapsed) => return late(worker, peer),
    };
    if let Some(config) = challenge(worker, &start) {
        return prove(start, config, deadline).await;
    }
    let current = listener.current();
    let known = current.knows(start.client_hello().server_name());
    let config = Arc::clone(&current.config);
    drop(current);
    if !known {
        return unknown_name(worker, peer, start, deadline).await;
    }
    match timeout_at(deadline, start.into_stream(config)).await {
        Ok(Ok(stream)) => identify(worker, peer, listener, stream),
        Ok(Err(error)) => fault(worker, peer, &error),
        Err(_elapsed) => late(worker, peer),
    }
}

/// Who offers `acme-tls/1`, and nothing else, asks whether a name is ours (RFC 8737 section 3).
fn challenge(worker: &Worker, start: &StartHandshake<TcpStream>) -> Option<Arc<ServerConfig>> {
    let hello = start.client_hello();
    let mut offered = hello.alpn()?;
    let alone = offered.next() == Some(b"acme-tls/1") && offered.next().is_none();
    hello.server_name().filter(|_| alone).and_then(|name| worker.shared.acme.answer_tls(name))
}

/// The handshake is the whole answer: nothing is said over it.
async fn prove<T>(
    start: StartHandshake<TcpStream>,
    config: Arc<ServerConfig>,
    deadline: Instant,
) -> Option<T> {
    let answered = async {
        let mut stream = start.into_stream(config).await?;
        stream.shutdown().await
    };
    let said = timeout_at(deadline, answered).await;
    tracing::info!(good = matches!(said, Ok(Ok(()))), "an authority asked for a challenge");
    None
}

/// A turn, or a reset: refusing has to be cheaper than asking.
fn turn(worker: &Worker, peer: &Peer, stream: &TcpStream) -> Option<Turn> {
    let denied = match worker.shared.handshakes.begin(peer) {
        Ok(turn) => return Some(turn),
        Err(denied) => denied,
    };
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "SO_LINGER was refused");
    }
    match denied {
        Denied::Rate => strike(worker, peer, Reason::HandshakeLimit, "tls.handshakes"),
        Denied::AtOnce => strike(worker, peer, Reason::HandshakeLimit, "tls.handshakes_at_once"),
        // Others fill the table: no evidence against whoever comes last.
        Denied::Sources => note(worker, peer, Reason::LimiterFull, "proxy.limiter_keys"),
    }
}

async fn unknown_name<T>(
    worker: &Worker,
    peer: &Peer,
    mut start: StartHandshake<TcpStream>,
    deadline: Instant,
) -> Option<T> {
    let name = start.client_hello().server_name().unwrap_or("none").to_owned();
    let goodbye = async {
        start.io.write_all(&UNRECOGNIZED_NAME).await?;
        start.io.shutdown().await
    };
    if !matches!(timeout_at(deadline, goodbye).await, Ok(Ok(()))) {
        tracing::trace!("a client did not take its alert");
    }
    strike(worker, peer, Reason::TlsNameUnknown, &name)
}

/// What the verifier took, as stages and suppliers get it.
fn identify(
    worker: &Worker,
    peer: &Peer,
    listener: &Listener,
    stream: TlsStream<TcpStream>,
) -> Option<Secured> {
    let (_, session) = stream.get_ref();
    let Some(shown) = session.peer_certificates().and_then(|chain| chain.first()) else {
        return Some(Secured { stream, certificate: None });
    };
    match ClientCertificate::read(shown, listener.forward()) {
        Some(read) => Some(Secured { stream, certificate: Some(Arc::new(read)) }),
        None => strike(worker, peer, Reason::ClientCertificateInvalid, "it cannot be read"),
    }
}

/// A handshake that failed.
fn fault<T>(worker: &Worker, peer: &Peer, error: &io::Error) -> Option<T> {
    let detail = error.to_string();
    // What weighs nothing is no strike.
    strike(worker, peer, judge(error), &detail)
}

/// What an error says about the peer.
fn judge(error: &io::Error) -> Reason {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(inner) = inner else { return Reason::TlsAbandoned };
    if matches!(inner, Error::AlertReceived(_)) {
        // It does not like us, most often our certificate.
        return Reason::TlsAbandoned;
    }
    if matches!(inner, Error::NoCertificatesPresented) {
        return Reason::ClientCertificateMissing;
    }
    if matches!(inner, Error::InvalidCertificate(CertificateError::Revoked)) {
        return Reason::ClientCertificateRevoked;
    }
    if let Error::InvalidCertificate(fault) = inner
        && is_ours(fault)
    {
        return Reason::RevocationUnknown;
    }
    if matches!(inner, Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_)) {
        return Reason::ClientCertificateInvalid;
    }
    if matches!(inner, Error::PeerIncompatible(_) | Error::NoApplicationProtocol) {
        return Reason::TlsIncompatible;
    }
    Reason::TlsHandshake
}

/// Our lists of revoked certificates are too old, or do not cover the chain: nothing that the client
/// could help.
fn is_ours(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. }
    )
}

fn late<T>(worker: &Worker, peer: &Peer) -> Option<T> {
    strike(worker, peer, Reason::TlsTimeout, "proxy.timeouts.handshake")
}

fn strike<T>(worker: &Worker, peer: &Peer, reason: Reason, detail: &str) -> Option<T> {
    worker.refused_connection(peer, reason, detail);
    None
}

fn note<T>(worker: &Worker, peer: &Peer, reason: Reason, detail: &str) -> Option<T> {
    worker.shared.ledger.refused_connection(peer, reason, detail);
    None
}
