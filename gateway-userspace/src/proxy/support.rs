//! The thread beside the workers: names behind suppliers, the admin listener, forgetting what
//! limiters need not know.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::LocalSet};

use super::{kernel_counters::KernelCounters, outbox::Asks, worker::Shared};
use crate::telemetry::{
    admin,
    scrape::{Gauges, Scrape},
};

/// Limiters forget idle keys this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What the thread needs.
pub(crate) struct Support {
    pub(crate) shared: Arc<Shared>,
    pub(crate) asks: Asks,
    pub(crate) kernel: Arc<KernelCounters>,
    pub(crate) admin: Vec<std::net::TcpListener>,
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
        let (shared, asks) = (Arc::clone(&self.shared), self.asks.clone());
        drop(local.spawn_local(async move {
            shared.book.prepare(&asks).await;
            drop(ready);
            shared.book.keep(&asks).await;
        }));
        let shared = self.shared;
        drop(local.spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                shared.stages.sweep();
            }
        }));
        let stopped = async { while !*stop.borrow_and_update() && stop.changed().await.is_ok() {} };
        local.run_until(stopped).await;
    }
}

fn renderer(
    shared: &Arc<Shared>,
    asks: &Asks,
    kernel: &Arc<KernelCounters>,
) -> impl AsyncFn() -> Option<String> + 'static {
    let (shared, asks, kernel) = (Arc::clone(shared), asks.clone(), Arc::clone(kernel));
    async move || {
        let report = kernel.ask(&asks).await;
        let metrics = Arc::clone(&shared.telemetry.metrics);
        let scrape = Scrape { metrics, gauges: gauges(&shared, &asks), kernel: report };
        scrape.render().ok()
    }
}

fn gauges(shared: &Shared, asks: &Asks) -> Gauges {
    let alone = || ("", String::new());
    let stages = &shared.stages;
    let anonymous = stages.anonymous_limit.limiter();
    let routes: Vec<_> = stages.client_limit.limiters().collect();
    let sum = |pick: fn(&crate::proxy::limits::Limiter<_>) -> u64| {
        routes.iter().map(|one| pick(one)).sum()
    };
    let keys = "Keys the limiters hold";
    let away = "Requests refused because a limiter had no room for their key";
    vec![
        ("connections", "Open connections", alone(), shared.connections.open().into()),
        (
            "requests_in_flight",
            "Requests whose response has not ended",
            alone(),
            stages.admission.in_flight().into(),
        ),
        ("limiter_keys_anonymous", keys, alone(), anonymous.keys() as u64),
        ("limiter_keys_routes", keys, alone(), sum(|one| one.keys() as u64)),
        ("limiter_turned_away_anonymous", away, alone(), anonymous.turned_away()),
        ("limiter_turned_away_routes", away, alone(), sum(super::limits::Limiter::turned_away)),
        ("api_keys", "API keys known", alone(), shared.keys.len() as u64),
        (
            "asks_dropped",
            "Messages to the guard that did not fit the queue",
            alone(),
            asks.dropped(),
        ),
    ]
}
