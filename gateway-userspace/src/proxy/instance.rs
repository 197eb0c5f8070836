//! A running proxy: worker threads on their listening sockets, and the support thread. Made from
//! checked settings and open descriptors alone, with or without a guard.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Weak, mpsc as channel},
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::{
    runtime::{LocalOptions, LocalRuntime},
    sync::{mpsc, watch},
};

use super::{
    acme::Board,
    feedback::{self, Feedback},
    fetch::Hosts,
    guard_time::GuardTime,
    identity::{
        keys::Keys,
        provider::{ProviderError, Providers},
    },
    inspection::{
        contracts::{ContractError, Contracts},
        rules::{Ruled, RulesError},
    },
    keeping::Keeping,
    kernel_counters::KernelCounters,
    memory::{Gauge, Memory},
    net::{connections::Connections, handshakes::Handshakes},
    outbox::Asks,
    pipeline::Stages,
    record::Ledger,
    router::{Router, RouterError},
    secrets::Secrets,
    support::Support,
    thread::{Generation, Start},
    tls::{self, Edge, TlsError},
    upstream::{Book, Setup, SetupError},
    worker::Shared,
};
use crate::{
    config::model::Config,
    ipc::message::{ApiKey, FromProxy, KernelReport, ListenerRole, Query, RefusedFile},
    telemetry::{AccessLog, AccessLogError, Metrics, RefusalMemory, RenewalOutcome},
};

/// Starting waits this long for suppliers' names, then serves what it can.
const NAMES: Duration = Duration::from_secs(3);

/// How long the access log may take to be written out at the end.
const LOG: Duration = Duration::from_secs(2);

/// Threads for name lookups.
const BLOCKING: usize = 4;

/// A listening socket and whose it is.
#[derive(Debug)]
pub struct ListenerSocket {
    pub address: SocketAddr,
    pub role: ListenerRole,
    pub worker: u16,
    pub socket: TcpListener,
}

