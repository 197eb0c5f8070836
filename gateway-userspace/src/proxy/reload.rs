//! Another configuration for a serving proxy. All of it is made and checked beside the one that
//! serves; then the workers go over to it, each between two requests. What is in flight ends by the
//! configuration it began with.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    identity::provider::Providers,
    inspection::{contracts::Contracts, rules::Ruled},
    instance::{Instance, ListenerSocket, StartError},
    router::Router,
    secrets::Secrets,
    thread::Generation,
    tls,
    upstream::Setup,
    worker::Shared,
};
use crate::{
    config::model::{Config, Supplier},
    ipc::message::ListenerRole,
};

/// Earlier generations that connections or requests still hold, at most. Each is a configuration in
/// memory; past these a fresh proxy is less.
const GENERATIONS: usize = 32;

/// As at a start: names of new suppliers are waited for, then served is what can be.
const NAMES: Duration = Duration::from_secs(3);

/// Workers take a generation between two turns of their loops.
const TAKEN: Duration = Duration::from_secs(10);

/// What another configuration comes with.
#[derive(Debug)]
pub struct Next {
    pub config: Config,
    pub listeners: Vec<ListenerSocket>,
    pub secrets: Secrets,
}

/// Why everything stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{what} cannot change in a proxy that serves")]
    Fixed { what: &'static str },
    #[error("connections hold {GENERATIONS} earlier configurations still")]
    Generations,
}

impl NotApplied {
    /// Whether a proxy that starts with the configuration could serve.
    pub const fn takes_a_fresh_one(&self) -> bool {
        matches!(self, Self::Fixed { .. } | Self::Generations)
    }
}

impl Instance {
    /// Serves by another configuration from now on, or leaves everything as it is.
    pub async fn apply(&mut self, next: Next) -> Result<(), NotApplied> {
        let before = self.shared.load_full();
        self.check(&before, &next.config)?;
        let Next { config, listeners, secrets } = next;
        let client = tls::suppliers(&config, &secrets).map_err(StartError::from)?;
        let providers = before.providers.succeed(&config, &secrets, &self.secrets);
        let providers = Arc::new(providers.map_err(StartError::from)?);
        let shared = Arc::new(Self::succeed(&before, config, &secrets, providers)?);
        shared.acme.take(&shared.config, &secrets);
        shared.hosts.follow(&shared.config);
        let setup = Setup::new(&shared.config, &client, &shared.book).map_err(StartError::from)?;
        let same = |one: &Supplier| one.files().all(|(path, _)| secrets.agree(&self.secrets, path));
        let setup = setup.keeping(&shared.config, (&self.setup, &before.config), same);
        // Before a request may ask for them, and before the guard would ban one of them.
        if timeout(NAMES, shared.book.prepare(&self.asks)).await.is_err() {
            tracing::warn!("not all suppliers' names resolved in time");
        }
        let public = listeners.into_iter().filter(|one| one.role == ListenerRole::Public);
        let sockets = public.map(Arc::new).collect();
        self.living.push(Arc::downgrade(&before));
        (self.setup, self.secrets) = (setup.clone(), secrets);
        self.shared.store(Arc::clone(&shared));
        let number = self.generations.borrow().number + 1;
        let generation = Generation { number, shared, setup, sockets };
        self.generations.send_replace(Arc::new(generation));
        self.taken(number).await;
        Ok(())
    }

    fn check(&mut self, before: &Shared, next: &Config) -> Result<(), NotApplied> {
        let fixed =
            |differs: bool, what| if differs { Err(NotApplied::Fixed { what }) } else { Ok(()) };
        fixed(usize::from(next.proxy.workers.max(1)) != self.threads(), "proxy.workers")?;
        fixed(next.log != before.config.log, "[log]")?;
        fixed(next.admin != before.config.admin, "[admin]")?;
        let plain = |config: &Config| config.acme.as_ref().and_then(|acme| acme.http);
        fixed(plain(next) != plain(&before.config), "acme.http")?;
        self.living.retain(|shared| shared.strong_count() > 0);
        if self.living.len() >= GENERATIONS {
            return Err(NotApplied::Generations);
        }
        Ok(())
    }

    /// What all workers share, with what they counted.
    fn succeed(
        before: &Shared,
        config: Config,
        secrets: &Secrets,
        providers: Arc<Providers>,
    ) -> Result<Shared, StartError> {
        let ledger = before.ledger.succeed(&config);
        let metrics = Arc::clone(&ledger.metrics);
        Ok(Shared {
            router: Router::new(&config)?,
            stages: {
                let rules = Ruled::load(&config, secrets, before.stages.waf.ruled())
                    .map_err(StartError::from)?;
                let contracts = before.stages.contract.contracts();
                let contracts =
                    Contracts::load(&config, secrets, Some(contracts)).map_err(StartError::from)?;
                let callers = (Arc::clone(&before.keys), &*providers);
                before.stages.succeed(&config, callers, (rules, contracts))
            },
            keys: Arc::clone(&before.keys),
            time: Arc::clone(&before.time),
            hurry: Arc::clone(&before.hurry),
            process: Arc::clone(&before.process),
            connections: before.connections.succeed(&config.proxy, metrics),
            handshakes: before.handshakes.succeed(&config),
            tls: before.tls.succeed(&config, secrets, before.time.wall())?,
            acme: Arc::clone(&before.acme),
            book: before.book.succeed(&config),
            hosts: Arc::clone(&before.hosts),
            keeping: Arc::clone(&before.keeping),
            providers,
            feedback: before.feedback.succeed(&config.bans),
            ledger,
            config,
        })
    }

    /// Waits until every worker goes by it. One that does not come to it is busy with a request,
    /// and takes it next.
    async fn taken(&mut self, number: u64) {
        let all = async {
            for reached in &mut self.reached {
                // A thread that is gone is found by `crashed`.
                drop(reached.wait_for(|reached| *reached >= number).await);
            }
        };
        if timeout(TAKEN, all).await.is_err() {
            tracing::warn!("not all workers took the configuration in time");
        }
    }

    /// Takes no more connections. Those open may finish within `proxy.timeouts.drain`.
    pub fn drain(&self) {
        self.shared.load().hurry.store(true, Ordering::Relaxed);
        self.drain_succeeded();
    }

    /// The same where another proxy accepts from the same sockets: connections are given that time
    /// to come to an end by themselves.
    pub fn drain_succeeded(&self) {
        self.stop.send_replace(true);
    }
}
