//! Both directions of a serving proxy's conversation with its guard.

use std::{fs::File, os::fd::OwnedFd, time::Duration};

use tokio::{sync::mpsc, time::interval};

use super::{ProxyError, Serving, outfit::Outfit, said};
use crate::{
    ipc::{
        Channel, IpcError,
        message::{FRAME_BYTES, FromGuard, FromProxy, RefusedFile},
    },
    proxy::{instance::Instance, secrets::Secrets},
};

/// Strikes that go out before the guard is heard again.
const BATCH: usize = 64;

/// The workers are looked after this often.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes of an answer that fit a frame beside its envelope.
const ANSWER_BYTES: usize = FRAME_BYTES - 64;

/// Stands for an answer over that.
const TOO_LONG: &str = r#"{"cut":"the answer does not fit a frame"}"#;

/// Refused files that are told, and how much of why: they have to fit a frame with the longest paths.
const REFUSED: usize = 8;
const WHY_CHARACTERS: usize = 512;

/// How a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The guard wants the proxy gone, or cannot be understood.
    Drain { succeeded: bool },
    /// The guard is gone.
    Lost,
}

/// Speaks with the guard until it is gone or wants an end.
pub(super) async fn converse(
    channel: &Channel,
    serving: &mut Serving<'_>,
) -> Result<End, ProxyError> {
    let mut look = interval(LOOK);
    let mut arriving = None;
    let mut waiting = Secrets::default();
    loop {
        let Serving { instance, outbox, .. } = serving;
        let told = tokio::select! {
            heard = channel.receive::<FromGuard>() => match heard {
                Ok((FromGuard::Drain { succeeded }, _)) => return Ok(End::Drain { succeeded }),
                Ok((FromGuard::Secret { path }, mut files)) if arriving.is_none() => {
                    keep(&mut waiting, &path, files.pop());
                    Ok(())
                }
                Ok((FromGuard::Renew { id, unreadable }, _)) => {
                    renew(channel, instance, std::mem::take(&mut waiting), id, unreadable).await
                }
                Ok((message, descriptors)) if is_of_a_reload(&message) => {
                    reload(channel, serving, &mut arriving, message, descriptors).await
                }
                // None of the others carries a descriptor; an unasked one is closed here.
                Ok((message, _)) => answer(channel, instance, message).await,
                Err(error) => Err(error),
            },
            Some(ask) = outbox.asks.recv() => channel.send(&ask, &[]).await,
            Some(first) = outbox.feedback.recv() => {
                tell(channel, first, &mut outbox.feedback).await
            }
            _ = look.tick() => {
                if instance.crashed() {
                    return Err(ProxyError::Crashed);
                }
                Ok(())
            }
        };
        if let Err(error) = told {
            return Ok(end(&error));
        }
    }
}

/// Another configuration, as much as has arrived.
struct Arriving {
    id: u64,
    outfit: Result<Outfit, ProxyError>,
}

fn is_of_a_reload(message: &FromGuard) -> bool {
    matches!(
        message,
        FromGuard::Reload { .. }
            | FromGuard::Configuration { .. }
            | FromGuard::Listener { .. }
            | FromGuard::Secret { .. }
            | FromGuard::Apply { .. }
    )
}

/// Gathers what comes; with the last of it the proxy goes over, or says why not.
async fn reload(
    channel: &Channel,
    serving: &mut Serving<'_>,
    arriving: &mut Option<Arriving>,
    message: FromGuard,
    mut descriptors: Vec<OwnedFd>,
) -> Result<(), IpcError> {
    if let FromGuard::Reload { id, make } = message {
        *arriving = Some(Arriving { id, outfit: Ok(Outfit::again(make)) });
        return Ok(());
    }
    if let FromGuard::Apply { id } = message {
        let whole = arriving.take_if(|arriving| arriving.id == id).map(|arrived| arrived.outfit);
        let outfit = whole.unwrap_or(Err(ProxyError::Protocol { what: "half a configuration" }));
        let answer = match apply(serving, outfit).await {
            Ok(()) => FromProxy::Applied { id },
            Err(error) => {
                let fresh = matches!(&error, ProxyError::Reload(why) if why.takes_a_fresh_one());
                tracing::warn!(why = %said(&error), "another configuration is not applied");
                FromProxy::NotApplied { id, why: said(&error), fresh }
            }
        };
        return channel.send(&answer, &[]).await;
    }
    let Some(Arriving { outfit, .. }) = arriving else {
        tracing::warn!("the guard sent a part of no configuration");
        return Ok(());
    };
    // The first fault is told when all has arrived.
    if let Ok(gathered) = outfit
        && let Err(error) = gathered.take(message, descriptors.pop())
    {
        *outfit = Err(error);
    }
    Ok(())
}