/// What a proxy is made of.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub listeners: Vec<ListenerSocket>,
    pub secrets: Secrets,
    /// `None` where the guard has sent none: routes with an identity then refuse everyone.
    pub keys: Option<Vec<ApiKey>>,
    pub access_log: Option<OwnedFd>,
    /// Seconds from `CLOCK_MONOTONIC` to the guard's wall clock.
    pub ahead: i64,
    /// `None` where memory cannot be measured: then it has no bound.
    pub memory: Option<Gauge>,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    #[error(transparent)]
    Supplier(#[from] SetupError),
    #[error(transparent)]
    Identity(#[from] ProviderError),
    #[error("starting the thread {name}")]
    Thread {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// A running proxy. Dropping it stops its threads without waiting for them.
#[derive(Debug)]
pub struct Instance {
    /// By the configuration of now.
    pub(super) shared: Arc<ArcSwap<Shared>>,
    pub(super) generations: watch::Sender<Arc<Generation>>,
    /// Which generation each worker goes by.
    pub(super) reached: Vec<watch::Receiver<u64>>,
    /// Of earlier configurations, as long as something goes by them.
    pub(super) living: Vec<Weak<Shared>>,
    pub(super) setup: Setup,
    pub(super) secrets: Secrets,
    pub(super) asks: Asks,
    pub(super) stop: watch::Sender<bool>,
    kernel: Arc<KernelCounters>,
    workers: Vec<JoinHandle<()>>,
    support: Option<JoinHandle<()>>,
}

/// What a proxy wants to tell its guard.
#[derive(Debug)]
pub struct Outbox {
    /// Small and few; these go first.
    pub asks: mpsc::Receiver<FromProxy>,
    pub feedback: mpsc::Receiver<FromProxy>,
}

impl Instance {
    /// Starts everything; when this returns, connections are accepted.
    pub fn start(parts: Parts) -> Result<(Self, Outbox), StartError> {
        let edge = Edge::start(&parts.config, &parts.secrets)?;
        let client = tls::suppliers(&parts.config, &parts.secrets)?;
        let (asks, waiting_asks) = Asks::new();
        let (queue, waiting_feedback) = mpsc::channel(feedback::QUEUE);
        let time = GuardTime::new(parts.ahead);
        let providers = Providers::start(&parts.config, &parts.secrets, time.wall())?;
        let callers = (parts.keys, time, Arc::new(providers));
        let board = Board::new(&parts.config, &parts.secrets);
        let rules = Ruled::load(&parts.config, &parts.secrets, None)?;
        let contracts = Contracts::load(&parts.config, &parts.secrets, None)?;
        let memory = Arc::new(Memory::new(parts.memory));
        let shared = share(
            parts.config,
            (edge, board),
            (rules, contracts),
            callers,
            (parts.access_log, memory),
            (queue, asks.clone()),
        )?;
        shared.tls.warn(shared.time.wall());
        let setup = Setup::new(&shared.config, &client, &shared.book)?;
        let (stop, stopped) = watch::channel(false);
        let kernel = Arc::new(KernelCounters::default());
        let (public, others): (Vec<_>, Vec<_>) =
            parts.listeners.into_iter().partition(|one| one.role == ListenerRole::Public);
        let (admin, plain): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|one| one.role == ListenerRole::Metrics);
        let sockets = public.into_iter().map(Arc::new).collect();
        let (first, current) = (Arc::clone(&shared), Arc::new(ArcSwap::new(Arc::clone(&shared))));
        let generation = Generation { number: 1, shared: first, setup: setup.clone(), sockets };
        let (generations, followed) = watch::channel(Arc::new(generation));
        let support = Support {
            shared: Arc::clone(&current),
            generations: followed,
            asks: asks.clone(),
            kernel: Arc::clone(&kernel),
            admin: admin.into_iter().map(|one| one.socket).collect(),
            plain: plain.into_iter().map(|one| one.socket).collect(),
        };
        let support = Some(support_thread(support, stopped.clone())?);
        let mut instance = Self {
            shared: current,
            generations,
            reached: Vec::new(),
            living: Vec::new(),
            setup,
            secrets: parts.secrets,
            asks,
            stop,
            kernel,
            workers: Vec::new(),
            support,
        };
        instance.start_workers(shared.config.proxy.workers.max(1), &stopped)?;
        Ok((instance, Outbox { asks: waiting_asks, feedback: waiting_feedback }))
    }

    /// Waits for the threads, after `drain`, and until the access log is written.
    pub fn join(self) {
        let Self { shared, workers, support, .. } = self;
        for thread in workers.into_iter().chain(support) {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked");
            }
        }
        if !shared.load().ledger.log.close(LOG) {
            tracing::warn!("the access log was not written out in time");
        }
    }

    /// A thread that ended without being told to: without the support thread names would grow
    /// stale and no metrics be served, and nobody would know.
    pub fn crashed(&self) -> bool {
        let mut threads = self.workers.iter().chain(&self.support);
        !*self.stop.borrow() && threads.any(JoinHandle::is_finished)
    }

    /// A message of keys; what `reset` begins counts once its last one, without `more`, is there.
    pub fn update_keys(&self, reset: bool, more: bool, keys: Vec<ApiKey>) {
        self.shared.load().keys.update(reset, more, keys);
    }

    /// Takes what is good of new certificates, keys and lists; what was not taken comes back.
    pub fn renew(
        &self,
        secrets: &Secrets,
        unreadable: &HashMap<PathBuf, String>,
    ) -> Vec<RefusedFile> {
        let shared = self.shared.load();
        shared.acme.take(&shared.config, secrets);
        let faults = shared.tls.renew(secrets, unreadable, shared.time.wall());
        let outcome =
            if faults.is_empty() { RenewalOutcome::Taken } else { RenewalOutcome::Refused };
        shared.ledger.metrics.certificates_renewed(outcome);
        faults
    }

    /// The guard's clock was set, or has drifted: keys expire by it.
    pub fn set_time(&self, ahead: i64) {
        self.shared.load().time.set(ahead);
    }

    /// The guard's answer to `Keep`.
    pub fn kept(&self, id: u64, fault: Option<String>) {
        self.shared.load().keeping.answered(id, fault);
    }

    /// An operator wants a certificate issued anew.
    pub fn issue(&self, name: String) {
        let shared = self.shared.load();
        shared.acme.want(name, &shared.config);
    }

    pub fn kernel_counters(&self, id: u64, report: KernelReport) {
        self.kernel.answer(id, report);
    }

    /// The known addresses of all that is spoken with, for a guard that knows none.
    pub fn resolved(&self) -> Vec<FromProxy> {
        let shared = self.shared.load();
        let mut all = shared.book.report();
        all.extend(shared.hosts.report());
        all
    }

    pub fn answer(&self, query: &Query) -> Value {
        let shared = self.shared.load();
        let memory = &shared.ledger.memory;
        match query {
            Query::Status => self.status(),
            Query::WhyAddress(address) => json!({ "refusals": memory.by_address(*address) }),
            Query::WhyRequest(id) => memory.explain_request(id),
        }
    }

    fn status(&self) -> Value {
        let shared = self.shared.load();
        let (certificates, more_certificates) = shared.tls.shown(shared.time.wall());
        json!({
            "listeners": shared.config.listeners.iter().map(|one| one.address).collect::<Vec<_>>(),
            "workers": self.workers.len(),
            "connections": shared.connections.open(),
            "requests_in_flight": shared.stages.admission.in_flight(),
            "memory": memory(&shared),
            "bounded_routes": bounded_routes(&shared),
            "api_keys": shared.keys.len(),
            "suppliers": shared.book.status(),
            "dns": shared.book.names_status(),
            "certificates": certificates,
            "more_certificates": more_certificates,
            "identities": shared.providers.status(shared.time.wall()),
            "acme": shared.acme.lines(shared.time.wall()),
            "messages_dropped": self.asks.dropped(),
            "draining": *self.stop.borrow(),
            "generation": self.generations.borrow().number,
            "generations_held": self.living.iter().filter(|held| held.strong_count() > 0).count(),
        })
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len()
    }

    fn start_workers(
        &mut self,
        threads: u16,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        for index in 0..threads {
            let (reached, progress) = watch::channel(0);
            let generations = self.generations.subscribe();
            let (start, stopped) =
                (Start { index, threads, generations, reached }, stopped.clone());
            let serve = move |runtime: &LocalRuntime| runtime.block_on(start.run(stopped));
            self.workers.push(spawn(&format!("worker-{index}"), serve)?);
            self.reached.push(progress);
        }
        Ok(())
    }
}

impl ListenerSocket {
    /// Which of all sockets it is.
    pub(super) fn key(&self) -> (SocketAddr, u16) {
        (self.address, self.worker)
    }
}

/// Bytes, and what they come to.
fn memory(shared: &Shared) -> Value {
    json!({
        "used": shared.process.used(),
        "bound": shared.config.proxy.memory,
        "level": shared.process.level().name(),
    })
}

/// Routes with a bound of their own: what is in flight, and what may be now.
fn bounded_routes(shared: &Shared) -> Vec<Value> {
    let routes = &shared.config.routes;
    let shown = |(index, taken, most): (usize, u32, u32)| {
        let route = routes.get(index)?;
        let (name, adaptive) = (&route.name, route.adaptive);
        Some(json!({ "name": name, "in_flight": taken, "most": most, "adaptive": adaptive }))
    };
    shared.stages.shed.bounds().filter_map(shown).collect()
}

fn share(
    config: Config,
    (edge, board): (Edge, Arc<Board>),
    judges: (Option<Ruled>, Contracts),
    (keys, time, providers): (Option<Vec<ApiKey>>, GuardTime, Arc<Providers>),
    (log, process): (Option<OwnedFd>, Arc<Memory>),
    (queue, asks): (mpsc::Sender<FromProxy>, Asks),
) -> Result<Arc<Shared>, StartError> {
    let metrics = Metrics::new(&config);
    let log = AccessLog::start(log, config.log.queue, Arc::clone(&metrics))?;
    let memory = RefusalMemory::new(Arc::clone(&metrics));
    let known = Arc::new(Keys::default());
    if let Some(keys) = keys {
        known.update(true, false, keys);
    }
    let shared = Shared {
        router: Router::new(&config)?,
        stages: Stages::from_config(
            &config,
            (Arc::clone(&known), &providers),
            judges,
            Arc::clone(&process),
        ),
        keys: known,
        time: Arc::new(time),
        hurry: Arc::default(),
        process,
        connections: Connections::from_config(&config.proxy, Arc::clone(&metrics)),
        handshakes: Handshakes::from_config(&config),
        tls: edge,
        acme: board,
        book: Book::new(&config),
        hosts: Arc::new(Hosts::new(&config, asks.clone())),
        keeping: Arc::new(Keeping::new(asks)),
        providers,
        feedback: Feedback::new(&config.bans, queue),
        ledger: Ledger { metrics, log, memory },
        config,
    };
    Ok(Arc::new(shared))
}

fn support_thread(
    support: Support,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let (ready, prepared) = channel::sync_channel(1);
    let thread = spawn("support", move |runtime| runtime.block_on(support.run(ready, stopped)))?;
    // An error here means that all names were asked for: the sender was dropped.
    if prepared.recv_timeout(NAMES) == Err(channel::RecvTimeoutError::Timeout) {
        tracing::warn!("not all suppliers' names resolved in time");
    }
    Ok(thread)
}

/// A thread with a runtime of its own, whose tasks never leave it. A `LocalSet` on an ordinary runtime
/// would be a second queue behind the first, and each wake would go through both.
fn spawn(
    name: &str,
    body: impl FnOnce(&LocalRuntime) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let (made, told) = channel::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match local_runtime() {
            Ok(runtime) => {
                drop(made.send(Ok(())));
                body(&runtime);
            }
            Err(error) => drop(made.send(Err(error))),
        })
        .map_err(|source| thread_failed(name, source))?;
    let told = told.recv().unwrap_or_else(|_gone| Err(io::ErrorKind::Other.into()));
    told.map(|()| thread).map_err(|source| thread_failed(name, source))
}

/// Belongs to the thread it is made on.
fn local_runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build_local(LocalOptions::default())
}

fn thread_failed(name: &str, source: io::Error) -> StartError {
    StartError::Thread { name: name.to_owned(), source }
}
