//! Keeps one proxy serving: the state between its starts, and how soon the next one comes.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tracing::{error, info, warn};

use super::{
    adopt::Serving,
    launch::launch,
    outfit::{Outfit, key_messages},
    process::Process,
    session::{Event, Numbered, OUTGOING, Outgoing, Session, send},
};
use crate::{
    control::ProxyStatus,
    guard::{accounts::Accounts, error::GuardError},
    ipc::{
        Channel,
        message::{ApiKey, FromGuard, FromProxy},
    },
};

/// A proxy that served this long starts a new count of failures.
const STEADY: Duration = Duration::from_mins(1);

/// The longest wait before another start.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a draining proxy gets beyond its own patience.
const GRACE: Duration = Duration::from_secs(2);

/// What the event loop has to do about a proxy's event.
#[derive(Debug)]
pub(in crate::guard) enum Reaction {
    Nothing,
    Heard(FromProxy),
    /// Serves for the first time since it was started.
    Serves,
    /// It never served: the guard has nothing to guard.
    Hopeless(GuardError),
}

/// The proxy and its past.
#[derive(Debug)]
pub(in crate::guard) struct Keeper {
    accounts: Accounts,
    log: String,
    digest: [u8; 32],
    pid_file: PathBuf,
    drain: Duration,
    events: mpsc::Sender<Numbered>,
    tasks: JoinSet<()>,
    current: Option<Current>,
    number: u64,
    failures: u32,
    restart_at: Option<Instant>,
    ever_served: bool,
    counts: Counts,
    last_end: String,
}

/// What the keeper counts.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::guard) struct Counts {
    pub(in crate::guard) restarts: u64,
    /// Connections broken off for a frame that does not decode, or one out of turn.
    pub(in crate::guard) broken: u64,
    pub(in crate::guard) messages: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    process: Process,
    outgoing: mpsc::Sender<Outgoing>,
    serving_since: Option<Instant>,
}

impl Keeper {
    pub(in crate::guard) fn new(
        accounts: Accounts,
        log: String,
        digest: [u8; 32],
        pid_file: PathBuf,
        drain: Duration,
        events: mpsc::Sender<Numbered>,
    ) -> Self {
        Self {
            accounts,
            log,
            digest,
            pid_file,
            drain,
            events,
            tasks: JoinSet::new(),
            current: None,
            number: 0,
            failures: 0,
            restart_at: None,
            ever_served: false,
            counts: Counts::default(),
            last_end: String::new(),
        }
    }

    /// Starts a proxy with this outfit.
    pub(in crate::guard) fn start(&mut self, outfit: Outfit) -> Result<(), GuardError> {
        self.restart_at = None;
        let (process, channel) = launch(&self.accounts, &self.log)
            .map_err(GuardError::system("starting the proxy process"))?;
        let pid = process.pid();
        let (session, current) = self.session(process, channel);
        self.note_pid(pid);
        self.current = Some(current);
        self.tasks.spawn(session.begin(pid, self.digest, outfit));
        Ok(())
    }

    /// Goes on with a proxy that serves already.
    pub(in crate::guard) fn adopt(
        &mut self,
        process: Process,
        channel: Channel,
        keys: Vec<ApiKey>,
    ) {
        let (session, current) = self.session(process, channel);
        self.note_pid(current.process.pid());
        for message in key_messages(keys) {
            // The queue is new and longer than any list of keys has messages.
            drop(current.outgoing.try_send(message));
        }
        self.current = Some(current);
        self.tasks.spawn(session.converse());
    }

    /// Lets a proxy finish what it has; its sockets go on with another.
    pub(in crate::guard) async fn dismiss(&mut self, serving: Serving) {
        let Serving { process, channel, .. } = serving;
        // One that does not hear it is ended when its time is over.
        drop(send(&channel, Outgoing::plain(FromGuard::Drain)).await);
        self.watch_drain(process);
    }

    /// Ends a draining proxy of an earlier guard when its time is over.
    pub(in crate::guard) fn watch_drain(&mut self, process: Process) {
        let patience = self.drain + GRACE;
        self.tasks.spawn(async move {
            if timeout(patience, process.end().reached()).await.is_err() {
                process.kill();
            }
        });
    }

