//! Keeps one proxy serving: the state between its starts, and how soon the next one comes.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tracing::{error, info, warn};

use super::{
    adopt::Serving,
    launch::launch,
    outfit::{Callers, Outfit},
    process::Process,
    session::{Event, Numbered, OUTGOING, Outgoing, Session, send},
};
use crate::{
    control::{ProxyStatus, Told},
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
    pid_file: PathBuf,
    drain: Duration,
    events: mpsc::Sender<Numbered>,
    tasks: JoinSet<()>,
    current: Option<Current>,
    /// The order to drain, for a proxy that serves until the next one does.
    predecessor: Option<oneshot::Sender<()>>,
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
        pid_file: PathBuf,
        drain: Duration,
        events: mpsc::Sender<Numbered>,
    ) -> Self {
        Self {
            accounts,
            log,
            pid_file,
            drain,
            events,
            tasks: JoinSet::new(),
            current: None,
            predecessor: None,
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
        // Until it serves, its predecessor is the one a later guard has to find.
        if self.predecessor.is_none() {
            self.note_pid(pid);
        }
        self.current = Some(current);
        self.tasks.spawn(session.begin(pid, outfit));
        Ok(())
    }

    /// Goes on with a proxy that serves already.
    pub(in crate::guard) fn adopt(&mut self, process: Process, channel: Channel, callers: Callers) {
        let (session, current) = self.session(process, channel);
        self.note_pid(current.process.pid());
        for message in callers.messages() {
            // The queue is new and longer than any list of keys has messages.
            drop(current.outgoing.try_send(message));
        }
        self.current = Some(current);
        self.tasks.spawn(session.converse());
    }

    /// Lets a proxy serve until the next one does, on the same sockets, and drain then. A start
    /// that fails, for a key file that cannot be read, say, leaves the service as it was.
    pub(in crate::guard) fn succeed(&mut self, serving: Serving) {
        let (order, ordered) = oneshot::channel();
        self.predecessor = Some(order);
        self.tasks.spawn(outlive(serving, ordered, self.drain + GRACE));
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
                self.relieve_predecessor();
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
        self.pass(Outgoing::plain(message));
    }

    /// Sends a message with what it carries.
    pub(in crate::guard) fn pass(&mut self, message: Outgoing) {
        let Some(current) = &self.current else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = current.outgoing.try_send(message) {
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
        self.relieve_predecessor();
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
            detail: Told::default(),
        }
    }

    /// The proxy of this guard serves, or the guard stops: the one before it has done its work.
    fn relieve_predecessor(&mut self) {
        let Some(order) = self.predecessor.take() else { return };
        if let Some(pid) = self.pid() {
            self.note_pid(pid);
        }
        if order.send(()).is_err() {
            warn!("the earlier proxy is gone already");
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

    /// What a proxy that serves would be told from here on.
    #[cfg(test)]
    pub(in crate::guard) fn overheard(&mut self) -> mpsc::Receiver<Outgoing> {
        let (serving, _) = tests::serving();
        let (session, current) = self.session(serving.process, serving.channel);
        self.current = Some(current);
        session.outgoing
    }

    fn note_pid(&self, pid: u32) {
        // Without the file a later guard does not look for this proxy and starts its own.
        let fresh = self.pid_file.with_extension("new");
        // Whole or not there: half a number would be a proxy that nobody looks for, on our ports.
        let noted =
            fs::write(&fresh, format!("{pid}\n")).and_then(|()| fs::rename(&fresh, &self.pid_file));
        if let Err(source) = noted {
            warn!(path = %self.pid_file.display(), %source, "the proxy's pid is not noted");
        }
    }
}

/// Waits for the order, and sees to it that it is followed. Without one, as when the guard fails,
/// the connection ends and the proxy serves on, looking for the next guard.
async fn outlive(serving: Serving, ordered: oneshot::Receiver<()>, patience: Duration) {
    let Serving { process, channel, .. } = serving;
    let end = process.end();
    tokio::select! {
        ordered = ordered => if ordered.is_err() { return },
        () = unheard(&channel) => {}
    }
    let drains = async {
        // One that does not hear it is ended when its time is over.
        drop(send(&channel, Outgoing::plain(FromGuard::Drain)).await);
        tokio::select! {
            () = end.reached() => {}
            () = unheard(&channel) => {}
        }
    };
    if timeout(patience, drains).await.is_err() {
        process.kill();
    }
}

/// Takes what a proxy says, for nothing: one whose words pile up does not hear the order either.
async fn unheard(channel: &Channel) {
    while channel.receive::<FromProxy>().await.is_ok() {}
    std::future::pending::<()>().await;
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
    use crate::ipc::message::Make;

    #[tokio::test]
    async fn the_earlier_proxy_is_relieved_when_the_next_one_serves_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.pid");
        fs::write(&file, "1\n").unwrap();
        let (mut keeper, _events) = keeper(&file);
        let (earlier, earlier_end) = serving();
        keeper.succeed(earlier);
        let (next, _next_end) = serving();
        let pid = next.process.pid();
        let (_session, current) = keeper.session(next.process, next.channel);
        keeper.current = Some(current);
        // More than a queue of the kernel holds: it must not be stuck with them.
        for _ in 0..2000 {
            earlier_end.send(&FromProxy::KernelCounters { id: 1 }, &[]).await.unwrap();
        }
        assert!(timeout(MOMENT, earlier_end.receive::<FromGuard>()).await.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");

        let reaction = keeper.heed((keeper.number, Event::Serving), crate::clock::now());
        assert!(matches!(reaction, Reaction::Serves));
        assert_eq!(earlier_end.receive::<FromGuard>().await.unwrap().0, FromGuard::Drain);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{pid}\n"));
    }

    #[tokio::test]
    async fn the_earlier_proxy_is_let_go_undrained_when_the_guard_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.pid");
        let (mut keeper, _events) = keeper(&file);
        let (earlier, earlier_end) = serving();
        keeper.succeed(earlier);
        tokio::task::yield_now().await;
        drop(keeper);
        let heard = earlier_end.receive::<FromGuard>().await;
        assert!(matches!(heard, Err(crate::ipc::IpcError::Closed)), "{heard:?}");
    }

    const MOMENT: Duration = Duration::from_millis(50);

    fn keeper(pid_file: &std::path::Path) -> (Keeper, mpsc::Receiver<Numbered>) {
        let accounts =
            Accounts { own: nix::unistd::geteuid(), root: false, proxy: None, control_group: None };
        let (sender, events) = mpsc::channel(8);
        let log = "info".to_owned();
        let keeper = Keeper::new(accounts, log, pid_file.to_owned(), Duration::ZERO, sender);
        (keeper, events)
    }

    /// Stands for a proxy, with its end of the channel.
    pub(super) fn serving() -> (Serving, Channel) {
        let (channel, end) = Channel::pair().unwrap();
        let child = std::process::Command::new("sleep").arg("2").spawn().unwrap();
        let process = Process::child(child).unwrap();
        let serving = Serving { process, channel, make: Make::default(), sockets: Vec::new() };
        (serving, Channel::from_fd(end).unwrap())
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_wait_grows_to_its_bound() {
        let waits: Vec<u128> = (0..8).map(|failures| wait(failures).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
