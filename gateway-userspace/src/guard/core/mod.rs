//! The guard's mind: everything it knows, and what it does about each thing that happens. It runs
//! on one thread and never waits.

mod acme;
mod answers;
mod certificates;
mod explain;
mod lists;
mod policy;
mod proxy;
mod reload;
mod shadow;
mod upgrade;
mod watch;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    accounts::Accounts,
    address::of_this_machine,
    allows::AllowList,
    bans::{BanError, BanList, Judge, Lists, Named, Offenders},
    control::Door,
    error::GuardError,
    events::Memory,
    kernel::PacketFilter,
    keys::KeyRing,
    listeners::{self, Listening},
    policy::Policies,
    protect::Protected,
    store::{Change, ListFolder, Store, Stored},
    surroundings::{Places, Surroundings},
    sysctl::Follower,
    timekeeper::{Jump, Timekeeper},
    watch::Watch,
    worker::{Callers, Keeper, Outfit, Renewal},
};
use crate::{
    clock::{self, Wall},
    config::model::Config,
    ipc::message::FromGuard,
};

pub(super) use reload::By;
use reload::Running;

/// How often the time is stored, for a clock that loses its own; our addresses are looked up; and
/// a failing map is logged.
const MINUTE: Duration = Duration::from_mins(1);

/// How often interfaces are looked at for one without a filter, although none was heard of.
const TEND: Duration = Duration::from_secs(10);

/// How often it is looked who is logged in: so long may a ban stand on who has just come.
const LOOK: Duration = Duration::from_secs(5);

/// Drop events taken in one go.
const EVENTS: usize = 256;

/// Warnings that `gateway status` shows.
const WARNINGS: usize = 16;

/// How often the addresses of one supplier are logged, at most.
const RESOLVED_LOGGED: Duration = Duration::from_secs(10);

/// Stored bans that are not restored, named one by one.
const NAMED: usize = 4;

/// Questions the proxy has not answered.
const QUERIES: usize = 64;

/// Everything the guard knows.
#[derive(Debug)]
pub(super) struct Core {
    config: Config,
    text: String,
    program: [u8; 32],
    kernel: Kernel,
    bans: BanList,
    lists: Lists,
    allows: AllowList,
    keys: KeyRing,
    store: Store,
    memory: Memory,
    places: Places,
    policies: Policies,
    running: Running,
    /// Whoever replaces the program hears of it.
    upgrades: mpsc::Sender<()>,
    watch: Watch,
    time: Timekeeper,
    keeper: Keeper,
    listening: Vec<Listening>,
    door: Arc<Door>,
    cookies: Follower,
    queries: BTreeMap<u64, oneshot::Sender<String>>,
    next_query: u64,
    started: Instant,
    /// The same on the clock that processes share: tells one guard from the next of the same pid.
    started_ns: u64,
    /// When the things of each minute were done.
    minute_at: Option<Instant>,
    /// When the interfaces were last found to be filtered; none after a failure.
    tended_at: Option<Instant>,
    /// When it was last looked who is logged in.
    looked_at: Option<Instant>,
    counts: Counts,
    warnings: Vec<String>,
    /// When a failed ban was last logged: a full map fails with every strike.
    failure_logged: Option<Instant>,
    /// When a supplier's addresses were last logged; one entry a configured supplier.
    resolved_logged: BTreeMap<String, Instant>,
    renewal: Renewal,
    /// Commands that wait for the proxy to read certificates again.
    renewers: Vec<oneshot::Sender<Vec<PathBuf>>>,
    keepers: acme::Keepers,
}

/// The filter; its own type has no `Debug`.
struct Kernel(Box<dyn PacketFilter>);

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kernel")
    }
}

/// What the guard counts beside what its parts count themselves.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    strikes: u64,
    trusts: u64,
    strike_bans: u64,
    clock_jumps: u64,
    sweep_failures: u64,
    messages_refused: u64,
    queries_refused: u64,
    policy_rollbacks: u64,
}

