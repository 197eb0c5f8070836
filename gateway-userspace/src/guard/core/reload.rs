//! The configured file read again: whole or not at all. Guard, kernel and proxy go over to it
//! together, when the proxy says that it can; until then nothing is given up.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Core;
use crate::{
    clock::{self, Wall},
    config::{
        Faults, Settled,
        changes::{Change, How, between},
        load_kernel, load_settled,
        model::Config,
        text_of,
    },
    control::{ConfigurationStatus, LINE_BYTES, RefusedReload, Response},
    guard::{
        chain,
        control::Outcome,
        error::GuardError,
        keys::sha256,
        listeners::{self, Listening},
        policy::{Digest, Named, short},
        worker::{Files, Outfit, Things},
    },
};

/// Names are looked up and certificates read by a proxy that serves meanwhile.
const PATIENCE: Duration = Duration::from_secs(25);

/// Of a proxy's words, at most; the rest is in its log.
const WORDS: usize = 500;

const DUPLICATING: &str = "duplicating a certificate's descriptor";

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::guard) enum By {
    Command,
    Signal,
    /// The file changed.
    Watch,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Signal => "signal",
            Self::Watch => "watch",
        }
    }
}

/// Which configuration runs, and what became of the others.
#[derive(Debug)]
pub(super) struct Running {
    since: Wall,
    reloads: u64,
    /// The last one that was not loaded, and when.
    refused: Option<(Wall, String)>,
    /// What the files looked like when they were read last.
    seen: Option<Digest>,
    pub(super) ports: Vec<u16>,
    number: u64,
    pending: Option<Pending>,
}

/// One that the proxy was told of.
#[derive(Debug)]
struct Pending {
    id: u64,
    by: By,
    wanted: Settled,
    changes: Vec<Change>,
    listening: Vec<Listening>,
    /// A policy was put on trial for it.
    trial: bool,
    /// What the proxy was sent.
    files: Files,
    fresh: bool,
    until: Instant,
    reply: oneshot::Sender<Response>,
}

/// Why a file is not loaded. Each says what to do next.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("a reload is under way; try again when it is done")]
    UnderWay,
    #[error("reading {path}; correct that, then reload again")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{faults}")]
    Faults { faults: Faults },
    #[error(
        "{keys} cannot change while the guard runs; nothing is loaded. `gateway upgrade` loads all of it and refuses no request (`systemctl restart gateway` where it says that it cannot)"
    )]
    Restart { keys: String },
    #[error("nothing is loaded")]
    Policy {
        #[source]
        source: super::policy::PolicyError,
    },
    #[error("nothing is loaded")]
    Guard {
        #[source]
        source: GuardError,
    },
    #[error("no proxy serves; nothing is loaded")]
    NoProxy,
}

impl Running {
    pub(super) fn new(config: &Config, since: Wall) -> Self {
        Self {
            since,
            reloads: 0,
            refused: None,
            seen: None,
            ports: config.kernel.listening.clone(),
            number: 0,
            pending: None,
        }
    }

    pub(super) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether somebody at this host is about to be spoken with.
    pub(super) fn awaits_host(&self, host: &str) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|one| one.wanted.config.speaks_with(host))
    }
}

impl Core {
    /// Reads the configured file again and goes over to it.
    pub(in crate::guard) fn reload(&mut self, by: By) -> Outcome {
        match self.begin_reload(by) {
            Ok(None) => {
                let message = "the configuration is the running one already".to_owned();
                Outcome::Now(Response::Done { message })
            }
            Ok(Some(said)) => Outcome::Later(Box::pin(async {
                let gone = || Response::Refused { message: "the gateway is stopping".to_owned() };
                said.await.unwrap_or_else(|_| gone())
            })),
            Err(error) => Outcome::Now(self.refuse_reload(by, chain(&error))),
        }
    }

    /// Something happened where the files are.
    pub(in crate::guard) fn files_changed(&mut self) {
        if self.running.is_pending() {
            // Looked at again when that is over.
            self.running.seen = None;
            return;
        }
        let seen = self.look_at_files();
        if self.running.seen.replace(seen) != Some(seen) {
            drop(self.reload(By::Watch));
        }
    }

    /// Folders in which a change may be one of the configuration; none if nobody is to look.
    pub(in crate::guard) fn watched_folders(&self) -> Vec<PathBuf> {
        if !self.config.guard.watch {
            return Vec::new();
        }
        let file = PathBuf::from(self.policies.file());
        let named = Files::lasting(&self.config);
        let folder = |path: &PathBuf| {
            path.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned)
        };
        let mut folders: Vec<PathBuf> = named.iter().chain([&file]).filter_map(folder).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// The files are as they were when the guard started.
    pub(in crate::guard) fn note_files(&mut self) {
        self.running.seen = Some(self.look_at_files());
    }

