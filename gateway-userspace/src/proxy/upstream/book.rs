//! What all workers know of targets: where they live, whether they can be reached, what happened
//! there. One task asks the system's resolver, publishes the answers and tells the guard, which
//! protects them from bans.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    address::permitted,
    counts::Counts,
    crew::Crew,
    member::{Member, Standing},
};
use crate::{
    clock,
    config::model::{Host, Supplier, SupplierKind, Target},
    ipc::message::FromProxy,
    proxy::outbox::Asks,
    telemetry::TARGET_STATES,
};

/// Names are asked for again this often: getaddrinfo does not tell a time to live.
const EVERY: Duration = Duration::from_secs(30);

/// After a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses of one name, at most.
const MOST: usize = 16;

/// A target that could not be connected to is asked last for this long.
const REST: Duration = Duration::from_secs(2);

/// Every target of every supplier, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Book {
    suppliers: Vec<Arc<Known>>,
}

/// One supplier.
#[derive(Debug)]
pub(super) struct Known {
    supplier: Supplier,
    pub(super) crew: Arc<Crew>,
    pub(super) entries: Vec<Arc<Entry>>,
}

/// One target.
#[derive(Debug)]
pub(super) struct Entry {
    supplier: String,
    host: Host,
    port: u16,
    local: bool,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Whether the guard was told of `addresses`.
    told: AtomicBool,
    /// On the monotonic clock, in nanoseconds; 0 for a target that can be reached.
    rests_until: AtomicU64,
    pub(super) counts: Arc<Counts>,
    crew: Arc<Crew>,
    /// Its place in the crew.
    place: usize,
}

impl Book {
    pub(crate) fn new(suppliers: &[Supplier]) -> Self {
        Self { suppliers: Vec::new() }.succeed(suppliers)
    }

    /// For another configuration: a supplier that stays keeps its standing, and one that does not
    /// what is known of the targets that stay.
    pub(crate) fn succeed(&self, suppliers: &[Supplier]) -> Self {
        let known = |supplier: &Supplier| {
            let known = self.suppliers.iter().find(|known| known.supplier == *supplier);
            known.map_or_else(|| Arc::new(Known::new(supplier, self)), Arc::clone)
        };
        Self { suppliers: suppliers.iter().map(known).collect() }
    }

    /// The suppliers with their targets.
    pub(super) fn suppliers(&self) -> impl Iterator<Item = &Known> {
        self.suppliers.iter().map(|known| &**known)
    }

    /// Every target's addresses, for a guard that knows none.
    pub(crate) fn report(&self) -> Vec<FromProxy> {
        self.entries().map(|entry| entry.resolved(&entry.addresses(), &[])).collect()
    }

    /// Every target with its addresses and standing, for `gateway status`.
    pub(crate) fn status(&self) -> Value {
        let now = clock::monotonic_ns();
        self.entries().map(|entry| entry.status(now)).collect()
    }

    /// For each supplier, how many targets are in each of [`TARGET_STATES`].
    pub(crate) fn states(&self) -> impl Iterator<Item = [u64; TARGET_STATES.len()]> {
        let now = clock::monotonic_ns();
        self.suppliers.iter().map(move |supplier| {
            TARGET_STATES.map(|state| {
                let in_it = supplier.entries.iter().filter(|entry| entry.state(now) == state);
                in_it.count() as u64
            })
        })
    }

    /// Asks once for every name; false where one has no address.
    pub(crate) async fn prepare(&self, asks: &Asks) -> bool {
        let all = join_all(self.entries().map(|entry| entry.refresh(asks))).await;
        all.into_iter().all(|found| found)
    }

