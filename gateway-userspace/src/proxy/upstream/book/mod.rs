//! What all workers know of suppliers: where they live, whether they can be reached, what happened
//! there. One thread asks for their names, each again when its time to live is nearly over, and
//! tells the guard, which protects the addresses from bans.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::{
    crew::Crew,
    dns::{Record, Resolver},
    entry::Entry,
    lookup::Lookup,
};
use crate::{
    clock,
    config::model::{Config, Host, Supplier, SupplierKind},
    ipc::message::FromProxy,
    proxy::outbox::Asks,
    telemetry::TARGET_STATES,
};

/// The guard is told again this long after its queue was full.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Every target of every supplier, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Book {
    suppliers: Vec<Arc<Known>>,
    names: BTreeMap<String, Arc<Named>>,
    resolver: Arc<Resolver>,
}

/// One supplier.
#[derive(Debug)]
pub(super) struct Known {
    supplier: Supplier,
    pub(super) crew: Arc<Crew>,
    pub(super) entries: Vec<Arc<Entry>>,
}

/// A name that targets have.
#[derive(Debug, Default)]
struct Named {
    record: Mutex<Record>,
    /// Held while it is asked for: once at a time, also while two configurations meet.
    asking: tokio::sync::Mutex<()>,
}

/// What became of questions about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameFigures {
    /// Questions sent to servers.
    pub(crate) asked: u64,
    /// Datagrams that answered another question.
    pub(crate) foreign: u64,
    /// Questions asked over TCP.
    pub(crate) over_tcp: u64,
    /// Names whose addresses are in use past their time.
    pub(crate) stale: u64,
    /// Names without any.
    pub(crate) without: u64,
    /// All names.
    pub(crate) names: u64,
}

impl Book {
    pub(crate) fn new(config: &Config) -> Self {
        let resolver = Arc::new(Resolver::new(&config.dns));
        Self { suppliers: Vec::new(), names: BTreeMap::new(), resolver }.succeed(config)
    }

    /// For another configuration: a supplier that stays keeps its standing, and one that does not
    /// what is known of the targets that stay.
    pub(crate) fn succeed(&self, config: &Config) -> Self {
        let known = |supplier: &Supplier| {
            let known = self.suppliers.iter().find(|known| known.supplier == *supplier);
            known.map_or_else(|| Arc::new(Known::new(supplier, self)), Arc::clone)
        };
        let suppliers: Vec<_> = config.suppliers.iter().map(known).collect();
        let same = self.resolver.settings == config.dns;
        let resolver =
            if same { Arc::clone(&self.resolver) } else { Arc::new(Resolver::new(&config.dns)) };
        let names = names(&suppliers).into_iter().map(|name| {
            let named = self.names.get(&name).map(Arc::clone).unwrap_or_default();
            if !same {
                named.record().forget_when();
            }
            (name, named)
        });
        let names = names.collect();
        Self { suppliers, names, resolver }
    }

    /// For names that no supplier has.
    pub(crate) fn lookup(&self) -> Lookup {
        Lookup::new(&self.resolver)
    }

    /// The suppliers with their targets.
    pub(super) fn suppliers(&self) -> impl Iterator<Item = &Known> {
        self.suppliers.iter().map(|known| &**known)
    }

    /// Every target's addresses, for a guard that knows none.
    pub(crate) fn report(&self) -> Vec<FromProxy> {
        self.entries().map(|entry| entry.report()).collect()
    }

    /// Every target with its addresses and standing, for `gateway status`.
    pub(crate) fn status(&self) -> Value {
        let (now, instant) = (clock::monotonic_ns(), clock::now());
        let rows = self.suppliers.iter().flat_map(|known| {
            known.entries.iter().map(move |entry| {
                let named = self.names.get(&entry.name());
                let dns = named.map(|named| named.record().status(instant));
                entry.status(&known.crew, now, dns.as_ref())
            })
        });
        rows.collect()
    }

    /// Figures about names, for `gateway status`.
    pub(crate) fn names_status(&self) -> Value {
        let NameFigures { asked, foreign, over_tcp, stale, without, names } = self.figures();
        json!({
            "names": names,
            "asked": asked,
            "foreign_answers": foreign,
            "over_tcp": over_tcp,
            "stale": stale,
            "without": without,
        })
    }

    pub(crate) fn figures(&self) -> NameFigures {
        let now = clock::now();
        let count = |test: &dyn Fn(&Record) -> bool| {
            self.names.values().filter(|named| test(&named.record())).count() as u64
        };
        let traffic = &self.resolver.traffic;
        NameFigures {
            asked: traffic.asked.load(Relaxed),
            foreign: traffic.foreign.load(Relaxed),
            over_tcp: traffic.over_tcp.load(Relaxed),
            stale: count(&|record| record.is_stale(now)),
            without: count(&|record| record.addresses().is_empty()),
            names: self.names.len() as u64,
        }
    }