    /// The proxy goes by it, or a fresh one does.
    pub(super) fn reload_applied(&mut self, id: Option<u64>) {
        let fits = |one: &Pending| id.map_or(one.fresh, |id| !one.fresh && one.id == id);
        let Some(pending) = self.running.pending.take_if(|one| fits(one)) else { return };
        let Pending { by, wanted, changes, listening, trial, files, fresh, reply, .. } = pending;
        self.take_over_config(wanted, listening);
        self.renewal.taken(files);
        // One that was under way may have brought newer ones.
        self.renew_certificates();
        let mut message = told(self.policies.file(), &changes, fresh);
        if trial {
            match self.conclude_trial() {
                Ok(Some(said)) => message.extend(["; ", &said]),
                Ok(None) => {}
                Err(error) => message.extend(["; but its [kernel] is not: ", &chain(&error)]),
            }
        }
        self.settle_ports();
        self.running.reloads += 1;
        (self.running.refused, self.running.since) = (None, self.wall());
        info!(target: "audit", action = "reload", by = by.name(), digest = %self.digest(), "{message}");
        self.follow();
        // Whoever asked may have hung up.
        drop(reply.send(Response::Done { message }));
        self.look_again();
    }

    /// The proxy cannot go by it: everything stays as it was.
    pub(super) fn reload_failed(&mut self, why: &str) {
        let Some(pending) = self.running.pending.take() else { return };
        self.keeper.dismiss_successor();
        if pending.trial {
            self.withdraw_trial();
        }
        self.settle_ports();
        let why: String = why.chars().take(WORDS).collect();
        let response = self.refuse_reload(pending.by, format!("nothing is loaded: {why}"));
        drop(pending.reply.send(response));
        self.look_again();
    }

    /// The proxy says that it cannot, and whether one that starts anew could.
    pub(super) fn reload_not_applied(&mut self, id: u64, why: &str, fresh: bool) {
        let Some(pending) = self.running.pending.as_mut().filter(|one| one.id == id && !one.fresh)
        else {
            return;
        };
        if !fresh {
            return self.reload_failed(why);
        }
        pending.fresh = true;
        let callers = super::callers(&self.keys, &self.time, clock::wall());
        let Settled { config, text } = &pending.wanted;
        let files = pending.files.copy().map_err(GuardError::system(DUPLICATING));
        let outfit = files.and_then(|files| {
            Outfit::gather(config, text, self.program, &pending.listening, callers, files)
        });
        if let Err(error) = outfit.and_then(|outfit| self.keeper.start_successor(outfit)) {
            self.reload_failed(&chain(&error));
        }
    }

    /// Once a second. A proxy that does not answer for so long is none.
    pub(super) fn watch_reload(&mut self, now: Instant) {
        let Some(pending) = &self.running.pending else { return };
        if now >= pending.until {
            if !pending.fresh {
                self.keeper.give_up();
            }
            self.reload_failed("the proxy did not answer in time");
        } else if !pending.fresh && !self.keeper.is_serving() {
            self.reload_failed("the proxy ended");
        }
    }

    pub(super) fn configuration_status(&self) -> ConfigurationStatus {
        ConfigurationStatus {
            file: self.policies.file().to_owned(),
            digest: self.digest(),
            seconds: self.wall().since(self.running.since).as_secs(),
            reloads: self.running.reloads,
            watched: self.config.guard.watch,
            refused: self.running.refused.as_ref().map(|(at, why)| RefusedReload {
                seconds_ago: self.wall().since(*at).as_secs(),
                why: why.clone(),
            }),
        }
    }

    /// The running configuration, for whoever compares.
    pub(super) fn running_text(&self) -> Response {
        // A line of the control socket has to hold it, with its escapes.
        if self.text.len() > LINE_BYTES / 2 {
            let message = "the running configuration is too long to be shown".to_owned();
            return Response::Refused { message };
        }
        Response::Configuration { file: self.policies.file().to_owned(), text: self.text.clone() }
    }

    /// The ports of the running listeners, no others, as soon as no policy is on trial.
    pub(super) fn settle_ports(&mut self) {
        let ports = self.running.ports.clone();
        if let Err(error) = self.open_ports(&ports) {
            self.warn(format!(
                "the ports of earlier listeners are served still: {}",
                chain(&error)
            ));
        }
    }

