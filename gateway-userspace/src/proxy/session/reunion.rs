//! Finding the next guard: it opens `<guard.run>/worker.sock` for a moment when it starts, and
//! gets the listening sockets there, so that no connection is lost between two guards.

use std::{io, os::fd::AsFd as _, path::Path, time::Duration};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::{sleep, timeout};

use super::{
    ProxyError,
    converse::{End, end},
    outfit::Held,
    plain,
};
use crate::{
    ipc::{
        Channel, IpcError,
        message::{FromGuard, FromProxy},
    },
    proxy::instance::Instance,
};

/// The guard waits three seconds for a proxy that lives.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);

/// One attempt, once there is somebody.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a guard and hands over. `None` where the guard cannot be understood and the proxy has
/// to drain; an error where its workers do not live any more.
pub(super) async fn reunite(
    held: &Held,
    instance: &Instance,
) -> Result<Option<Channel>, ProxyError> {
    let socket = held.run.join("worker.sock");
    let mut wait = SHORTEST;
    loop {
        if instance.crashed() {
            return Err(ProxyError::Crashed);
        }
        sleep(wait).await;
        wait = (wait * 3 / 2).min(LONGEST);
        let Ok(channel) = call(&socket) else { continue };
        match timeout(PATIENCE, hand_over(&channel, held, instance)).await {
            Ok(Ok(())) => return Ok(Some(channel)),
            Ok(Err(error)) if end(&error) == End::Drain => return Ok(None),
            Ok(Err(error)) => tracing::warn!(%error, "handing over to the next guard failed"),
            Err(_elapsed) => tracing::warn!("the next guard did not take over in time"),
        }
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

async fn hand_over(channel: &Channel, held: &Held, instance: &Instance) -> Result<(), IpcError> {
    let pid = std::process::id();
    channel.send(&FromProxy::Hello { pid, make: held.make }, &[]).await?;
    // A guard that makes its proxies otherwise takes the sockets too, and then says `Drain`.
    if !matches!(plain(channel).await?, FromGuard::Welcome { .. }) {
        return Err(IpcError::Closed);
    }
    for socket in &held.sockets {
        let holding = FromProxy::Holding { address: socket.address, role: socket.role };
        channel.send(&holding, &[socket.as_fd()]).await?;
    }
    channel.send(&FromProxy::Serving, &[]).await?;
    for resolved in instance.resolved() {
        channel.send(&resolved, &[]).await?;
    }
    Ok(())
}
