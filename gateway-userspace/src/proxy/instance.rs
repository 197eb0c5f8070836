//! A running proxy: worker threads on their listening sockets, and the support thread. Made from
//! checked settings and open descriptors alone, with or without a guard.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, mpsc as channel},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
    task::LocalSet,
};

use super::{
    feedback::{self, Feedback},
    guard_time::GuardTime,
    identity::keys::Keys,
    kernel_counters::KernelCounters,
    net::{
        accept::{Listening, accept},
        connections::Connections,
        handshakes::Handshakes,
    },
    outbox::Asks,
    pipeline::{Stages, forward::Suppliers},
    record::Ledger,
    router::{Router, RouterError},
    secrets::Secrets,
    support::Support,
    tls::{self, Edge, TlsError},
    upstream::{Book, Setup, SetupError},
    worker::{Shared, Worker},
};
use crate::{
    config::model::Config,
    ipc::message::{ApiKey, FromProxy, KernelReport, ListenerRole, Query, RefusedFile},
    telemetry::{AccessLog, AccessLogError, Metrics, RefusalMemory, RenewalOutcome},
};

/// Starting waits this long for suppliers' names, then serves what it can.
const NAMES: Duration = Duration::from_secs(3);

/// A connection to a supplier is closed when it was not used for one to two of these. Shorter than
/// the minute or more that servers usually keep theirs, so that mostly we are the one who closes.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

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
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error("no TLS settings for the listening socket {address}")]
    Listener { address: SocketAddr },
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    #[error(transparent)]
    Supplier(#[from] SetupError),
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
    shared: Arc<Shared>,
    kernel: Arc<KernelCounters>,
    asks: Asks,
    stop: watch::Sender<bool>,
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
        let callers = (parts.keys, GuardTime::new(parts.ahead));
        let shared = share(parts.config, edge, callers, parts.access_log, queue)?;
        shared.tls.warn(shared.time.wall());
        let setup = Setup::new(&shared.config, &client, &shared.book)?;
        let (stop, stopped) = watch::channel(false);
        let kernel = Arc::new(KernelCounters::default());
        let (admin, public): (Vec<_>, Vec<_>) =
            parts.listeners.into_iter().partition(|one| one.role == ListenerRole::Metrics);
        let support = Support {
            shared: Arc::clone(&shared),
            asks: asks.clone(),
            kernel: Arc::clone(&kernel),
            admin: admin.into_iter().map(|one| one.socket).collect(),
        };
        let support = Some(support_thread(support, stopped.clone())?);
        let mut instance = Self { shared, kernel, asks, stop, workers: Vec::new(), support };
        instance.start_workers(public, &setup, &stopped)?;
        Ok((instance, Outbox { asks: waiting_asks, feedback: waiting_feedback }))
    }

    /// Takes no more connections. Those open may finish within `proxy.timeouts.drain`.
    pub fn drain(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the threads, after `drain`, and until the access log is written.
    pub fn join(self) {
        let Self { shared, workers, support, .. } = self;
        for thread in workers.into_iter().chain(support) {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked");
            }
        }
        if !shared.ledger.log.close(LOG) {
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
        self.shared.keys.update(reset, more, keys);
    }

    /// Takes what is good of new certificates, keys and lists; what was not taken comes back.
    pub fn renew(
        &self,
        secrets: &Secrets,
        unreadable: &HashMap<PathBuf, String>,
    ) -> Vec<RefusedFile> {
        let shared = &self.shared;
        let faults = shared.tls.renew(secrets, unreadable, shared.time.wall());
        let outcome =
            if faults.is_empty() { RenewalOutcome::Taken } else { RenewalOutcome::Refused };
        shared.ledger.metrics.certificates_renewed(outcome);
        faults
    }

    /// The guard's clock was set, or has drifted: keys expire by it.
    pub fn set_time(&self, ahead: i64) {
        self.shared.time.set(ahead);
    }

    pub fn kernel_counters(&self, id: u64, report: KernelReport) {
        self.kernel.answer(id, report);
    }

    /// The known addresses of all suppliers, for a guard that knows none.
    pub fn resolved(&self) -> Vec<FromProxy> {
        self.shared.book.report()
    }

    pub fn answer(&self, query: &Query) -> Value {
        let memory = &self.shared.ledger.memory;
        match query {
            Query::Status => self.status(),
            Query::WhyAddress(address) => json!({ "refusals": memory.by_address(*address) }),
            Query::WhyRequest(id) => memory.explain_request(id),
        }
    }

    fn status(&self) -> Value {
        let shared = &self.shared;
        json!({
            "listeners": shared.config.listeners.iter().map(|one| one.address).collect::<Vec<_>>(),
            "workers": self.workers.len(),
            "connections": shared.connections.open(),
            "requests_in_flight": shared.stages.admission.in_flight(),
            "api_keys": shared.keys.len(),
            "suppliers": shared.book.status(),
            "certificates": shared.tls.lines(shared.time.wall()),
            "messages_dropped": self.asks.dropped(),
            "draining": *self.stop.borrow(),
        })
    }

    fn start_workers(
        &mut self,
        mut sockets: Vec<ListenerSocket>,
        setup: &Setup,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let workers = self.shared.config.proxy.workers.max(1);
        for index in 0..workers {
            // Sockets of workers that do not exist (the number was lowered) go to those that do.
            let (mine, rest): (Vec<_>, Vec<_>) =
                sockets.into_iter().partition(|one| one.worker % workers == index);
            sockets = rest;
            let placed = |one| with_place(one, &self.shared.tls);
            let listeners = mine.into_iter().map(placed).collect::<Result<_, _>>()?;
            let start = WorkerStart {
                index: usize::from(index),
                shared: Arc::clone(&self.shared),
                listeners,
                setup: setup.clone(),
            };
            self.workers.push(start.spawn(stopped.clone())?);
        }
        Ok(())
    }
}