async fn apply(
    serving: &mut Serving<'_>,
    outfit: Result<Outfit, ProxyError>,
) -> Result<(), ProxyError> {
    let (held, next) = outfit?.succeed(serving.held)?;
    Box::pin(serving.instance.apply(next)).await?;
    *serving.held = held;
    tracing::info!("serving by another configuration");
    Ok(())
}

/// Holds new contents of a file until all are there.
fn keep(waiting: &mut Secrets, path: &str, file: Option<OwnedFd>) {
    let Some(file) = file else {
        return tracing::warn!(path, "the guard sent a secret without its file");
    };
    if let Err(error) = waiting.add(path.to_owned(), &File::from(file)) {
        tracing::error!(path, %error, "a renewed file cannot be read");
    }
}

async fn renew(
    channel: &Channel,
    instance: &Instance,
    secrets: Secrets,
    id: u64,
    unreadable: Vec<RefusedFile>,
) -> Result<(), IpcError> {
    let unreadable = unreadable.into_iter().map(|file| (file.path.into(), file.why)).collect();
    let mut refused = instance.renew(&secrets, &unreadable);
    // The log has all of them, whole.
    let more = refused.len() > REFUSED;
    refused.truncate(REFUSED);
    for file in &mut refused {
        file.why = file.why.chars().take(WHY_CHARACTERS).collect();
    }
    channel.send(&FromProxy::Renewed { id, refused, more }, &[]).await
}

/// What a broken conversation asks for.
pub(super) fn end(error: &IpcError) -> End {
    if matches!(error, IpcError::Version { .. }) {
        tracing::warn!(%error, "the guard is of another version; the proxy drains");
        return End::Drain { succeeded: true };
    }
    tracing::debug!(%error, "the conversation with the guard ended");
    End::Lost
}

async fn tell(
    channel: &Channel,
    first: FromProxy,
    waiting: &mut mpsc::Receiver<FromProxy>,
) -> Result<(), IpcError> {
    channel.send(&first, &[]).await?;
    for _ in 1..BATCH {
        let Ok(next) = waiting.try_recv() else { break };
        channel.send(&next, &[]).await?;
    }
    Ok(())
}

async fn answer(
    channel: &Channel,
    instance: &Instance,
    message: FromGuard,
) -> Result<(), IpcError> {
    match message {
        FromGuard::Keys { reset, more, keys } => instance.update_keys(reset, more, keys),
        FromGuard::Time { ahead } => instance.set_time(ahead),
        FromGuard::KernelCounters { id, report } => instance.kernel_counters(id, report),
        FromGuard::KeptAs { id, fault } => instance.kept(id, fault),
        FromGuard::Issue { name } => instance.issue(name),
        FromGuard::Query { id, query } => {
            let whole = instance.answer(&query).to_string();
            // Half a document is none.
            let json = if whole.len() > ANSWER_BYTES { TOO_LONG.to_owned() } else { whole };
            channel.send(&FromProxy::Answer { id, json }, &[]).await?;
        }
        FromGuard::Welcome { .. }
        | FromGuard::Configuration { .. }
        | FromGuard::Listener { .. }
        | FromGuard::Secret { .. }
        | FromGuard::Renew { .. }
        | FromGuard::AccessLog
        | FromGuard::Start
        | FromGuard::Reload { .. }
        | FromGuard::Apply { .. }
        | FromGuard::Drain { .. } => tracing::warn!("the guard said something out of turn"),
    }
    Ok(())
}
