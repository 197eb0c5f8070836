//! Both directions of a serving proxy's conversation with its guard.

use std::time::Duration;

use tokio::{sync::mpsc, time::interval};

use super::{ProxyError, plain};
use crate::{
    ipc::{
        Channel, IpcError,
        message::{FRAME_BYTES, FromGuard, FromProxy},
    },
    proxy::instance::{Instance, Outbox},
};

/// Strikes that go out before the guard is heard again.
const BATCH: usize = 64;

/// The workers are looked after this often.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes of an answer that fit a frame beside its envelope.
const ANSWER_BYTES: usize = FRAME_BYTES - 64;

/// Stands for an answer over that.
const TOO_LONG: &str = r#"{"cut":"the answer does not fit a frame"}"#;

/// How a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The guard wants the proxy gone, or cannot be understood.
    Drain,
    /// The guard is gone.
    Lost,
}

/// Speaks with the guard until it is gone or wants an end.
pub(super) async fn converse(
    channel: &Channel,
    instance: &Instance,
    outbox: &mut Outbox,
) -> Result<End, ProxyError> {
    let mut look = interval(LOOK);
    loop {
        let told = tokio::select! {
            heard = plain(channel) => match heard {
                Ok(FromGuard::Drain) => return Ok(End::Drain),
                Ok(message) => answer(channel, instance, message).await,
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

/// What a broken conversation asks for.
pub(super) fn end(error: &IpcError) -> End {
    if matches!(error, IpcError::Version { .. }) {
        tracing::warn!(%error, "the guard is of another version; the proxy drains");
        return End::Drain;
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
        | FromGuard::AccessLog
        | FromGuard::Start
        | FromGuard::Drain => tracing::warn!("the guard said something out of turn"),
    }
    Ok(())
}
