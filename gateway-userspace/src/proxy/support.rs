//! The thread beside the workers: names behind suppliers and questions to them, certificates that
//! are issued, the admin listener, how much memory there is, forgetting what limiters need not know.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::watch, task::LocalSet};

use super::{
    acme, admin, identity::provider, kernel_counters::KernelCounters, memory, outbox::Asks,
    thread::Generation, upstream::Watch, worker::Shared,
};
use crate::telemetry::Limiter;

/// Limiters forget idle keys this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The log says this often which certificates end soon.
const WARN_EVERY: Duration = Duration::from_hours(24);

/// What the thread needs.
pub(crate) struct Support {
    pub(crate) shared: Arc<ArcSwap<Shared>>,
    pub(crate) generations: watch::Receiver<Arc<Generation>>,
    pub(crate) asks: Asks,
    pub(crate) kernel: Arc<KernelCounters>,
    pub(crate) admin: Vec<std::net::TcpListener>,
    /// Without TLS.
    pub(crate) plain: Vec<std::net::TcpListener>,
}

impl Support {
    /// Runs until `stop`. Names are asked for before `ready` is told.
    pub(crate) async fn run(
        self,
        ready: std::sync::mpsc::SyncSender<()>,
        mut stop: watch::Receiver<bool>,
    ) {
        let local = LocalSet::new();
        for listener in self.admin {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let render = renderer(&self.shared, &self.asks, &self.kernel);
                    drop(local.spawn_local(admin::serve(listener, render)));
                }
                Err(error) => tracing::error!(%error, "the metrics listener cannot be used"),
            }
        }
        for listener in self.plain {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    drop(local.spawn_local(acme::serve(listener, Arc::clone(&self.shared))));
                }
                Err(error) => tracing::error!(%error, "the listener without TLS cannot be used"),
            }
        }
        drop(local.spawn_local(acme::run(Arc::clone(&self.shared))));
        let (shared, asks) = (Arc::clone(&self.shared), self.asks.clone());
        let mut generations = self.generations.clone();
        drop(local.spawn_local(async move {
            shared.load_full().book.prepare(&asks).await;
            drop(ready);
            loop {
                let now = shared.load_full();
                tokio::select! {
                    () = now.book.keep(&asks) => {}
                    // Its names were asked for before it came.
                    changed = generations.changed() => if changed.is_err() { return },
                }
            }
        }));
        let issuers = provider::run(Arc::clone(&self.shared), self.generations.clone());
        drop(local.spawn_local(issuers));
        drop(local.spawn_local(question(self.generations)));
        let shared = Arc::clone(&self.shared);
        drop(local.spawn_local(async move {
            loop {
                tokio::time::sleep(WARN_EVERY).await;
                let shared = shared.load();
                shared.tls.warn(shared.time.wall());
            }
        }));
        let shared = Arc::clone(&self.shared);
        drop(local.spawn_local(async move {
            loop {
                let now = shared.load();
                now.process.look(now.config.proxy.memory);
                drop(now);
                tokio::time::sleep(memory::EVERY).await;
            }
        }));
        let shared = self.shared;
        drop(local.spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let shared = shared.load();
                shared.stages.sweep();
                shared.handshakes.sweep();
            }
        }));
        let stopped = async { while !*stop.borrow_and_update() && stop.changed().await.is_ok() {} };
        local.run_until(stopped).await;
    }
}

/// Asks the targets of now how they are.
async fn question(mut generations: watch::Receiver<Arc<Generation>>) {
    let mut watch = Watch::default();
    loop {
        let setup = generations.borrow_and_update().setup.clone();
        watch.follow(&setup);
        drop(setup);
        if generations.changed().await.is_err() {
            return;
        }
    }
}

fn renderer(
    shared: &Arc<ArcSwap<Shared>>,
    asks: &Asks,
    kernel: &Arc<KernelCounters>,
) -> impl AsyncFn() -> String + 'static {
    let (shared, asks, kernel) = (Arc::clone(shared), asks.clone(), Arc::clone(kernel));
    async move || {
        let report = kernel.ask(&asks).await;
        let shared = shared.load_full();
        let metrics = &shared.ledger.metrics;
        let stages = &shared.stages;
        metrics.limiter_keys(Limiter::Anonymous, stages.anonymous_limit.limiter().keys() as u64);
        for (route, limiter) in stages.client_limit.limiters() {
            metrics.limiter_keys(Limiter::Route(route), limiter.keys() as u64);
        }
        for (supplier, states) in shared.book.states().enumerate() {
            metrics.supplier_targets(supplier, &states);
        }
        let figures = shared.book.figures();
        let found = figures.names.saturating_sub(figures.stale + figures.without);
        let names = [found, figures.stale, figures.without];
        metrics.names(names, figures.asked, figures.foreign);
        metrics.memory(shared.process.used(), shared.config.proxy.memory);
        for (route, taken, most) in stages.shed.bounds() {
            metrics.route_places(route, taken, most);
        }
        metrics.handshake_sources(shared.handshakes.sources() as u64);
        for (place, provider) in shared.providers.all().enumerate() {
            metrics.identity(place, provider.figures(shared.time.wall()));
        }
        let (remembered, turned_away) = shared.providers.dpop().figures();
        metrics.proofs(remembered, turned_away);
        metrics.certificates_hold(&shared.tls.seconds_left(shared.time.wall()));
        metrics.expose(report.as_ref())
    }
}