    /// Takes note of an event of proxy `number`.
    pub(in crate::guard) fn heed(&mut self, (number, event): Numbered, now: Instant) -> Reaction {
        let Some(current) = self.current.as_mut().filter(|one| one.number == number) else {
            return Reaction::Nothing;
        };
        match event {
            Event::Message(message) => {
                self.counts.messages += 1;
                Reaction::Heard(message)
            }
            Event::Serving => {
                info!(pid = current.process.pid(), "proxy serves");
                current.serving_since = Some(now);
                self.ever_served = true;
                Reaction::Serves
            }
            Event::Lost { why } => {
                warn!(pid = current.process.pid(), %why, "proxy's connection ended");
                self.counts.broken += 1;
                // Without a connection it cannot be told anything; the next one can.
                current.process.kill();
                Reaction::Nothing
            }
            Event::Exited => self.exited(now),
        }
    }

    /// When the next proxy is to be started; `None` while one lives.
    pub(in crate::guard) fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }

    /// A start failed before there was a process.
    pub(in crate::guard) fn start_failed(&mut self, why: &GuardError, now: Instant) {
        error!(error = %crate::guard::chain(why), "no proxy started");
        self.last_end = why.to_string();
        self.schedule(now);
    }

    /// Sends a message. A proxy that does not take what it is told is ended.
    pub(in crate::guard) fn tell(&mut self, message: FromGuard) {
        let Some(current) = &self.current else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) =
            current.outgoing.try_send(Outgoing::plain(message))
        {
            warn!(pid = current.process.pid(), "proxy does not read; it is ended");
            self.counts.broken += 1;
            current.process.kill();
        }
    }

    /// Replaces a key, or adds one.
    pub(in crate::guard) fn tell_key(&mut self, key: ApiKey) {
        self.tell(FromGuard::Keys { reset: false, more: false, keys: vec![key] });
    }

    /// Lets the proxy finish, and ends it when its time is over or `hurry` resolves.
    pub(in crate::guard) async fn stop(&mut self, hurry: impl Future<Output = ()>) {
        self.tell(FromGuard::Drain);
        let Some(mut current) = self.current.take() else { return };
        let end = current.process.end();
        tokio::select! {
            () = end.reached() => {}
            () = tokio::time::sleep(self.drain + GRACE) => current.process.kill(),
            () = hurry => current.process.kill(),
        }
        end.reached().await;
        info!(status = %current.process.reap(), "proxy ended");
        drop(fs::remove_file(&self.pid_file));
    }

    /// Forgets tasks that are over.
    pub(in crate::guard) fn tidy(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    pub(in crate::guard) fn counts(&self) -> Counts {
        self.counts
    }

    pub(in crate::guard) fn pid(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.process.pid())
    }

    pub(in crate::guard) fn is_serving(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.serving_since.is_some())
    }

    pub(in crate::guard) fn status(&self) -> ProxyStatus {
        let state = match &self.current {
            Some(current) if current.serving_since.is_some() => "serving".to_owned(),
            Some(_) => "starting".to_owned(),
            None => format!("down: {}", self.last_end),
        };
        ProxyStatus {
            state,
            pid: self.pid().unwrap_or(0),
            restarts: self.counts.restarts,
            detail: serde_json::Value::Null,
        }
    }

    fn session(&mut self, process: Process, channel: Channel) -> (Session, Current) {
        self.number += 1;
        let number = self.number;
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let (end, events) = (process.end(), self.events.clone());
        self.tasks.spawn(async move {
            end.reached().await;
            drop(events.send((number, Event::Exited)).await);
        });
        let session = Session { number, channel, events: self.events.clone(), outgoing };
        (session, Current { number, process, outgoing: sender, serving_since: None })
    }

    fn exited(&mut self, now: Instant) -> Reaction {
        let Some(mut current) = self.current.take() else { return Reaction::Nothing };
        self.last_end = current.process.reap();
        if !self.ever_served {
            return Reaction::Hopeless(GuardError::Proxy { why: self.last_end.clone() });
        }
        error!(pid = current.process.pid(), status = %self.last_end, "proxy ended unasked");
        let steady = current
            .serving_since
            .is_some_and(|since| now.saturating_duration_since(since) >= STEADY);
        if steady {
            self.failures = 0;
        }
        self.counts.restarts += 1;
        self.schedule(now);
        Reaction::Nothing
    }

    fn schedule(&mut self, now: Instant) {
        self.restart_at = Some(now + wait(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    fn note_pid(&self, pid: u32) {
        // Without the file a later guard does not look for this proxy and starts its own.
        if let Err(source) = fs::write(&self.pid_file, format!("{pid}\n")) {
            warn!(path = %self.pid_file.display(), %source, "the proxy's pid is not noted");
        }
    }
}

/// The wait before a start after so many failures in a row: none, then doubling.
fn wait(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    Duration::from_millis(250).saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_the_wait_grows_to_its_bound() {
        let waits: Vec<u128> = (0..8).map(|failures| wait(failures).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
