//! Where suppliers live. One resolver for all workers asks the system's, publishes the answers and
//! tells the guard, which protects them from bans. Loopback and link-local answers are refused
//! unless the supplier is `local`: a name must not lead requests into this machine (CWE-918).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    config::model::{Config, Host, Supplier, SupplierKind, Target},
    ipc::message::FromProxy,
    proxy::outbox::Asks,
};

/// Names are asked for again this often: getaddrinfo does not tell a time to live.
const EVERY: Duration = Duration::from_secs(30);

/// After a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses of one name, at most.
const MOST: usize = 16;

/// The addresses of every target, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Book {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    supplier: String,
    host: Host,
    port: u16,
    local: bool,
    addresses: ArcSwap<Vec<SocketAddr>>,
}

impl Book {
    pub(crate) fn new(config: &Config) -> Self {
        let of = |supplier: &Supplier| match &supplier.kind {
            SupplierKind::Http(targets) => {
                targets.iter().map(|target| Entry::new(supplier, target)).collect()
            }
            SupplierKind::Echo => Vec::new(),
        };
        Self { entries: config.suppliers.iter().flat_map(of).collect() }
    }

    /// The known addresses of a target; empty while its name does not resolve.
    pub(crate) fn addresses(&self, target: usize) -> Arc<Vec<SocketAddr>> {
        self.entries.get(target).map(|entry| entry.addresses.load_full()).unwrap_or_default()
    }

    /// Every target's addresses, for a guard that knows none.
    pub(crate) fn report(&self) -> Vec<FromProxy> {
        self.entries.iter().map(|entry| entry.resolved(&entry.addresses.load(), &[])).collect()
    }

    /// Asks for every name, now and then again. Ends only with its runtime.
    pub(crate) async fn keep(&self, asks: &Asks) {
        loop {
            let mut wait = EVERY;
            for entry in &self.entries {
                if !entry.refresh(asks).await {
                    wait = RETRY;
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks once for every name, so that the first request finds addresses.
    pub(crate) async fn prepare(&self, asks: &Asks) {
        let all =
            futures_util::future::join_all(self.entries.iter().map(|entry| entry.refresh(asks)));
        all.await;
    }
}

impl Entry {
    fn new(supplier: &Supplier, target: &Target) -> Self {
        Self {
            supplier: supplier.name.clone(),
            host: target.host.clone(),
            port: target.port,
            local: supplier.local,
            addresses: ArcSwap::default(),
        }
    }

    fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// False where no address was found; the last good ones stay.
    async fn refresh(&self, asks: &Asks) -> bool {
        let found = match self.look_up().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(supplier = %self.supplier, %error, "a supplier does not resolve");
                return false;
            }
        };
        let mut lawful: Vec<SocketAddr> =
            found.into_iter().filter(|address| permitted(address.ip(), self.local)).collect();
        lawful.sort_unstable();
        lawful.dedup();
        lawful.truncate(MOST);
        if lawful.is_empty() {
            tracing::warn!(supplier = %self.supplier, "a supplier has no permitted address");
            return false;
        }
        let before = self.addresses.load_full();
        if *before != lawful {
            // The guard first: an address must be protected before it is spoken to. The set before
            // stays in, as connections to it are still open.
            asks.tell(self.resolved(&lawful, &before));
            self.addresses.store(Arc::new(lawful));
        }
        true
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

    fn resolved(&self, addresses: &[SocketAddr], also: &[SocketAddr]) -> FromProxy {
        let mut addresses: Vec<IpAddr> =
            addresses.iter().chain(also).map(|address| address.ip().to_canonical()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        FromProxy::Resolved { name: self.name(), addresses }
    }
}

/// Whether a supplier may stand at `address`.
fn permitted(address: IpAddr, local: bool) -> bool {
    let never = |address: IpAddr| address.is_unspecified() || address.is_multicast();
    let inner = match address.to_canonical() {
        IpAddr::V4(v4) => {
            // 0.0.0.0/8 reaches this machine on Linux; 169.254.0.0/16 holds cloud metadata.
            let [first, ..] = v4.octets();
            v4.is_loopback() || v4.is_link_local() || v4.is_broadcast() || first == 0
        }
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.is_unicast_link_local(),
    };
    !never(address.to_canonical()) && (local || !inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_suppliers_may_stand_inside_this_machine() {
        for inner in [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "0.1.2.3",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!permitted(inner.parse().unwrap(), false), "{inner}");
            assert!(permitted(inner.parse().unwrap(), true), "{inner}");
        }
        for never in ["0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
            assert!(!permitted(never.parse().unwrap(), true), "{never}");
        }
        for outer in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            assert!(permitted(outer.parse().unwrap(), false), "{outer}");
        }
    }
}
