//! h2: hyper behind a guard that reads the client's frames first, and what their faults come to.

mod block;
mod credit;
mod fault;
mod frame;
mod guard;
mod guarded;
mod huffman;
mod ledger;
mod tunnels;

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use gateway_common::Reason;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::timeout,
};

use self::{
    fault::Fault,
    frame::kind,
    guard::{FRAME, Guard},
    guarded::Guarded,
    tunnels::Tunnels,
};
use super::{
    linger::linger,
    local::LocalExecutor,
    serve::{Conversation, End, GOODBYE, Held, answer, drive},
    vigil::{Lapse, Vigil},
};
use crate::{
    clock,
    proxy::{pipeline::context::Peer, worker::Worker},
};

/// Streams reset by the client before we accepted them (CVE-2023-44487), and those that we had to
/// reset for its faults (CVE-2025-8671): past these the connection ends.
const PENDING_RESETS: usize = 20;
const ERROR_RESETS: usize = 64;

/// A header list this many times `proxy.head` is refused by the h2 library, which tells nobody: up
/// to there the pipeline refuses, with a reason.
const UNTOLD: u32 = 8;

/// What an h2 peer may send ahead, on one stream and on all of a connection, and what waits for it to
/// read on each stream. Together with `proxy.streams` and `proxy.head` these bound the memory of a
/// connection (docs/configuration.md, Bounds); the library's own would be seven times that.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const SEND_BUFFER: usize = 64 << 10;

/// The default of the protocol (RFC 9113 section 6.5.2).
const FIELD_TABLE: u32 = 4096;

/// An h2 client that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(10);

/// Serves h2 until the connection ends.
pub(super) async fn serve<S>(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    mut stream: S,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let proxy = &worker.shared.config.proxy;
    let vigil = Vigil::new(&proxy.timeouts, false, clock::now());
    let list = proxy.head_bytes.saturating_mul(UNTOLD);
    let guard = Rc::new(Guard::new(proxy.streams, list as usize));
    let io = TokioIo::new(Guarded::new(&mut stream, Rc::clone(&guard), Rc::clone(&vigil)));
    let tunnels = Tunnels::new(stop.clone());
    let service = {
        let (worker, peer, vigil) = (Rc::clone(worker), Rc::clone(peer), Rc::clone(&vigil));
        let tunnels = Rc::clone(&tunnels);
        service_fn(move |request| {
            let (worker, peer, vigil) = (Rc::clone(&worker), Rc::clone(&peer), Rc::clone(&vigil));
            let tunnels = Rc::clone(&tunnels);
            // The library moves it about before it runs: boxed, that is a pointer.
            Box::pin(async move { answer_stream(&worker, &peer, &vigil, &tunnels, request).await })
        })
    };
    let end = {
        let mut builder = builder(proxy.streams, list);
        // Offered only where it leads somewhere: browsers then open WebSockets on the connection
        // that they have.
        if worker.shared.config.routes.iter().any(|route| route.websocket) {
            builder.enable_connect_protocol();
        }
        let connection = pin!(builder.serve_connection(io, service));
        drive(pin!(Turns { connection, guard: &guard }), worker, &vigil, stop).await
    };
    tunnels.end().await;
    let fault = guard.fault().or_else(|| judge(&end));
    if let Some(fault) = &fault {
        worker.refused_connection(peer, fault.reason, fault.detail);
    }
    for _ in 0..guard.malformed() {
        worker.refused_connection(peer, Reason::H2Protocol, "a malformed request");
    }
    let ours = guard.fault().or(fault.filter(|_| matches!(end, End::Lapsed(_))));
    if let (Some(fault), Some(last)) = (ours, guard.last_stream()) {
        // Who broke the rules may not read either.
        if !matches!(timeout(GOODBYE, say_why(&mut stream, &fault, last)).await, Ok(Ok(()))) {
            tracing::trace!("a client did not take its GOAWAY");
        }
    }
    if matches!(end, End::Closed(_)) {
        linger(stream).await;
    }
}

/// Answers, and joins a stream that becomes a WebSocket with its supplier.
async fn answer_stream(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    vigil: &Rc<Vigil>,
    tunnels: &Tunnels,
    mut request: Request<Incoming>,
) -> Result<Response<Held>, Infallible> {
    // The library makes one of every CONNECT.
    let stream = request.extensions_mut().remove::<OnUpgrade>();
    let mut response = answer(worker, peer, vigil, request).await?;
    if let Some(stream) = stream
        && let Some(opened) = response.body_mut().take_opened()
    {
        tunnels.open(worker, vigil.begin(), stream, opened);
    }
    Ok(response)
}

fn builder(streams: u32, list: u32) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_frame_size(FRAME)
        .header_table_size(FIELD_TABLE)
        .max_concurrent_streams(streams)
        .max_header_list_size(list)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    builder
}

/// A conversation that tells its guard when it has the processor.
struct Turns<'c, C> {
    connection: Pin<&'c mut C>,
    guard: &'c Guard,
}

impl<C: Conversation> Future for Turns<'_, C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        self.guard.turn();
        self.connection.as_mut().poll(cx)
    }
}

impl<C: Conversation> Conversation for Turns<'_, C> {
    fn finish(mut self: Pin<&mut Self>) {
        self.connection.as_mut().finish();
    }
}

/// What an ending says about the peer, where the guard saw nothing wrong.
fn judge(end: &End) -> Option<Fault> {
    let error = match end {
        End::Lapsed(Lapse::Head) => {
            return Some(Fault::flood(Reason::HeadTimeout, "proxy.timeouts.head"));
        }
        // Not to read is no attack by itself: the exchange was recorded as broken off. Heads are
        // refused before the library only in HTTP/1.1.
        End::Lapsed(Lapse::Drowsy | Lapse::Idle | Lapse::Stalled | Lapse::Overdue)
        | End::Closed(Ok(()))
        | End::Refused(_) => return None,
        End::Closed(Err(error)) => error,
    };
    let broke = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .filter(|fault| fault.is_library())?;
    match broke.reason()? {
        h2::Reason::NO_ERROR => None,
        code @ h2::Reason::ENHANCE_YOUR_CALM => {
            Some(Fault { code, reason: Reason::H2Flood, detail: "the library's own bounds" })
        }
        code @ h2::Reason::FLOW_CONTROL_ERROR => Some(Fault::breach(code, "flow control")),
        code => Some(Fault::breach(code, "found by the h2 library")),
    }
}

/// GOAWAY, where the library has said none.
async fn say_why<S: AsyncWrite + Unpin>(
    stream: &mut S,
    fault: &Fault,
    last: u32,
) -> std::io::Result<()> {
    let mut frame = vec![0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&u32::from(fault.code).to_be_bytes());
    stream.write_all(&frame).await?;
    stream.flush().await
}
