//! Keeps one proxy serving: the state between its starts, and how soon the next one comes.

use std::{
    collections::BTreeMap,
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
    outfit::{Callers, Outfit, Things},
    process::Process,
    session::{Event, Numbered, OUTGOING, Outgoing, Session},
};
use crate::{
    control::{ProxyStatus, Told},
    guard::{accounts::Accounts, error::GuardError},
    ipc::{
        Channel,
        handover::{FromHeir, FromOrphan},
        message::{ApiKey, FromGuard, FromProxy, Make},
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
    /// It was to follow the one that serves, and ended before it did.
    Failed {
        why: String,
    },
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
    /// Started to follow `current`, which serves until this one does.
    successor: Option<Current>,
    /// Those that drain, with their processes: their word counts still.
    retired: BTreeMap<u64, u32>,
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
    /// What it is made of.
    make: Make,
    /// What it was told to be made of.
    offered: Make,
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
            successor: None,
            retired: BTreeMap::new(),
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
        let (session, current) = self.session(process, channel, outfit.make);
        // Until it serves, its predecessor is the one a later guard has to find.
        if self.predecessor.is_none() {
            self.note_pid(pid);
        }
        self.current = Some(current);
        self.tasks.spawn(session.begin(pid, outfit));
        Ok(())
    }

    /// Starts a proxy that takes over from the one that serves, as soon as it serves itself.
    pub(in crate::guard) fn start_successor(&mut self, outfit: Outfit) -> Result<(), GuardError> {
        let (process, channel) = launch(&self.accounts, &self.log)
            .map_err(GuardError::system("starting the proxy process"))?;
        let pid = process.pid();
        let (session, successor) = self.session(process, channel, outfit.make);
        if let Some(earlier) = self.successor.replace(successor) {
            earlier.process.kill();
            self.tasks.spawn(ended(earlier.process, Duration::ZERO));
        }
        self.tasks.spawn(session.begin(pid, outfit));
        Ok(())
    }

    /// Ends a successor that did not come to serve.
    pub(in crate::guard) fn dismiss_successor(&mut self) {
        if let Some(successor) = self.successor.take() {
            self.tasks.spawn(ended(successor.process, Duration::ZERO));
        }
    }

    /// Tells the proxy that serves of another configuration; false if it cannot be told all of it.
    pub(in crate::guard) fn tell_reload(&mut self, id: u64, things: Things) -> bool {
        let Some(current) = self.current.as_mut().filter(|one| one.serving_since.is_some()) else {
            return false;
        };
        current.offered = things.make;
        let messages = things.reload(id);
        // Nobody else sends: there is room for all or none is sent.
        current.outgoing.capacity() >= messages.len()
            && messages.into_iter().all(|message| current.outgoing.try_send(message).is_ok())
    }

    /// Ends a proxy that does not answer; another one follows.
    pub(in crate::guard) fn give_up(&mut self) {
        if let Some(current) = &self.current {
            warn!(pid = current.process.pid(), "proxy does not answer; it is ended");
            self.counts.broken += 1;
            current.process.kill();
        }
    }

    /// What the proxy that serves is made of.
    pub(in crate::guard) fn make(&self) -> Option<Make> {
        self.current.as_ref().map(|current| current.make)
    }

    /// How long a proxy has to finish.
    pub(in crate::guard) fn set_drain(&mut self, drain: Duration) {
        self.drain = drain;
    }

    /// The proxies that finish what they have.
    pub(in crate::guard) fn draining(&self) -> Vec<u32> {
        self.retired.values().copied().collect()
    }

    /// Goes on with a proxy that serves already.
    pub(in crate::guard) fn adopt(&mut self, serving: Serving, callers: Callers) {
        let Serving { process, channel, make, .. } = serving;
        let (session, current) = self.session(process, channel, make);
        self.note_pid(current.process.pid());
        for message in callers.messages() {
            // The queue is new and longer than any list of keys has messages.
            drop(current.outgoing.try_send(message));
        }
        self.current = Some(current);
        self.tasks.spawn(async move {
            // One that does not hear it waits on; the first word of it would be its last.
            drop(session.channel.send(&FromHeir::Adopt, &[]).await);
            session.converse().await;
        });
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
        self.tasks.spawn(ended(process, self.drain + GRACE));
    }

    /// Takes note of an event of proxy `number`.
    pub(in crate::guard) fn heed(&mut self, (number, event): Numbered, now: Instant) -> Reaction {
        let Some(current) = self.current.as_mut().filter(|one| one.number == number) else {
            return self.heed_another(number, event, now);
        };
        match event {
            Event::Message(message) => {
                self.counts.messages += 1;
                if matches!(message, FromProxy::Applied { .. }) {
                    current.make = current.offered;
                }
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

    /// Of the successor, or of one that drains.
    fn heed_another(&mut self, number: u64, event: Event, now: Instant) -> Reaction {
        if self.retired.contains_key(&number) {
            return match event {
                Event::Message(message @ (FromProxy::Strike { .. } | FromProxy::Trust { .. })) => {
                    self.counts.messages += 1;
                    Reaction::Heard(message)
                }
                Event::Exited => {
                    self.retired.remove(&number);
                    Reaction::Nothing
                }
                Event::Message(_) | Event::Serving | Event::Lost { .. } => Reaction::Nothing,
            };
        }
        let Some(successor) = self.successor.as_ref().filter(|one| one.number == number) else {
            return Reaction::Nothing;
        };
        match event {
            Event::Serving => self.succeeded(now),
            // What it said is more than its end would tell.
            Event::Lost { why } => {
                successor.process.kill();
                self.dismiss_successor();
                Reaction::Failed { why }
            }
            Event::Exited => {
                let why = self.successor.take().map(|mut one| one.process.reap());
                Reaction::Failed { why: why.unwrap_or_default() }
            }
            // None comes before it serves.
            Event::Message(_) => Reaction::Nothing,
        }
    }

    fn succeeded(&mut self, now: Instant) -> Reaction {
        let Some(successor) = self.successor.take() else { return Reaction::Nothing };
        info!(pid = successor.process.pid(), "another proxy serves");
        let successor = Current { serving_since: Some(now), ..successor };
        if let Some(earlier) = self.current.replace(successor) {
            self.retired.insert(earlier.number, earlier.process.pid());
            let drain = Outgoing::plain(FromGuard::Drain { succeeded: true });
            if earlier.outgoing.try_send(drain).is_err() {
                earlier.process.kill();
            }
            self.tasks.spawn(ended(earlier.process, self.drain + GRACE));
        }
        (self.ever_served, self.failures, self.restart_at) = (true, 0, None);
        self.relieve_predecessor();
        if let Some(pid) = self.pid() {
            self.note_pid(pid);
        }
        Reaction::Serves
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
        self.dismiss_successor();
        self.tell(FromGuard::Drain { succeeded: false });
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

    fn session(&mut self, process: Process, channel: Channel, make: Make) -> (Session, Current) {
        self.number += 1;
        let number = self.number;
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let (end, events) = (process.end(), self.events.clone());
        self.tasks.spawn(async move {
            end.reached().await;
            drop(events.send((number, Event::Exited)).await);
        });
        let session = Session { number, channel, events: self.events.clone(), outgoing };
        let current =
            Current { number, process, outgoing: sender, serving_since: None, make, offered: make };
        (session, current)
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
        let (session, current) = self.session(serving.process, serving.channel, serving.make);
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
    let Serving { mut process, channel, .. } = serving;
    let end = process.end();
    tokio::select! {
        ordered = ordered => if ordered.is_err() { return },
        () = unheard(&channel) => {}
    }
    let drains = async {
        // One that does not hear it is ended when its time is over.
        drop(channel.send(&FromHeir::Drain, &[]).await);
        tokio::select! {
            () = end.reached() => {}
            () = unheard(&channel) => {}
        }
    };
    if timeout(patience, drains).await.is_err() {
        process.kill();
        end.reached().await;
    }
    process.reap();
}

/// Waits for a process that was told to end, and ends it when its time is over.
async fn ended(mut process: Process, patience: Duration) {
    if timeout(patience, process.end().reached()).await.is_err() {
        process.kill();
        process.end().reached().await;
    }
    process.reap();
}

/// Takes what a proxy says, for nothing: one whose words pile up does not hear the order either.
async fn unheard(channel: &Channel) {
    while channel.receive::<FromOrphan>().await.is_ok() {}
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
    use crate::ipc::message::{Make, VERSION};

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
        let (_session, current) = keeper.session(next.process, next.channel, next.make);
        keeper.current = Some(current);
        // More than a queue of the kernel holds: it must not be stuck with them.
        for _ in 0..2000 {
            earlier_end.send(&FromOrphan::Done, &[]).await.unwrap();
        }
        assert!(timeout(MOMENT, earlier_end.receive::<FromHeir>()).await.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");

        let reaction = keeper.heed((keeper.number, Event::Serving), crate::clock::now());
        assert!(matches!(reaction, Reaction::Serves));
        assert_eq!(earlier_end.receive::<FromHeir>().await.unwrap().0, FromHeir::Drain);
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
        let heard = earlier_end.receive::<FromHeir>().await;
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
        let (make, sockets) = (Make::default(), Vec::new());
        let serving = Serving { process, channel, ipc: VERSION, make, sockets };
        (serving, Channel::from_fd(end).unwrap())
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_wait_grows_to_its_bound() {
        let waits: Vec<u128> = (0..8).map(|failures| wait(failures).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