    fn begin_reload(&mut self, by: By) -> Result<Option<oneshot::Receiver<Response>>, ReloadError> {
        if self.running.is_pending() {
            return Err(ReloadError::UnderWay);
        }
        let (wanted, table) = self.read_again()?;
        let changes = between(&self.text, &wanted.text);
        refuse_restart(&changes)?;
        let guard = |source| ReloadError::Guard { source };
        let listening = listeners::follow(&self.listening, &wanted.config).map_err(guard)?;
        let (config, text) = (&wanted.config, &wanted.text);
        let files = self.renewal.outfit_of(config).map_err(guard)?;
        let copies = files.copy().map_err(GuardError::system(DUPLICATING)).map_err(guard)?;
        let things = Things::gather(config, text, self.program, &listening, copies);
        let things = things.map_err(guard)?;
        let policy = self.wants_trial(&table).map_err(|source| ReloadError::Policy { source })?;
        if Some(things.make) == self.keeper.make() && !policy {
            return Ok(None);
        }
        let trial = self.prepare_kernel(table, &wanted.config, policy)?;
        let fresh = changes.iter().any(|change| change.how == How::FreshProxy);
        self.running.number += 1;
        let (id, until) = (self.running.number, clock::now() + PATIENCE);
        let (reply, said) = oneshot::channel();
        let pending = Pending {
            id,
            by,
            wanted,
            changes,
            listening,
            trial,
            files,
            fresh: false,
            until,
            reply,
        };
        self.running.pending = Some(pending);
        if fresh || !self.keeper.tell_reload(id, things) {
            self.reload_not_applied(id, "", true);
        }
        Ok(Some(said))
    }

    fn read_again(&self) -> Result<(Settled, Named), ReloadError> {
        let origin = self.policies.file().to_owned();
        let text = text_of(Path::new(&origin))
            .map_err(|source| ReloadError::Read { path: origin.clone(), source })?;
        let faults = |faults| ReloadError::Faults { faults };
        let mut settled = load_settled(&text, &origin).map_err(faults)?;
        let table = load_kernel(&settled.text, &origin).map_err(faults)?.table;
        settled.config.kernel.enabled &= self.config.kernel.enabled;
        if !self.keeper.is_serving() {
            return Err(ReloadError::NoProxy);
        }
        Ok((settled, Named { table, origin }))
    }

    /// What the kernel has to do before the proxy may: new ports are open, a new policy on trial.
    fn prepare_kernel(
        &mut self,
        wanted: Named,
        config: &Config,
        policy: bool,
    ) -> Result<bool, ReloadError> {
        let failed = |source| ReloadError::Policy { source };
        let mut ports = [&self.running.ports[..], &config.kernel.listening].concat();
        ports.sort_unstable();
        ports.dedup();
        self.open_ports(&ports).map_err(failed)?;
        if policy && let Err(error) = self.begin_pending_trial(wanted) {
            self.settle_ports();
            return Err(failed(error));
        }
        Ok(policy)
    }

    /// From here on it is the running one.
    fn take_over_config(&mut self, wanted: Settled, listening: Vec<Listening>) {
        let Settled { config, text } = wanted;
        self.running.ports.clone_from(&config.kernel.listening);
        self.config = Config { kernel: self.config.kernel.clone(), ..config };
        self.text = text;
        // Closes what nobody accepts from any more.
        self.listening = listening;
        self.bans.judge_mut().set(&self.config.bans);
        self.bans.protect_listeners(&self.config);
        self.bans.remember_logins(self.config.bans.login);
        self.keys.set_identities(self.config.identities.iter().map(|one| one.name.clone()));
        self.keeper.set_drain(self.config.proxy.timeouts.drain);
    }

    fn refuse_reload(&mut self, by: By, why: String) -> Response {
        warn!(target: "audit", action = "reload", by = by.name(), digest = %self.digest(), "refused: {why}");
        self.running.refused = Some((self.wall(), why.clone()));
        self.follow();
        Response::Refused { message: why }
    }

    /// What changed while a reload was under way.
    fn look_again(&mut self) {
        if self.config.guard.watch && self.running.seen.is_none() {
            self.files_changed();
        }
    }

    fn look_at_files(&self) -> Digest {
        let text = text_of(Path::new(self.policies.file())).unwrap_or_default();
        let files = Files::open(&self.config).and_then(|files| files.digest(&self.config));
        let files = files.unwrap_or_default();
        sha256(&[text.as_bytes(), &files].concat())
    }

    fn digest(&self) -> String {
        short(&sha256(self.text.as_bytes()))
    }
}

fn refuse_restart(changes: &[Change]) -> Result<(), ReloadError> {
    let fixed = changes.iter().filter(|change| change.how == How::Restart);
    let keys: Vec<String> = fixed.map(Change::place).collect();
    if keys.is_empty() { Ok(()) } else { Err(ReloadError::Restart { keys: keys.join(", ") }) }
}

/// What was done, in one line.
fn told(file: &str, changes: &[Change], fresh: bool) -> String {
    let count = changes.len();
    let plural = if count == 1 { "" } else { "s" };
    let by = if fresh { ", by a fresh proxy on the same sockets" } else { "" };
    if count == 0 {
        return format!(
            "{file} is loaded: the same in another form, or other files of suppliers{by}"
        );
    }
    format!("{file} is loaded: {count} change{plural}{by}")
}
