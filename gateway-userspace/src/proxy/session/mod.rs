//! The proxy's side of the protocol: it gets what it needs, serves, and tells the guard what
//! happens. When the guard is gone it serves on and looks for the next one.

mod converse;
mod outfit;
mod reunion;
#[cfg(test)]
mod tests;

use std::{io, os::fd::AsFd as _, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use self::{
    converse::{End, converse},
    outfit::{Held, Outfit},
    reunion::reunite,
};
use super::{
    instance::{Instance, Outbox, StartError},
    sandbox::{self, SandboxError},
};
use crate::{
    config::Faults,
    ipc::{
        Channel, IpcError, descriptors,
        message::{FromGuard, FromProxy, Make},
    },
};

/// From `Hello` to `Start`, at most.
const INTRODUCTION: Duration = Duration::from_secs(30);

/// Why the proxy does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("no guard at descriptor 3; `gateway run` starts the proxy by itself")]
    NoGuard,
    #[error("shutting the proxy in")]
    Sandbox(#[from] SandboxError),
    #[error("speaking with the guard")]
    Ipc(#[from] IpcError),
    #[error("{doing}")]
    System {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the guard did not send everything in time")]
    Late,
    #[error("the guard sent {what}")]
    Protocol { what: &'static str },
    #[error("reading {path}, which the guard passed")]
    Secret {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the configuration does not hold:\n{0}")]
    Configuration(Faults),
    #[error("starting to serve")]
    Start(#[from] StartError),
    #[error("a worker thread ended by itself")]
    Crashed,
}

/// The process: shut in first, then what the guard says, until it says to stop.
pub fn run() -> Result<(), ProxyError> {
    let channel = descriptors::inherited().ok_or(ProxyError::NoGuard)?;
    let walls = sandbox::enter(channel.as_fd())?;
    tracing::info!(%walls, "the proxy is shut in");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ProxyError::System { doing: "starting the runtime", source })?;
    let instance = runtime.block_on(async {
        let channel = Channel::from_fd(channel)?;
        Box::pin(serve(channel)).await
    })?;
    instance.join();
    tracing::info!("the proxy has finished");
    Ok(())
}

/// Serves until told to drain; the instance is draining then.
async fn serve(channel: Channel) -> Result<Instance, ProxyError> {
    let mut term = signal(SignalKind::terminate())
        .map_err(|source| ProxyError::System { doing: "waiting for SIGTERM", source })?;
    let (held, instance, mut outbox) = begin(&channel).await?;
    let mut channel = channel;
    loop {
        match accompany(&channel, &instance, &mut outbox, &mut term).await? {
            End::Drain => break,
            End::Lost => {
                tracing::warn!("the guard is gone; the proxy serves on and looks for the next");
                let found = tokio::select! {
                    found = reunite(&held, &instance) => found?,
                    _ = term.recv() => break,
                };
                let Some(found) = found else { break };
                tracing::info!("another guard took over");
                channel = found;
            }
        }
    }
    instance.drain();
    Ok(instance)
}

async fn begin(channel: &Channel) -> Result<(Held, Instance, Outbox), ProxyError> {
    let hello = FromProxy::Hello { pid: std::process::id(), make: Make::default() };
    channel.send(&hello, &[]).await?;
    let received = timeout(INTRODUCTION, Outfit::receive(channel)).await;
    let outfit = received.map_err(|_elapsed| ProxyError::Late)??;
    let (held, parts) = outfit.open()?;
    let (instance, outbox) = Instance::start(parts)?;
    channel.send(&FromProxy::Serving, &[]).await?;
    tracing::info!("serving");
    Ok((held, instance, outbox))
}

async fn accompany(
    channel: &Channel,
    instance: &Instance,
    outbox: &mut Outbox,
    term: &mut Signal,
) -> Result<End, ProxyError> {
    tokio::select! {
        end = converse(channel, instance, outbox) => end,
        _ = term.recv() => Ok(End::Drain),
    }
}

/// One message without descriptors.
async fn plain(channel: &Channel) -> Result<FromGuard, IpcError> {
    let (message, descriptors) = channel.receive().await?;
    // None is due once the proxy serves; an unasked one is closed here.
    drop(descriptors);
    Ok(message)
}
