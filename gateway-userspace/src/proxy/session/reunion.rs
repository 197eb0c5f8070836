//! Finding the next guard: it opens `<guard.run>/worker.sock` for a moment when it starts, and
//! gets the listening sockets there, so that no connection is lost between two guards.

use std::{io, os::fd::AsFd as _, path::Path, time::Duration};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::{sleep, timeout};

use super::{ProxyError, outfit::Held};
use crate::{
    ipc::{
        Channel, IpcError,
        handover::{FromHeir, FromOrphan},
        message::VERSION,
    },
    proxy::instance::Instance,
};

/// The guard waits three seconds for a proxy that lives.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);

/// One attempt, once there is somebody.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the search came to.
pub(super) enum Found {
    /// A guard whose proxy this one is from now on.
    Guard(Channel),
    /// One that has another proxy, or cannot be understood at all.
    Drain { succeeded: bool },
}

/// Waits for a guard and hands over. An error where the workers do not live any more.
pub(super) async fn reunite(held: &Held, instance: &Instance) -> Result<Found, ProxyError> {
    let socket = held.run.join("worker.sock");
    let mut wait = SHORTEST;
    loop {
        if instance.crashed() {
            return Err(ProxyError::Crashed);
        }
        sleep(wait).await;
        wait = (wait * 3 / 2).min(LONGEST);
        let Ok(channel) = call(&socket) else { continue };
        match timeout(PATIENCE, hand_over(&channel, held)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if matches!(error, IpcError::Version { .. }) => {
                tracing::warn!(%error, "the guard is of another kind; the proxy drains");
                return Ok(Found::Drain { succeeded: true });
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "handing over to the next guard failed");
                continue;
            }
            Err(_elapsed) => {
                tracing::warn!("the next guard did not take over in time");
                continue;
            }
        }
        match verdict(&channel, instance).await {
            Some(FromHeir::Adopt) => {
                tell_addresses(&channel, instance).await;
                return Ok(Found::Guard(channel));
            }
            Some(FromHeir::Drain) => return Ok(Found::Drain { succeeded: true }),
            // It is gone before it had a proxy of its own; the search goes on.
            Some(FromHeir::Welcome { .. }) | None => wait = SHORTEST,
        }
    }
}

/// What the guard decides, once it knows: it may start another proxy first.
async fn verdict(channel: &Channel, instance: &Instance) -> Option<FromHeir> {
    let crash = async {
        while !instance.crashed() {
            sleep(LONGEST).await;
        }
    };
    tokio::select! {
        heard = channel.receive::<FromHeir>() => heard.ok().map(|(message, _)| message),
        () = crash => None,
    }
}

fn call(path: &Path) -> Result<Channel, ProxyError> {
    let connected = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking().cloexec(), None)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    let socket = connected()
        .map_err(|source| ProxyError::System { doing: "looking for the guard", source })?;
    Ok(Channel::from_fd(socket.into())?)
}

async fn hand_over(channel: &Channel, held: &Held) -> Result<(), IpcError> {
    let pid = std::process::id();
    let hello = FromOrphan::Hello { ipc: VERSION, pid, make: held.make };
    channel.send(&hello, &[]).await?;
    // One that makes its proxies otherwise takes the sockets too, and later says `Drain`.
    if !matches!(channel.receive().await?.0, FromHeir::Welcome { .. }) {
        return Err(IpcError::Closed);
    }
    for socket in &held.sockets {
        let holding = FromOrphan::Holding { address: socket.address, role: socket.role };
        channel.send(&holding, &[socket.as_fd()]).await?;
    }
    channel.send(&FromOrphan::Done, &[]).await
}

/// A guard that is new knows no supplier's addresses.
async fn tell_addresses(channel: &Channel, instance: &Instance) {
    for resolved in instance.resolved() {
        if channel.send(&resolved, &[]).await.is_err() {
            // The conversation finds out itself.
            return;
        }
    }
}
