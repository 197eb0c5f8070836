//! One target of a supplier: the name it has, the addresses that name leads to, and what is left
//! of those it led to before.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::{address::permitted, counts::Counts, crew::Crew, endpoint::Endpoint, member::Member};
use crate::{
    clock,
    config::model::{Host, Supplier, Target},
    ipc::message::FromProxy,
    proxy::outbox::Asks,
    telemetry::TARGET_STATES,
};

/// Addresses of one name, at most.
const MOST: usize = 16;
/// Addresses that a name led to before and requests are still under way at, at most.
const LEAVING: usize = 64;

/// One target.
#[derive(Debug)]
pub(super) struct Entry {
    supplier: String,
    pub(super) host: Host,
    port: u16,
    local: bool,
    weight: u32,
    /// Its place in the supplier.
    place: usize,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Connections to them may be open.
    leaving: Mutex<Vec<Weak<Endpoint>>>,
    /// Whether the guard was told of all these.
    told: AtomicBool,
    pub(super) counts: Arc<Counts>,
}

impl Entry {
    /// With what an earlier one knows.
    pub(super) fn new(
        supplier: &Supplier,
        (place, target): (usize, &Target),
        known: Option<&Self>,
    ) -> Arc<Self> {
        let counts = known.map(|known| Arc::clone(&known.counts)).unwrap_or_default();
        let again = |old: &Arc<Endpoint>| {
            let member = Member::new(target.weight);
            Endpoint::new((old.address, place), member, &counts, Some(&**old))
        };
        let before = known.map(|known| known.endpoints.load_full()).unwrap_or_default();
        let leaving = before.iter().map(Arc::downgrade).collect();
        Arc::new(Self {
            supplier: supplier.name.clone(),
            host: target.host.clone(),
            port: target.port,
            local: supplier.local,
            weight: target.weight,
            place,
            endpoints: ArcSwap::from_pointee(before.iter().map(again).collect()),
            leaving: Mutex::new(leaving),
            told: AtomicBool::new(known.is_some_and(Self::is_told)),
            counts,
        })
    }

    pub(super) fn is_of(&self, supplier: &Supplier, target: &Target) -> bool {
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

    /// What can be connected to; none while the name does not resolve.
    pub(super) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.load(Relaxed)
    }

    /// What the name leads to from now on; true where that changed. The guard is told first: an
    /// address must be protected before it is spoken to.
    pub(super) fn learn(&self, found: &[IpAddr], asks: &Asks) -> bool {
        let lawful = self.lawful(found);
        if lawful.is_empty() && !found.is_empty() {
            let host = self.name();
            tracing::warn!(supplier = %self.supplier, %host, ?found, "a supplier has no permitted address");
        }
        let before = self.endpoints();
        let changed = !before.iter().map(|known| known.address).eq(lawful.iter().copied());
        if changed || !self.is_told() {
            self.tell(&lawful, asks);
        }
        if changed {
            let next = self.succeed(&before, &lawful);
            self.endpoints.store(Arc::new(next));
        }
        changed
    }

    fn tell(&self, addresses: &[SocketAddr], asks: &Asks) {
        // One that was told of and does not resolve now is told of when it does.
        let known = self.endpoints();
        if addresses.is_empty() && known.is_empty() {
            self.told.store(true, Relaxed);
            return;
        }
        let known = known.iter().map(|known| known.address);
        let message = self.resolved(addresses.iter().copied().chain(known).collect());
        self.told.store(asks.tell(message), Relaxed);
    }

    /// Those that stay stay as they are. New ones beside old ones begin slowly.
    fn succeed(&self, before: &[Arc<Endpoint>], lawful: &[SocketAddr]) -> Vec<Arc<Endpoint>> {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|known| known.strong_count() > 0);
        let still: Vec<_> = leaving.iter().filter_map(Weak::upgrade).collect();
        let next: Vec<_> = lawful
            .iter()
            .map(|address| {
                let known = before.iter().chain(&still).find(|known| {
                    // A reload left those of another place behind.
                    known.address == *address && known.target == self.place
                });
                known.map_or_else(|| self.join(*address, before.is_empty()), Arc::clone)
            })
            .collect();
        for known in before.iter().filter(|known| !lawful.contains(&known.address)) {
            known.leave(true);
            leaving.push(Arc::downgrade(known));
        }
        for known in &next {
            known.leave(false);
        }
        let over = leaving.len().saturating_sub(LEAVING);
        leaving.drain(..over);
        next
    }

    fn join(&self, address: SocketAddr, first: bool) -> Arc<Endpoint> {
        let member = if first {
            Member::new(self.weight)
        } else {
            Member::joining(self.weight, clock::monotonic_ns())
        };
        Endpoint::new((address, self.place), member, &self.counts, None)
    }

    fn lawful(&self, found: &[IpAddr]) -> Vec<SocketAddr> {
        let mut lawful: Vec<SocketAddr> = found
            .iter()
            .map(|address| SocketAddr::new(address.to_canonical(), self.port))
            .filter(|address| permitted(address.ip(), self.local))
            .collect();
        lawful.sort_unstable();
        lawful.dedup();
        lawful.truncate(MOST);
        lawful
    }

    /// Its addresses, and those with requests under way still, for a guard that knows none.
    pub(super) fn report(&self) -> FromProxy {
        self.resolved(self.endpoints().iter().map(|known| known.address).collect())
    }

    fn resolved(&self, addresses: Vec<SocketAddr>) -> FromProxy {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let still = leaving.iter().filter_map(Weak::upgrade).map(|known| known.address);
        let mut addresses: Vec<IpAddr> =
            addresses.into_iter().chain(still).map(|address| address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        FromProxy::Resolved { name: self.name(), addresses }
    }

    /// The state of each address, or that there is none.
    pub(super) fn states(&self, now: u64) -> Vec<&'static str> {
        let [.., unresolved] = TARGET_STATES;
        let states: Vec<_> = self.endpoints().iter().map(|known| known.state(now)).collect();
        if states.is_empty() { vec![unresolved] } else { states }
    }

    /// `dns` is what is known of its name.
    pub(super) fn status(&self, crew: &Crew, now: u64, dns: Option<&Value>) -> Value {
        let endpoints = self.endpoints();
        // The target is as well as the best of its addresses.
        let places = |state: &&str| TARGET_STATES.iter().position(|known| known == state);
        let state = self.states(now).into_iter().min_by_key(places);
        let best = endpoints.iter().find(|known| Some(known.state(now)) == state);
        let members = || endpoints.iter().map(|known| &known.member);
        json!({
            "name": self.supplier,
            "target": format!("{}:{}", self.name(), self.port),
            "addresses": endpoints.iter().map(|known| known.address).collect::<Vec<_>>(),
            "endpoints": endpoints.iter().map(|known| known.status(now)).collect::<Vec<_>>(),
            "dns": dns,
            "state": state,
            "why": best.map(|known| known.why(now)),
            "resting": endpoints.iter().any(|known| known.rests()),
            "in_flight": members().map(Member::in_flight).sum::<u64>(),
            "latency_us": members().map(Member::latency_us).max(),
            "ejections": members().map(Member::ejections).sum::<u32>(),
            "breaker_open": crew.breaker_is_open(),
            "waiting": crew.waiting(),
            "turned_away": crew.turned_away(),
            "retries_refused": crew.retries_refused.load(Relaxed),
            "counts": self.counts.status(),
        })
    }
}
