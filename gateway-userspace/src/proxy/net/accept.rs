//! Takes connections from one listening socket, within bounds, until told to stop; then waits for
//! those it has.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use futures_util::FutureExt as _;
use gateway_common::Reason;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::connection;
use crate::proxy::{
    memory::Level,
    net::connections::{Full, Place},
    pipeline::context::Peer,
    worker::Worker,
};

/// Without descriptors or memory, accepting again at once only burns the processor.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket, and the address by which the configuration of the moment knows it.
pub(crate) struct Listening {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Serves until `stop`, then finishes within `proxy.timeouts.drain`.
pub(crate) async fn accept(
    mut worker: Rc<Worker>,
    listener: Listening,
    mut stop: watch::Receiver<bool>,
) {
    let Listening { socket, address: at } = listener;
    let mut tasks = JoinSet::new();
    let connections = stop.clone();
    while !*stop.borrow_and_update() {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok(accepted) => {
                    latest(&mut worker, at);
                    take(&worker, at, accepted, &mut tasks, &connections);
                }
                Err(error) => pause(&error).await,
            },
            Some(ended) = tasks.join_next() => note(ended),
            _ = stop.changed() => {}
        }
    }
    if !latest(&mut worker, at) {
        // The listener is no more, and who waits in its socket would be reset when that is closed.
        while let Some(Ok(accepted)) = socket.accept().now_or_never() {
            take(&worker, at, accepted, &mut tasks, &connections);
        }
    }
    // Who comes from here on is another proxy's, or is refused by the kernel.
    drop(socket);
    let drain = worker.shared.config.proxy.timeouts.drain;
    let finished = async {
        while let Some(ended) = tasks.join_next().await {
            note(ended);
        }
    };
    if timeout(drain, finished).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections did not finish in time and are cut");
        tasks.abort_all();
    }
}

/// Serves an accepted connection by the configuration of now.
fn take(
    worker: &Rc<Worker>,
    at: SocketAddr,
    (stream, address): (TcpStream, SocketAddr),
    tasks: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) {
    let Some(place) = worker.shared.tls.place(at) else { return };
    let peer = connection::peer(worker, address, place);
    if let Some(place) = admit(worker, &stream, &peer) {
        let (worker, stop) = (Rc::clone(worker), stop.clone());
        tasks.spawn_local(connection::converse(worker, stream, peer, place, stop));
    }
}

/// The worker of now, or the last one that knew the listener.
fn latest(worker: &mut Rc<Worker>, at: SocketAddr) -> bool {
    let latest = worker.latest();
    let known = latest.shared.tls.place(at).is_some();
    if known {
        *worker = latest;
    }
    known
}

fn admit(worker: &Worker, stream: &TcpStream, peer: &Peer) -> Option<Place> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let shared = &worker.shared;
    // Others fill the gateway: no evidence against whoever comes last.
    let full = |reason, what| shared.ledger.refused_connection(peer, reason, what);
    if shared.process.level() == Level::Full {
        full(Reason::Memory, "proxy.memory");
        reset(stream);
        return None;
    }
    match shared.connections.admit(peer) {
        Ok(place) => return Some(place),
        Err(Full::All) => full(Reason::Connections, "proxy.connections"),
        Err(Full::Source) => {
            worker.refused_connection(peer, Reason::Connections, "proxy.connections_per_source");
        }
    }
    reset(stream);
    None
}

/// A reset leaves nothing behind: a flood must not fill the table with `TIME_WAIT`.
fn reset(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "SO_LINGER was refused");
    }
}

async fn pause(error: &io::Error) {
    // The client may be gone before it is accepted; everything else is ours.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "accepting a connection failed");
    sleep(PAUSE).await;
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
