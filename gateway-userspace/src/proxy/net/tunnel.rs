//! A connection after HTTP: bytes both ways between a client and a supplier, with back-pressure,
//! counted, and ended when both fall silent or the proxy goes down. Nothing in them is read.

use std::{cell::Cell, io, time::Duration};

use gateway_common::Reason;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    sync::watch,
    time::sleep_until,
};

use super::serve::GOODBYE;
use crate::{
    clock,
    config::model::Timeouts,
    proxy::{pipeline::body::ResponseBody, upstream::Switched, worker::Worker},
};

/// Bytes under way in each direction.
const BUFFER: usize = 16 << 10;

/// Two connections that are one from here on.
pub(super) struct Opened {
    pub(super) switched: Box<Switched>,
    /// Written when the tunnel ends.
    pub(super) record: ResponseBody,
}

/// What has passed, and when the last of it did.
struct Passed {
    received: Cell<u64>,
    sent: Cell<u64>,
    last: Cell<std::time::Instant>,
    /// The client has said its last word.
    closing: Cell<bool>,
}

/// Carries bytes until the tunnel ends. `early` came from the client behind its request.
pub(super) async fn run<S>(
    worker: &Worker,
    opened: Opened,
    early: &[u8],
    stream: S,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opened { switched, mut record } = opened;
    let timeouts = &worker.shared.config.proxy.timeouts;
    let passed = Passed {
        received: Cell::new(0),
        sent: Cell::new(0),
        last: Cell::new(clock::now()),
        closing: Cell::new(false),
    };
    let (mut from_client, mut to_client) = split(stream);
    let (mut from_supplier, mut to_supplier) = split(TokioIo::new(switched.stream));
    let up = async {
        to_supplier.write_all(early).await?;
        passed.received.set(early.len() as u64);
        carry(&mut from_client, &mut to_supplier, &passed.received, &passed.last).await?;
        passed.closing.set(true);
        io::Result::Ok(())
    };
    let down = carry(&mut from_supplier, &mut to_client, &passed.sent, &passed.last);
    let broke = tokio::select! {
        _ended = async { tokio::try_join!(up, down) } => None,
        () = silence(&passed, timeouts) => None,
        () = going_down(stop, timeouts.drain) => Some(Reason::Draining),
    };
    let goodbye = async { tokio::join!(to_client.shutdown(), to_supplier.shutdown()) };
    if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
        tracing::trace!("an end of a tunnel took no goodbye");
    }
    record.tunnelled(passed.received.get(), passed.sent.get());
    if let Some(reason) = broke {
        record.broke(reason);
    }
}

/// One direction, to its end: what one side closes is closed for the other.
async fn carry<R, W>(
    from: &mut R,
    to: &mut W,
    count: &Cell<u64>,
    last: &Cell<std::time::Instant>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
        count.set(count.get().saturating_add(read as u64));
        last.set(clock::now());
    }
}

/// Resolves once nothing has passed for so long, in neither direction. A client that has ended its
/// side, or reset a stream of h2, which looks the same, answers no ping of the supplier's either.
async fn silence(passed: &Passed, timeouts: &Timeouts) {
    let Timeouts { idle, stall, .. } = timeouts;
    loop {
        let now = clock::now();
        let wait = if passed.closing.get() { stall.min(idle) } else { idle };
        let end = passed.last.get() + *wait;
        if now >= end {
            return;
        }
        sleep_until(end.min(now + *stall).into()).await;
    }
}

/// Resolves a little before connections are cut, so that both ends hear of it.
async fn going_down(mut stop: watch::Receiver<bool>, drain: Duration) {
    if stop.wait_for(|stopping| *stopping).await.is_ok() {
        tokio::time::sleep(drain.mul_f32(0.8)).await;
    }
}
