//! Hosts that the gateway itself asks. The guard protects their addresses from bans: XDP drops by
//! source, so that a ban would keep their answers away.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{config::model::Config, ipc::message::FromProxy, proxy::outbox::Asks};

/// One for all threads and configurations of a proxy.
#[derive(Debug)]
pub(crate) struct Hosts {
    asks: Asks,
    known: Mutex<Known>,
}

/// Only hosts of the configuration: the guard takes no others, so there are not many.
#[derive(Debug, Default)]
struct Known {
    configured: BTreeSet<String>,
    told: BTreeMap<String, Vec<IpAddr>>,
}

impl Hosts {
    pub(crate) fn new(config: &Config, asks: Asks) -> Self {
        let hosts = Self { asks, known: Mutex::default() };
        hosts.follow(config);
        hosts
    }

    /// For another configuration.
    pub(crate) fn follow(&self, config: &Config) {
        let mut known = self.known();
        known.configured = config.asked_hosts();
        let Known { configured, told } = &mut *known;
        told.retain(|host, _| configured.contains(host));
    }

    /// Tells the guard what `host` resolved to, where that is news.
    pub(super) fn learn(&self, host: &str, addresses: &[IpAddr]) {
        let mut known = self.known();
        let news = known.told.get(host).is_none_or(|told| told != addresses);
        if !news || !known.configured.contains(host) {
            return;
        }
        let told = FromProxy::Resolved { name: host.to_owned(), addresses: addresses.to_vec() };
        // Where the guard is too far behind it is told with the next question.
        if self.asks.tell(told) {
            known.told.insert(host.to_owned(), addresses.to_vec());
        }
    }

    /// Every host's addresses, for a guard that knows none.
    pub(crate) fn report(&self) -> Vec<FromProxy> {
        let resolved = |(name, addresses): (&String, &Vec<IpAddr>)| FromProxy::Resolved {
            name: name.clone(),
            addresses: addresses.clone(),
        };
        self.known().told.iter().map(resolved).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