    /// For each supplier, how many addresses are in each of [`TARGET_STATES`].
    pub(crate) fn states(&self) -> impl Iterator<Item = [u64; TARGET_STATES.len()]> {
        let now = clock::monotonic_ns();
        self.suppliers.iter().map(move |known| {
            let states: Vec<_> = known.entries.iter().flat_map(|entry| entry.states(now)).collect();
            TARGET_STATES.map(|state| states.iter().filter(|in_it| **in_it == state).count() as u64)
        })
    }

    /// Asks for every name that is due; false where a target has no address.
    pub(crate) async fn prepare(&self, asks: &Asks) -> bool {
        self.literals(asks);
        join_all(self.names.iter().map(|(name, named)| self.ask(name, named, asks))).await;
        self.entries().all(|entry| entry.is_told() && !entry.endpoints().is_empty())
    }

    /// Asks again when it is time. Ends only with its runtime.
    pub(crate) async fn keep(&self, asks: &Asks) {
        let names = join_all(self.names.iter().map(|(name, named)| async move {
            loop {
                let next = named.record().next();
                sleep_until(next).await;
                self.ask(name, named, asks).await;
            }
        }));
        let untold = async {
            loop {
                tokio::time::sleep(TELL_AGAIN).await;
                self.tell_again(asks);
            }
        };
        join(names, untold).await;
    }

    async fn ask(&self, name: &str, named: &Named, asks: &Asks) {
        let _once = named.asking.lock().await;
        if named.record().next().is_some_and(|next| clock::now() < next) {
            // Somebody else has just asked; its targets may be new.
            return self.settle(name, &named.record().addresses(), asks);
        }
        let findings = self.resolver.find(name).await;
        let (addresses, before, after) = {
            let (mut record, now) = (named.record(), clock::now());
            let before = (record.outcome(now), record.failure());
            record.learn(&findings, &self.resolver.settings, now);
            (record.addresses(), before, (record.outcome(now), record.failure()))
        };
        if before != after {
            let failure = after.1.map(|failure| failure.to_string());
            let failure = failure.as_deref();
            tracing::warn!(%name, was = before.0, is = after.0, failure, "what is known of a supplier's name has changed");
        }
        self.settle(name, &addresses, asks);
    }

    /// Every target of this name is at these addresses from now on.
    pub(super) fn settle(&self, name: &str, addresses: &[IpAddr], asks: &Asks) {
        for known in &self.suppliers {
            let of_it = |entry: &&Arc<Entry>| matches!(&entry.host, Host::Name(own) if own == name);
            known.learn(known.entries.iter().filter(of_it), addresses, asks);
        }
    }

    /// Targets that are addresses themselves.
    fn literals(&self, asks: &Asks) {
        for known in &self.suppliers {
            for entry in &known.entries {
                if let Host::Address(address) = entry.host {
                    known.learn(std::iter::once(entry), &[address], asks);
                }
            }
        }
    }

    fn tell_again(&self, asks: &Asks) {
        for entry in self.entries().filter(|entry| !entry.is_told()) {
            let known: Vec<IpAddr> =
                entry.endpoints().iter().map(|known| known.address.ip()).collect();
            entry.learn(&known, asks);
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.suppliers.iter().flat_map(|known| &known.entries)
    }
}

impl Named {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(supplier: &Supplier, earlier: &Book) -> Self {
        let targets = match &supplier.kind {
            SupplierKind::Http(targets) => targets.as_slice(),
            SupplierKind::Echo => &[],
        };
        let entry = |(place, target)| {
            let known = earlier.entries().find(|known| known.is_of(supplier, target));
            Entry::new(supplier, (place, target), known.map(|known| &**known))
        };
        let entries: Vec<_> = targets.iter().enumerate().map(entry).collect();
        let crew = Crew::new(&supplier.profile);
        crew.muster(&entries);
        Self { supplier: supplier.clone(), crew, entries }
    }

    fn learn<'e>(
        &self,
        entries: impl Iterator<Item = &'e Arc<Entry>>,
        addresses: &[IpAddr],
        asks: &Asks,
    ) {
        let changed = entries.filter(|entry| entry.learn(addresses, asks)).count();
        if changed > 0 {
            self.crew.muster(&self.entries);
        }
    }
}

/// Each name once, however many targets have it.
fn names(suppliers: &[Arc<Known>]) -> BTreeSet<String> {
    let entries = suppliers.iter().flat_map(|known| &known.entries);
    let name = |entry: &Arc<Entry>| match &entry.host {
        Host::Name(name) => Some(name.clone()),
        Host::Address(_) => None,
    };
    entries.filter_map(name).collect()
}

async fn sleep_until(until: Option<Instant>) {
    if let Some(until) = until {
        tokio::time::sleep_until(until.into()).await;
    }
}

#[cfg(test)]
mod tests;