    /// Asks again now and then. Ends only with its runtime.
    pub(crate) async fn keep(&self, asks: &Asks, prepared: bool) {
        let mut complete = prepared;
        loop {
            tokio::time::sleep(if complete { EVERY } else { RETRY }).await;
            complete = self.prepare(asks).await;
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.suppliers.iter().flat_map(|supplier| &supplier.entries)
    }
}

impl Known {
    fn new(supplier: &Supplier, earlier: &Book) -> Self {
        let targets = match &supplier.kind {
            SupplierKind::Http(targets) => targets.as_slice(),
            SupplierKind::Echo => &[],
        };
        let crew = Crew::new(&supplier.profile, targets.iter().map(|target| target.weight));
        let entry = |(place, target)| {
            let known = earlier.entries().find(|known| known.is_of(supplier, target));
            let known = known.map(|known| &**known);
            Entry::new(supplier, target, (&crew, place), known)
        };
        let entries = targets.iter().enumerate().map(entry).collect();
        Self { supplier: supplier.clone(), crew, entries }
    }
}

impl Entry {
    /// With what an earlier one knows.
    fn new(
        supplier: &Supplier,
        target: &Target,
        (crew, place): (&Arc<Crew>, usize),
        known: Option<&Self>,
    ) -> Arc<Self> {
        let rests_until = known.map_or(0, |known| known.rests_until.load(Relaxed));
        Arc::new(Self {
            supplier: supplier.name.clone(),
            host: target.host.clone(),
            port: target.port,
            local: supplier.local,
            addresses: ArcSwap::new(known.map(Self::addresses).unwrap_or_default()),
            told: AtomicBool::new(known.is_some_and(|known| known.told.load(Relaxed))),
            rests_until: AtomicU64::new(rests_until),
            counts: known.map(|known| Arc::clone(&known.counts)).unwrap_or_default(),
            crew: Arc::clone(crew),
            place,
        })
    }

    fn state(&self, now: u64) -> &'static str {
        let [available, ejected, unhealthy, resting, unresolved] = TARGET_STATES;
        match self.crew.members.get(self.place).map(|member| member.standing(now)) {
            Some(Standing::Ejected { .. }) => ejected,
            Some(Standing::Unhealthy) => unhealthy,
            Some(Standing::Available) | None if self.addresses().is_empty() => unresolved,
            Some(Standing::Available) | None if self.rests() => resting,
            Some(Standing::Available) | None => available,
        }
    }

    fn status(&self, now: u64) -> Value {
        let member = self.crew.members.get(self.place);
        let why = match member.map(|member| member.standing(now)) {
            Some(Standing::Ejected { left }) => {
                format!("its requests failed; back in {} s", left.as_secs() + 1)
            }
            Some(Standing::Unhealthy) => "it does not answer health checks as it should".to_owned(),
            Some(Standing::Available) | None => String::new(),
        };
        json!({
            "name": self.supplier,
            "target": format!("{}:{}", self.name(), self.port),
            "addresses": self.addresses().as_ref(),
            "state": self.state(now),
            "why": why,
            "resting": self.rests(),
            "in_flight": member.map(Member::in_flight),
            "latency_us": member.map(Member::latency_us),
            "ejections": member.map(Member::ejections),
            "breaker_open": self.crew.breaker_is_open(),
            "waiting": self.crew.waiting(),
            "turned_away": self.crew.turned_away(),
            "retries_refused": self.crew.retries_refused.load(Relaxed),
            "counts": self.counts.status(),
        })
    }

    fn is_of(&self, supplier: &Supplier, target: &Target) -> bool {
        self.supplier == supplier.name
            && self.local == supplier.local
            && (&self.host, self.port) == (&target.host, target.port)
    }

    /// The host as configured.
    pub(super) fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// The addresses to connect to; none while the name does not resolve.
    pub(super) fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Whether connecting failed a moment ago.
    pub(super) fn rests(&self) -> bool {
        let until = self.rests_until.load(Relaxed);
        until != 0 && clock::monotonic_ns() < until
    }