fn share(
    config: Config,
    edge: Edge,
    (keys, time): (Option<Vec<ApiKey>>, GuardTime),
    log: Option<OwnedFd>,
    queue: mpsc::Sender<FromProxy>,
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
        stages: Stages::from_config(&config, Arc::clone(&known)),
        keys: known,
        time,
        connections: Connections::from_config(&config.proxy, Arc::clone(&metrics)),
        handshakes: Handshakes::from_config(&config),
        tls: edge,
        book: Book::new(&config.suppliers),
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

/// What a worker thread starts with.
struct WorkerStart {
    index: usize,
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, usize)>,
    setup: Setup,
}

impl WorkerStart {
    fn spawn(self, stopped: watch::Receiver<bool>) -> Result<JoinHandle<()>, StartError> {
        let name = format!("worker-{}", self.index);
        spawn(&name, move |runtime| LocalSet::new().block_on(runtime, self.run(stopped)))
    }

    async fn run(self, stopped: watch::Receiver<bool>) {
        let suppliers = Suppliers::new(&self.shared.config, &self.setup);
        let worker = Worker::new(self.shared, suppliers);
        let mut accepting = tokio::task::JoinSet::new();
        for (listener, place) in self.listeners {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(socket) => {
                    let listening = Listening { socket, place };
                    accepting.spawn_local(accept(Rc::clone(&worker), listening, stopped.clone()));
                }
                Err(error) => tracing::error!(%error, "a listening socket cannot be used"),
            }
        }
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut stopped = stopped;
        while !accepting.is_empty() || !*stopped.borrow_and_update() {
            tokio::select! {
                Some(ended) = accepting.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a listener's task ended");
                        return;
                    }
                }
                _ = sweep.tick() => worker.suppliers.sweep(),
                _ = stopped.changed() => {}
            }
        }
    }
}

/// A thread with a current-thread runtime of its own.
fn spawn(
    name: &str,
    body: impl FnOnce(&Runtime) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()
        .map_err(|source| thread_failed(name, source))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || body(&runtime))
        .map_err(|source| thread_failed(name, source))
}

fn with_place(listener: ListenerSocket, edge: &Edge) -> Result<(TcpListener, usize), StartError> {
    let address = listener.address;
    let place = edge.place(address).ok_or(StartError::Listener { address })?;
    listener.socket.set_nonblocking(true).map_err(|source| thread_failed("worker", source))?;
    Ok((listener.socket, place))
}

fn thread_failed(name: &str, source: io::Error) -> StartError {
    StartError::Thread { name: name.to_owned(), source }
}
