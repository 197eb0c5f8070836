//! The conversation with one proxy: the introduction, then both directions until it ends. What
//! the proxy says is bounded in size by the frame, in number by a budget a second, and in memory
//! by the queue to the event loop, whose fullness the proxy feels.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::outfit::Outfit;
use crate::ipc::{
    Channel, IpcError,
    message::{FromGuard, FromProxy},
};

/// Messages of the proxy that are taken in a second; more have to wait.
const MESSAGES_A_SECOND: u32 = 50_000;

/// Messages to the proxy that may wait: all files that it may hold, twice.
pub(super) const OUTGOING: usize = 2048;

/// A step that asks nothing of a proxy but to be alive.
pub(in crate::guard) const STEP: Duration = Duration::from_secs(10);

/// From `Start` to `Serving`: certificates are read and runtimes started.
const SERVING: Duration = Duration::from_secs(30);

/// A message to a proxy, with the descriptor it carries.
#[derive(Debug)]
pub(in crate::guard) struct Outgoing {
    pub(in crate::guard) message: FromGuard,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Outgoing {
    pub(in crate::guard) fn plain(message: FromGuard) -> Self {
        Self { message, descriptor: None }
    }

    pub(super) fn with(message: FromGuard, descriptor: OwnedFd) -> Self {
        Self { message, descriptor: Some(descriptor) }
    }
}

/// What happens to a proxy, in the order it happens.
#[derive(Debug)]
pub(in crate::guard) enum Event {
    Serving,
    Message(FromProxy),
    /// The conversation is over: closed, or broken off for a malformed frame.
    Lost {
        why: String,
    },
    /// The process is gone.
    Exited,
}

/// An event, and of which proxy: a late word of an earlier one is not taken for the next one's.
pub(in crate::guard) type Numbered = (u64, Event);

/// What a conversation needs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) channel: Channel,
    pub(super) events: mpsc::Sender<Numbered>,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
}

impl Session {
    /// Introduces a new proxy, then speaks with it until one side ends it.
    pub(super) async fn begin(self, pid: u32, outfit: Outfit) {
        match introduce(&self.channel, pid, outfit).await {
            Ok(()) => self.converse().await,
            Err(why) => self.lost(why).await,
        }
    }

    /// Speaks with a proxy that serves.
    pub(super) async fn converse(self) {
        let Self { number, channel, events, mut outgoing } = self;
        let channel = Arc::new(channel);
        if events.send((number, Event::Serving)).await.is_err() {
            return;
        }
        let why = tokio::select! {
            why = listen(number, &channel, &events) => why,
            why = speak(&channel, &mut outgoing) => why,
        };
        drop(events.send((number, Event::Lost { why })).await);
    }

    async fn lost(self, why: String) {
        drop(self.events.send((self.number, Event::Lost { why })).await);
    }
}

async fn introduce(channel: &Channel, pid: u32, outfit: Outfit) -> Result<(), String> {
    let said = within(STEP, receive(channel)).await?;
    if !matches!(said, FromProxy::Hello { pid: theirs, .. } if theirs == pid) {
        return Err("it did not say hello".to_owned());
    }
    send(channel, Outgoing::plain(FromGuard::Welcome { make: outfit.make })).await?;
    for message in outfit.messages {
        send(channel, message).await?;
    }
    let said = within(SERVING, receive(channel)).await?;
    if let FromProxy::NotApplied { why, .. } = said {
        return Err(why);
    }
    let serves = said == FromProxy::Serving;
    if serves { Ok(()) } else { Err("it did not say that it serves".to_owned()) }
}

/// Forwards what the proxy says until it says something it must not.
async fn listen(number: u64, channel: &Channel, events: &mpsc::Sender<Numbered>) -> String {
    let mut budget = Budget { second: Instant::now(), left: MESSAGES_A_SECOND };
    loop {
        budget.spend().await;
        let message = match receive(channel).await {
            Ok(message) => message,
            Err(why) => return why,
        };
        if events.send((number, Event::Message(message))).await.is_err() {
            return "the guard stops".to_owned();
        }
    }
}

async fn speak(channel: &Channel, outgoing: &mut mpsc::Receiver<Outgoing>) -> String {
    while let Some(message) = outgoing.recv().await {
        if let Err(why) = send(channel, message).await {
            return why;
        }
    }
    "the guard let go of it".to_owned()
}

pub(super) async fn send(channel: &Channel, outgoing: Outgoing) -> Result<(), String> {
    let descriptors: Vec<_> = outgoing.descriptor.iter().map(OwnedFd::as_fd).collect();
    channel.send(&outgoing.message, &descriptors).await.map_err(|error| said(&error))
}

async fn receive(channel: &Channel) -> Result<FromProxy, String> {
    let (message, descriptors) =
        channel.receive::<FromProxy>().await.map_err(|error| said(&error))?;
    // After the introduction no message of a proxy carries any.
    if descriptors.is_empty() { Ok(message) } else { Err("unasked descriptors".to_owned()) }
}

pub(super) fn said(error: &IpcError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(super) async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(patience, step).await.unwrap_or_else(|_| Err("it took too long".to_owned()))
}

/// So many messages in a second.
struct Budget {
    second: Instant,
    left: u32,
}

impl Budget {
    async fn spend(&mut self) {
        if self.left == 0 {
            sleep_until(self.second + Duration::from_secs(1)).await;
            (self.second, self.left) = (Instant::now(), MESSAGES_A_SECOND);
        }
        self.left -= 1;
    }
}