    /// Notes what came of connecting.
    pub(super) fn reached(&self, reached: bool) {
        let pause = u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX);
        let until = if reached { 0 } else { clock::monotonic_ns().saturating_add(pause) };
        self.rests_until.store(until, Relaxed);
    }

    /// False where no address was found, or the guard could not be told.
    async fn refresh(&self, asks: &Asks) -> bool {
        match self.look_up().await {
            Ok(found) => self.learn(found, asks),
            Err(error) => {
                // While the resolver is away the last good answer stands.
                tracing::warn!(supplier = %self.supplier, %error, "a supplier does not resolve");
                false
            }
        }
    }

    fn learn(&self, found: Vec<SocketAddr>, asks: &Asks) -> bool {
        let lawful = self.lawful(found);
        if lawful.is_empty() {
            // The name moved to where no supplier may be: what was known is not true any more.
            self.addresses.store(Arc::default());
            tracing::warn!(supplier = %self.supplier, "a supplier has no permitted address");
            return false;
        }
        let before = self.addresses();
        if *before != lawful || !self.told.load(Relaxed) {
            // The guard first: an address must be protected before it is spoken to. The set before
            // stays in, as connections to it are still open.
            self.told.store(asks.tell(self.resolved(&lawful, &before)), Relaxed);
            self.addresses.store(Arc::new(lawful));
        }
        self.told.load(Relaxed)
    }

    async fn look_up(&self) -> std::io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => {
                let lookup = tokio::net::lookup_host((name.as_str(), self.port));
                tokio::time::timeout(PATIENCE, lookup)
                    .await
                    .map_err(|_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut))?
                    .map(Iterator::collect)
            }
        }
    }

    fn lawful(&self, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut lawful: Vec<SocketAddr> = found
            .into_iter()
            .map(|address| SocketAddr::new(address.ip().to_canonical(), self.port))
            .filter(|address| permitted(address.ip(), self.local))
            .collect();
        lawful.sort_unstable();
        lawful.dedup();
        lawful.truncate(MOST);
        lawful
    }

    fn resolved(&self, addresses: &[SocketAddr], also: &[SocketAddr]) -> FromProxy {
        let mut addresses: Vec<IpAddr> = addresses.iter().chain(also).map(SocketAddr::ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        FromProxy::Resolved { name: self.name(), addresses }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proxy::{testing, upstream::tests::target};

    /// An entry that stands at `addresses`, whatever its name says.
    pub(in super::super) fn entry(addresses: &[SocketAddr]) -> Arc<Entry> {
        let entry = named("several.example", true);
        entry.addresses.store(Arc::new(addresses.to_vec()));
        entry
    }

    fn named(name: &str, local: bool) -> Arc<Entry> {
        let address = "192.0.2.1:80".parse().unwrap();
        let mut target = target(address, crate::config::model::Protocol::Auto);
        target.host = Host::Name(name.to_owned());
        let mut supplier = testing::supplier("ledger", SupplierKind::Http(vec![target.clone()]));
        supplier.local = local;
        let crew = Crew::new(&supplier.profile, [1]);
        Entry::new(&supplier, &target, (&crew, 0), None)
    }

    fn told(asks: &mut tokio::sync::mpsc::Receiver<FromProxy>) -> Option<Vec<IpAddr>> {
        let told = asks.try_recv().ok()?;
        let FromProxy::Resolved { name, addresses } = told else { panic!("{told:?}") };
        assert_eq!(name, "several.example");
        Some(addresses)
    }

    #[test]
    fn the_guard_is_told_of_every_change_and_of_what_is_still_spoken_to() {
        let (asks, mut waiting) = Asks::new();
        let (one, two): (SocketAddr, SocketAddr) =
            ("192.0.2.1:80".parse().unwrap(), "[::ffff:192.0.2.2]:80".parse().unwrap());
        let canonical: IpAddr = "192.0.2.2".parse().unwrap();
        let entry = named("several.example", false);
        assert!(entry.learn(vec![one, one], &asks));
        assert_eq!(told(&mut waiting), Some(vec![one.ip()]));
        assert!(entry.learn(vec![one], &asks));
        assert_eq!(told(&mut waiting), None, "nothing changed");
        assert!(entry.learn(vec![two], &asks));
        assert_eq!(told(&mut waiting), Some(vec![one.ip(), canonical]));
        assert_eq!(*entry.addresses(), [SocketAddr::new(canonical, 80)]);
    }

    #[test]
    fn what_a_full_queue_turned_away_is_told_again() {
        let (asks, mut waiting) = Asks::new();
        let filler = || FromProxy::Resolved { name: "filler".to_owned(), addresses: Vec::new() };
        while asks.tell(filler()) {}
        let entry = named("several.example", false);
        let here = vec!["192.0.2.1:80".parse().unwrap()];
        assert!(!entry.learn(here.clone(), &asks));
        assert_eq!(*entry.addresses(), here, "without a guard requests are served all the same");
        while waiting.try_recv().is_ok() {}
        assert!(entry.learn(here, &asks));
        assert!(told(&mut waiting).is_some());
    }

    #[test]
    fn a_name_that_moves_into_this_machine_is_left_without_an_address() {
        let (asks, mut waiting) = Asks::new();
        let entry = named("several.example", false);
        entry.learn(vec!["192.0.2.1:80".parse().unwrap()], &asks);
        assert!(told(&mut waiting).is_some());
        for inside in ["127.0.0.1:80", "[64:ff9b::7f00:1]:80", "[::127.0.0.1]:80"] {
            assert!(!entry.learn(vec![inside.parse().unwrap()], &asks));
            assert!(entry.addresses().is_empty(), "{inside}");
        }
        assert_eq!(told(&mut waiting), None, "an address nobody may use was reported");
    }
}