/// What a core is made of before it serves.
#[derive(Debug)]
pub(super) struct State {
    pub(super) bans: BanList,
    pub(super) allows: AllowList,
    pub(super) keys: KeyRing,
    pub(super) store: Store,
    pub(super) time: Timekeeper,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// From the configuration and what was stored.
    pub(super) fn restore(
        config: &Config,
        (store, stored): (Store, Stored),
        own: &[std::net::IpAddr],
    ) -> Self {
        let (time, jump) = Timekeeper::start(clock::wall(), stored.seen, clock::now());
        let mut warnings: Vec<String> = jump.map(|jump| warned(&jump)).into_iter().collect();
        let protected = Protected::new(config, own);
        let judge =
            Judge::new(&config.bans, &config.kernel.shared, Offenders::new(stored.offenders));
        let mut bans = BanList::new(judge, protected, config.kernel.capacity, &config.bans);
        warnings.extend(not_restored(&bans.restore(stored.bans, time.wall(clock::wall()))));
        let kernel = &config.kernel;
        let allows = AllowList::new(&kernel.protect, stored.allows, kernel.capacity.allow);
        let identities = config.identities.iter().map(|one| one.name.clone()).collect();
        let keys = KeyRing::new(identities, stored.keys);
        Self { bans, allows, keys, store, time, warnings }
    }

    /// What a proxy goes by that serves already.
    pub(super) fn callers(&self) -> Callers {
        callers(&self.keys, &self.time, clock::wall())
    }

    /// What the kernel has to hold, as of now.
    pub(super) fn reconcile(&self, kernel: &mut dyn PacketFilter) -> Result<(), GuardError> {
        let bans = self.bans.kernel_bans(self.time.wall(clock::wall()));
        let reconciled = kernel
            .reconcile(&bans, &self.allows.kernel_allows())
            .map_err(|source| GuardError::Kernel { source })?;
        info!(?reconciled, "bans restored");
        Ok(())
    }

    /// Puts the stored lists in force.
    pub(super) fn start_lists(
        &self,
        config: &Config,
        stored: (ListFolder, Named),
        kernel: &dyn PacketFilter,
    ) -> Result<Lists, GuardError> {
        let wall = self.time.wall(clock::wall());
        let bounds = (config.kernel.capacity, config.bans.coverage);
        Lists::start(stored, bounds, kernel.bulk(), self.bans.protected().all(), wall)
            .map_err(|source| GuardError::Kernel { source })
    }
}

/// What a core is joined from.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) text: String,
    /// Hash of the running program.
    pub(super) program: [u8; 32],
    pub(super) kernel: Box<dyn PacketFilter>,
    pub(super) state: State,
    pub(super) lists: Lists,
    pub(super) policies: Policies,
    pub(super) keeper: Keeper,
    pub(super) cookies: Follower,
    pub(super) upgrades: mpsc::Sender<()>,
}

