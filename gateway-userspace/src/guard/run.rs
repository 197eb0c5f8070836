//! From the checked configuration to a serving gateway, in the order that leaves no gap: bans are
//! in the kernel before the first listener opens; then the loop that everything happens in.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use nix::sys::{
    resource::{Resource, setrlimit},
    stat::Mode,
};
use tokio::{
    io::unix::{AsyncFd, AsyncFdReadyGuard},
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tracing::{info, warn};

use super::{
    accounts::Accounts,
    address::of_this_machine,
    bans::Lists,
    control,
    core::{By, Core, Parts, State},
    error::GuardError,
    folder_watch::FolderWatch,
    folders::RunFolder,
    kept::{self, Kept},
    kernel::{Filter, LinkWatch, News, Off, PacketFilter},
    keys::sha256,
    listeners::{self, Handed},
    policy::{Named, Policies, Start},
    store::{ListFolder, Store},
    sysctl::Follower,
    worker::{Adopted, Files, Keeper, Numbered, Process, Serving, program, wait_for},
};
use crate::{
    clock,
    config::{
        self, KernelTable, load_kernel,
        model::{Config, Kernel},
    },
    ipc::{
        descriptors::{self, watch},
        message::Make,
    },
};

/// What a guard runs by.
#[derive(Debug)]
pub struct Options {
    /// Checked; `kernel.enabled` says whether the packet filter is wanted.
    pub config: Config,
    /// The text it was read from, as the proxy gets it.
    pub text: String,
    /// Where the text came from, for the log.
    pub origin: String,
    /// Filter of the log, handed on to the proxy.
    pub log: String,
    /// What an earlier program of this process left, as it says in the environment.
    pub kept: Option<String>,
}

/// Events of the proxy that may wait for the loop; then the proxy has to.
const EVENTS: usize = 4096;

/// After a change of the configuration's files another one often follows at once; and no more often
/// than this are they looked at.
const SETTLED: Duration = Duration::from_millis(300);

/// For an answer to reach the command line.
const FAREWELL: Duration = Duration::from_millis(200);

/// How often the guard looks whether SYNs flood in: one read of a map.
const FLOOD_LOOK: Duration = Duration::from_millis(100);

/// Runs the guard until it is told to stop.
pub fn run(options: Options) -> Result<(), GuardError> {
    // Files and sockets are made for us and our group; what others need is given expressly.
    nix::sys::stat::umask(Mode::from_bits_truncate(0o027));
    // Hashes of keys and open secrets are in this memory.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|errno| GuardError::System {
        doing: "forbidding core files",
        source: errno.into(),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(GuardError::system("starting the event loop"))?;
    runtime.block_on(Box::pin(guard(options)))
}

async fn guard(options: Options) -> Result<(), GuardError> {
    let Options { mut config, text, origin, log, kept } = options;
    let Kept { lock, control, sockets, draining } = Kept::take(kept.as_deref());
    // By its present file, whatever becomes of that.
    drop(kept::program());
    let accounts = Accounts::find(&config.guard)?;
    if config.kernel.enabled && !accounts.root {
        return Err(GuardError::NotRoot);
    }
    let run = RunFolder::take(&config.guard.run, &accounts, lock)?;
    info!(%origin, run = %config.guard.run.display(), "guard starts");
    let links = watch_links(&config.kernel);
    let Restored { mut kernel, state, lists, policies, untried } =
        restore(&mut config, &text, origin)?;
    let cookies = Follower::start(
        &config.kernel.syn_cookies,
        &config.guard.state,
        &mut *kernel,
        clock::now(),
    );

    let program = program().map_err(GuardError::system("reading this program"))?;
    let (sender, events) = mpsc::channel(EVENTS);
    let drain = config.proxy.timeouts.drain;
    let mut keeper = Keeper::new(accounts.clone(), log, run.proxy_pid(), drain, sender);
    for pid in draining {
        // One that is gone meanwhile is no process of ours any more.
        drop(Process::adopted(pid).map(|process| keeper.watch_drain(process)));
    }
    let (upgrades, orders) = mpsc::channel(1);
    let parts =
        Parts { config, text, program, kernel, state, lists, policies, keeper, cookies, upgrades };
    let mut core = serve(parts, sockets, &accounts, &run).await?;
    core.begin_with(untried);
    core.note_files();
    let (asks, questions) = mpsc::channel(control::QUEUE);
    let listener = control::take(control, &run.control_socket(), &accounts)?;
    let control = listener
        .as_fd()
        .try_clone_to_owned()
        .map_err(GuardError::system("duplicating the control socket"))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(control::serve(listener, core.door(), asks));
    let signals = Signals::new()?;
    let files = watch_files();
    let path = run.control_socket();
    let doors = Doors { run, control };
    let turn = Loop { core, events, questions, orders, signals, links, files, doors, tasks }.turn();
    let ended = Box::pin(turn).await;
    // A socket that nobody listens on would only puzzle the next command.
    drop(std::fs::remove_file(path));
    ended
}

/// Opened before the filter is attached, so that no change falls between the two. Without it an
/// interface that comes back waits for the next look at all of them.
fn watch_links(config: &Kernel) -> Option<Links> {
    let open = || -> io::Result<Links> {
        let watch = LinkWatch::open()?;
        let ready = descriptors::watch(watch.as_fd().try_clone_to_owned()?)?;
        Ok(Links { watch, ready, names: config.interfaces.clone() })
    };
    let opened = config.enabled.then(open)?;
    opened.inspect_err(|error| warn!(%error, "changes of interfaces are seen late")).ok()
}

/// Without it a changed file waits for an order.
fn watch_files() -> Option<FolderWatch> {
    let opened = FolderWatch::open();
    opened.inspect_err(|error| warn!(%error, "changed files are not seen")).ok()
}

/// What was before, as far as it holds again.
struct Restored {
    kernel: Box<dyn PacketFilter>,
    state: State,
    lists: Lists,
    policies: Policies,
    /// What the file says since, to be tried.
    untried: Option<Named>,
}

/// Everything that has to hold before a packet may reach a listener. The policy is the one
/// confirmed last, which becomes that of `config`.
fn restore(config: &mut Config, text: &str, origin: String) -> Result<Restored, GuardError> {
    let failed = |source| GuardError::Store { source };
    let (store, mut stored) = Store::open(&config.guard.state).map_err(failed)?;
    let lists = ListFolder::open(&config.guard.state).map_err(failed)?;
    let own =
        of_this_machine().map_err(GuardError::system("listing the addresses of this machine"))?;
    let text = load_kernel(text, &origin).map_or_else(|_| String::new(), |read| read.table.text);
    let table = KernelTable { kernel: config.kernel.clone(), text };
    let Start { policies, untried, warning } =
        Policies::start(Named { table, origin }, stored.policy.take());
    config.kernel = policies.confirmed().table.kernel.clone();
    let mut state = State::restore(config, (store, stored), &own);
    if let Some(warning) = warning {
        warn!("{warning}");
        state.warnings.push(warning);
    }
    let mut kernel = open_kernel(config)?;
    if !config.kernel.enabled && Filter::is_left_attached(&config.kernel) {
        let pins = config.kernel.pins.display();
        let warning = format!(
            "an earlier gateway's filter is attached still and drops packets; `rm -r {pins}` takes it off"
        );
        warn!("{warning}");
        state.warnings.push(warning);
    }
    for warning in config::warnings(config) {
        warn!("{warning}");
        state.warnings.push(warning);
    }
    state.reconcile(&mut *kernel)?;
    let lists = state.start_lists(config, lists, &*kernel)?;
    // Its failure leaves SYNs to the stack; the first look at our addresses says so.
    drop(kernel.answer_for(&own));
    kernel.attach().map_err(|source| GuardError::Kernel { source })?;
    Ok(Restored { kernel, state, lists, policies, untried })
}

fn open_kernel(config: &Config) -> Result<Box<dyn PacketFilter>, GuardError> {
    if !config.kernel.enabled {
        warn!("the packet filter is off: bans are kept, but drop nothing");
        return Ok(Box::new(Off));
    }
    let filter = Filter::open(&config.kernel).map_err(|source| GuardError::Kernel { source })?;
    Ok(Box::new(filter))
}

/// Takes over the proxy of an earlier guard or starts one, on sockets that are never closed: those
/// that were kept, else those that the proxy hands over.
async fn serve(
    mut parts: Parts,
    kept: Vec<Handed>,
    accounts: &Accounts,
    run: &RunFolder,
) -> Result<Core, GuardError> {
    let wanted = wanted(&parts);
    let mut adopted = wait_for(run, accounts).await?;
    let (theirs, exclusive) = match &mut adopted {
        Adopted::Nobody => (Vec::new(), true),
        Adopted::Serving(serving) => (std::mem::take(&mut serving.sockets), false),
        Adopted::Stuck(_) | Adopted::Drains(_) => (Vec::new(), false),
    };
    let handed = if kept.is_empty() { theirs } else { kept };
    let complete = listeners::complete(&parts.config, &handed);
    let listening = listeners::open(&parts.config, handed, exclusive)?;
    let serves = settle(&mut parts, adopted, complete, wanted).await;
    let mut core = Core::new(parts, listening, accounts);
    if !serves {
        core.start_proxy()?;
    }
    Ok(core)
}

/// What a proxy would be made of now.
struct Wanted {
    make: Make,
    /// Why its files cannot be read.
    unread: Option<GuardError>,
}

fn wanted(parts: &Parts) -> Wanted {
    let files = Files::open(&parts.config).and_then(|files| files.digest(&parts.config));
    let (files, unread) = match files {
        Ok(digest) => (digest, None),
        Err(why) => ([0; 32], Some(why)),
    };
    let configuration = sha256(parts.text.as_bytes());
    Wanted { make: Make { program: parts.program, configuration, files }, unread }
}

/// What becomes of an earlier proxy. True if it serves on as ours.
async fn settle(parts: &mut Parts, adopted: Adopted, complete: bool, wanted: Wanted) -> bool {
    match adopted {
        Adopted::Nobody => {}
        Adopted::Serving(serving) => return take_over(parts, serving, complete, wanted),
        Adopted::Drains(process) => parts.keeper.watch_drain(process),
        Adopted::Stuck(process) => {
            process.kill();
            process.end().reached().await;
        }
    }
    false
}

/// Goes on with a proxy that is what would be started now; any other serves until the next does.
fn take_over(parts: &mut Parts, serving: Serving, complete: bool, wanted: Wanted) -> bool {
    let Wanted { mut make, unread } = wanted;
    let pid = serving.process.pid();
    if let Some(why) = unread {
        // A fresh one could not start; this one has read what it needs.
        make = Make { configuration: make.configuration, ..serving.make };
        let why = super::chain(&why);
        warn!(pid, %why, "the earlier proxy goes on as it is");
        parts.state.warnings.push(format!("no fresh proxy could be started: {why}"));
    }
    let differs = serving.differs(make).or((!complete).then_some("other listeners"));
    if let Some(what) = differs {
        info!(pid, "proxy of {what} serves until the next one does");
        parts.keeper.succeed(serving);
        return false;
    }
    info!(pid, "proxy of an earlier guard taken over");
    let callers = parts.state.callers();
    parts.keeper.adopt(serving, callers);
    true
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, GuardError> {
        let on = |kind| signal(kind).map_err(GuardError::system("listening for signals"));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The next order.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Resolves when the guard is told to stop.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// What a signal orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// The kernel's word on the interfaces that are guarded.
struct Links {
    watch: LinkWatch,
    ready: AsyncFd<OwnedFd>,
    names: Vec<String>,
}

impl Links {
    fn take(&self) -> News {
        self.watch.take(&self.names)
    }
}

/// What the next program of this process is given beside what the core holds.
struct Doors {
    run: RunFolder,
    control: OwnedFd,
}

struct Loop {
    core: Core,
    events: mpsc::Receiver<Numbered>,
    questions: mpsc::Receiver<control::Ask>,
    /// To go over to another program.
    orders: mpsc::Receiver<()>,
    signals: Signals,
    links: Option<Links>,
    files: Option<FolderWatch>,
    doors: Doors,
    /// The control socket's; ended with the loop.
    tasks: JoinSet<()>,
}

impl Loop {
    async fn turn(mut self) -> Result<(), GuardError> {
        let drops = self.watch_drops()?;
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(FLOOD_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at_files = None;
        loop {
            let restart = self.core.keeper().restart_at();
            tokio::select! {
                told = self.signals.next() => match told {
                    Told::Stop => break,
                    // Who sends a signal reads the log.
                    Told::Reload => {
                        drop(self.core.order_renewal());
                        drop(self.core.reload(By::Signal));
                    }
                },
                Some(event) = self.events.recv() => self.core.proxy_event(event, clock::now())?,
                Some(ask) = self.questions.recv() => self.core.command(ask),
                _ = ticks.tick() => {
                    self.core.tick(clock::wall(), clock::now());
                    if let Some(files) = &mut self.files {
                        files.follow(self.core.watched_folders());
                    }
                }
                _ = looks.tick() => self.core.watch_floods(clock::now()),
                Ok(mut ready) = readable(drops.as_ref()) => {
                    if !self.core.take_events() {
                        ready.clear_ready();
                    }
                }
                Ok(mut ready) = changed(self.links.as_ref()) => {
                    let news = self.links.as_ref().map(Links::take).unwrap_or_default();
                    if !news.more {
                        ready.clear_ready();
                    }
                    if news.unfiltered {
                        self.core.tend(clock::now());
                    }
                }
                () = at(restart) => self.core.restart_proxy(clock::now()),
                Some(()) = self.orders.recv() => self.go_over().await,
                () = touched(self.files.as_ref()), if look_at_files.is_none() => {
                    look_at_files = Some(clock::now() + SETTLED);
                }
                () = at(look_at_files) => {
                    look_at_files = None;
                    self.core.files_changed();
                }
            }
        }
        Box::pin(self.stop()).await;
        Ok(())
    }

    /// Leaves for another program. Where that fails everything goes on as it was.
    async fn go_over(&mut self) {
        // Who ordered it hears so before the guard that says it is gone.
        tokio::time::sleep(FAREWELL).await;
        if !self.core.settle_store().await {
            warn!("the store does not answer: the guard stays the program it is");
            return;
        }
        info!("the guard goes over to another program; filter, proxy and listeners stay");
        let Doors { run, control } = &self.doors;
        let error = kept::go_over(&self.core.keeps(), run.held(), control.as_fd());
        warn!(%error, "the guard stays the program it is");
    }

    async fn stop(mut self) {
        info!("guard stops; the packet filter stays attached");
        let Self { core, signals, .. } = &mut self;
        core.prepare_stop();
        core.keeper().stop(signals.stop()).await;
        core.last_tick(clock::wall(), clock::now());
        self.tasks.abort_all();
        // Dropping the core waits for the store.
    }

    fn watch_drops(&self) -> Result<Option<AsyncFd<OwnedFd>>, GuardError> {
        let Some(descriptor) = self.core.events_fd() else { return Ok(None) };
        descriptor
            .try_clone_to_owned()
            .and_then(watch)
            .map(Some)
            .map_err(GuardError::system("watching the kernel's drop events"))
    }
}

/// Resolves when interfaces changed; never without a kernel.
async fn changed(links: Option<&Links>) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
    readable(links.map(|links| &links.ready)).await
}

/// Resolves when this can be read; never without a kernel.
async fn readable(from: Option<&AsyncFd<OwnedFd>>) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
    match from {
        Some(from) => from.readable().await,
        None => std::future::pending().await,
    }
}

/// Resolves when something happened where the configuration's files are.
async fn touched(files: Option<&FolderWatch>) {
    match files {
        Some(files) => files.changed().await,
        None => std::future::pending().await,
    }
}

async fn at(when: Option<std::time::Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
