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
    reunion::{Found, reunite},
};
use super::{
    instance::{Instance, Outbox, Parts, StartError},
    memory::Gauge,
    sandbox::{self, SandboxError},
};
use crate::{
    config::Faults,
    ipc::{
        Channel, IpcError, descriptors,
        message::{FromProxy, Make},
    },
    proxy::reload::NotApplied,
};

/// From `Hello` to `Start`, at most.
const INTRODUCTION: Duration = Duration::from_secs(30);

/// Characters of an error that are told, well within a frame.
const WORDS: usize = 4000;

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
    #[error("going over to another configuration")]
    Reload(#[from] NotApplied),
    #[error("a worker thread ended by itself")]
    Crashed,
}

/// The process: shut in first, then what the guard says, until it says to stop.
pub fn run() -> Result<(), ProxyError> {
    let channel = descriptors::inherited().ok_or(ProxyError::NoGuard)?;
    // The sandbox has no /proc.
    let memory = Gauge::open().inspect_err(|error| {
        tracing::warn!(%error, "memory cannot be measured, and has no bound");
    });
    let walls = sandbox::enter(channel.as_fd())?;
    tracing::info!(%walls, "the proxy is shut in");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ProxyError::System { doing: "starting the runtime", source })?;
    let instance = runtime.block_on(async {
        let channel = Channel::from_fd(channel)?;
        Box::pin(serve(channel, memory.ok())).await
    })?;
    instance.join();
    tracing::info!("the proxy has finished");
    Ok(())
}

/// Serves until told to drain; the instance is draining then.
async fn serve(channel: Channel, memory: Option<Gauge>) -> Result<Instance, ProxyError> {
    let mut term = signal(SignalKind::terminate())
        .map_err(|source| ProxyError::System { doing: "waiting for SIGTERM", source })?;
    let (mut held, mut instance, mut outbox) = begin(&channel, memory).await?;
    let mut channel = channel;
    loop {
        let mut serving = Serving { held: &mut held, instance: &mut instance, outbox: &mut outbox };
        match accompany(&channel, &mut serving, &mut term).await? {
            End::Drain { succeeded } => return Ok(drained(instance, succeeded)),
            End::Lost => {}
        }
        tracing::warn!("the guard is gone; the proxy serves on and looks for the next");
        let found = tokio::select! {
            found = reunite(&held, &instance) => found?,
            _ = term.recv() => Found::Drain { succeeded: false },
        };
        match found {
            Found::Guard(guard) => channel = guard,
            Found::Drain { succeeded } => return Ok(drained(instance, succeeded)),
        }
        tracing::info!("another guard took over");
    }
}

fn drained(instance: Instance, succeeded: bool) -> Instance {
    if succeeded {
        instance.drain_succeeded();
    } else {
        instance.drain();
    }
    instance
}

async fn begin(
    channel: &Channel,
    memory: Option<Gauge>,
) -> Result<(Held, Instance, Outbox), ProxyError> {
    let hello = FromProxy::Hello { pid: std::process::id(), make: Make::default() };
    channel.send(&hello, &[]).await?;
    let received = timeout(INTRODUCTION, Outfit::receive(channel)).await;
    let outfit = received.map_err(|_elapsed| ProxyError::Late)??;
    let started = outfit.open().and_then(|(held, parts)| {
        let parts = Parts { memory, ..parts };
        Ok((held, Instance::start(parts)?))
    });
    let (held, (instance, outbox)) = match started {
        Ok(started) => started,
        Err(error) => {
            // For whoever wants to know why; the error itself stands in the log.
            let why = said(&error);
            channel.send(&FromProxy::NotApplied { id: 0, why, fresh: false }, &[]).await?;
            return Err(error);
        }
    };
    channel.send(&FromProxy::Serving, &[]).await?;
    tracing::info!("serving");
    Ok((held, instance, outbox))
}

/// What a conversation is about.
struct Serving<'a> {
    held: &'a mut Held,
    instance: &'a mut Instance,
    outbox: &'a mut Outbox,
}

async fn accompany(
    channel: &Channel,
    serving: &mut Serving<'_>,
    term: &mut Signal,
) -> Result<End, ProxyError> {
    tokio::select! {
        end = converse(channel, serving) => end,
        _ = term.recv() => Ok(End::Drain { succeeded: false }),
    }
}

/// An error and its causes, for the guard's log and command line.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let said = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    said.chars().take(WORDS).collect()
}