impl Core {
    pub(super) fn new(parts: Parts, listening: Vec<Listening>, accounts: &Accounts) -> Self {
        let Parts {
            config,
            text,
            program,
            kernel,
            state,
            lists,
            policies,
            keeper,
            cookies,
            upgrades,
        } = parts;
        let now = clock::now();
        let running = Running::new(&config, state.time.wall(clock::wall()));
        let renewal = Renewal::new(&config);
        Self {
            config,
            text,
            program,
            kernel: Kernel(kernel),
            bans: state.bans,
            lists,
            allows: state.allows,
            keys: state.keys,
            store: state.store,
            memory: Memory::default(),
            places: Places::default(),
            policies,
            running,
            upgrades,
            watch: Watch::default(),
            time: state.time,
            keeper,
            listening,
            door: Arc::new(Door::new(accounts)),
            cookies,
            queries: BTreeMap::new(),
            next_query: 0,
            started: now,
            started_ns: clock::monotonic_ns(),
            minute_at: None,
            tended_at: None,
            looked_at: None,
            counts: Counts::default(),
            warnings: state.warnings,
            failure_logged: None,
            resolved_logged: BTreeMap::new(),
            renewal,
            renewers: Vec::new(),
            keepers: acme::Keepers::default(),
        }
    }

    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    pub(super) fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    /// Readable when drop events wait.
    pub(super) fn events_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.kernel.0.events_fd()
    }

    /// Starts a proxy on the sockets that are open.
    pub(super) fn start_proxy(&mut self) -> Result<(), GuardError> {
        listeners::revive(&mut self.listening)?;
        let callers = callers(&self.keys, &self.time, clock::wall());
        // The proxy that was to answer them is gone.
        self.renewers.clear();
        let files = self.renewal.outfit(&self.config)?;
        let (config, listening) = (&self.config, &self.listening);
        let outfit = Outfit::gather(config, &self.text, self.program, listening, callers, files)?;
        self.keeper.start(outfit)?;
        self.door.keep_out(self.keeper.pid());
        Ok(())
    }

    /// Starts the next proxy if its time has come.
    pub(super) fn restart_proxy(&mut self, now: Instant) {
        if self.keeper.restart_at().is_some_and(|at| at <= now)
            && let Err(why) = self.start_proxy()
        {
            self.keeper.start_failed(&why, now);
        }
    }

    /// Takes waiting drop events. Says whether there may be more.
    pub(super) fn take_events(&mut self) -> bool {
        for _ in 0..EVENTS {
            let Some(event) = self.kernel.0.next_event() else { return false };
            self.saw(event);
        }
        true
    }

    /// Once a second: expiry, the clock, and what the store has to follow.
    pub(super) fn tick(&mut self, clock: Wall, now: Instant) {
        self.check_clock(clock, now);
        let wall = self.time.wall(clock);
        let (swept, failed) = self.bans.sweep(&mut *self.kernel.0, wall);
        if swept > 0 {
            info!(swept, "bans over");
        }
        if let Some(error) = failed {
            self.counts.sweep_failures += 1;
            error!(error = %super::chain(&error), "an expired ban is still in the map");
        }
        let lately = |at: Instant, span| now.saturating_duration_since(at) < span;
        if !self.tended_at.is_some_and(|at| lately(at, TEND)) {
            self.tend(now);
        }
        if !self.looked_at.is_some_and(|at| lately(at, LOOK)) {
            self.look_around(now);
        }
        self.tick_lists(wall);
        self.watch_trial();
        self.watch_reload(now);
        self.settle_ports();
        self.watch_certificates();
        self.watch_keepers();
        self.queries.retain(|_, waiting| !waiting.is_closed());
        self.keeper.tidy();
        self.watch.tick();
        let mut changes = self.take_changes();
        if !self.minute_at.is_some_and(|at| lately(at, MINUTE)) {
            self.minute_at = Some(now);
            changes.push(Change::Seen(wall));
            // A clock that is slewed never jumps, and yet moves.
            self.tell_time(clock);
            self.look_at_own_addresses();
        }
        self.store.submit(changes);
    }

    /// Filters interfaces that are there anew. What fails is tried again with the next tick.
    pub(super) fn tend(&mut self, now: Instant) {
        let tended = self.kernel.0.tend();
        self.tended_at = tended.is_ok().then_some(now);
        if let Err(error) = tended {
            self.warn(format!("an interface is not filtered: {}", super::chain(&error)));
        }
    }

    /// Before the end: what was done is stored, and when.
    pub(super) fn last_tick(&mut self, clock: Wall, now: Instant) {
        self.minute_at = None;
        self.tick(clock, now);
        self.cookies.stop();
    }

    /// Ten times a second: a flood does not wait.
    pub(super) fn watch_floods(&mut self, now: Instant) {
        let config = &self.config.kernel.syn_cookies;
        self.cookies.tick(config, &mut *self.kernel.0, now);
    }

    /// Before the proxy goes.
    pub(super) fn prepare_stop(&mut self) {
        self.cookies.prepare_stop(&mut *self.kernel.0);
    }

    fn look_at_own_addresses(&mut self) {
        match of_this_machine() {
            Ok(own) => {
                self.bans.protect_own(&own);
                if let Err(error) = self.kernel.0.answer_for(&own) {
                    self.warn(format!(
                        "SYNs are answered for the addresses as they were: {}",
                        super::chain(&error)
                    ));
                }
            }
            Err(error) => warn!(%error, "the addresses of this machine are as they were"),
        }
    }

    /// Who is logged in from where, and whom this machine needs: never banned, whatever they do.
    fn look_around(&mut self, now: Instant) {
        self.looked_at = Some(now);
        let around = Surroundings::look(&self.places);
        let (lifted, standing) = self.bans.look_around(&mut *self.kernel.0, &around, now);
        for net in lifted {
            info!(%net, "a ban by strikes is lifted: what it covers is protected for now");
        }
        for net in standing {
            self.warn(format!(
                "the ban on {net} covers a login, a gateway or a resolver of this machine; `gateway block why` tells more, `gateway block rm {net}` lifts it"
            ));
        }
    }

    fn check_clock(&mut self, clock: Wall, now: Instant) {
        let Some(jump) = self.time.tick(clock, now) else { return };
        self.counts.clock_jumps += 1;
        let warning = warned(&jump);
        self.warn(warning);
        self.tell_time(clock);
        if let Jump::Moved { seconds } = jump {
            self.bans.shift(seconds);
            self.shift_lists(seconds);
            let wall = self.time.wall(clock);
            self.store.submit(vec![Change::Seen(wall)]);
        }
    }

    fn tell_time(&mut self, clock: Wall) {
        let ahead = ahead(&self.time, clock);
        self.keeper.tell(FromGuard::Time { ahead });
    }

    /// Adds to what `gateway status` warns of, once.
    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            error!("{warning}");
            self.warnings.push(warning);
        }
    }

    fn wall(&self) -> Wall {
        self.time.wall(clock::wall())
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = self.bans.take_changes();
        changes.extend(self.allows.take_changes());
        changes.extend(self.keys.take_changes());
        changes.extend(self.policies.take_change());
        changes
    }

    fn follow(&mut self) {
        let changes = self.take_changes();
        self.store.submit(changes);
    }
}

fn callers(keys: &KeyRing, time: &Timekeeper, clock: Wall) -> Callers {
    Callers { ahead: ahead(time, clock), keys: keys.all_for_proxy() }
}

/// Our wall clock as seen from the one that both processes share.
fn ahead(time: &Timekeeper, clock: Wall) -> i64 {
    time.wall(clock).ahead(clock::monotonic_ns())
}

/// A prefix that became protected may hold bans by the thousands: some are named, all counted.
fn not_restored(refused: &[BanError]) -> Vec<String> {
    let mut warnings: Vec<String> = refused.iter().take(NAMED).map(ToString::to_string).collect();
    if let Some(more @ 1..) = refused.len().checked_sub(NAMED) {
        warnings.push(format!("{more} more stored bans are not restored for like reasons"));
    }
    for warning in &warnings {
        warn!(%warning, "a stored ban is not restored");
    }
    warnings
}

/// Says what happened to the clock, to the log and for `gateway status`.
fn warned(jump: &Jump) -> String {
    let text = match jump {
        Jump::Held { clock, ours } => format!(
            "the clock reads {} s, which is before {} s, the last time stored; bans and keys go by the latter until the clock is set",
            clock.0, ours.0
        ),
        Jump::Moved { seconds } => {
            format!("the clock was set by {seconds} s; bans keep the time they had left")
        }
    };
    warn!("{text}");
    text
}

#[cfg(test)]
mod tests;
