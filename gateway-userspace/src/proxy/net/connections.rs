//! Bounds open connections, in all and per source. One lock taken twice a connection, never per
//! request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::{
    config::model,
    proxy::{pipeline::context::Peer, source},
    telemetry::Metrics,
};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Arc<Table>,
    metrics: Arc<Metrics>,
    most: u32,
    most_of_source: u32,
}

#[derive(Debug, Default)]
struct Table {
    open: AtomicU32,
    /// As many entries as open connections, at most.
    sources: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    source: Option<IpAddr>,
    /// Set once it is shown as open.
    metrics: Option<Arc<Metrics>>,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    Source,
}

impl Connections {
    pub(crate) fn from_config(proxy: &model::Proxy, metrics: Arc<Metrics>) -> Self {
        Self {
            table: Arc::default(),
            metrics,
            most: proxy.connections,
            most_of_source: proxy.connections_per_source,
        }
    }

    /// For another configuration: the connections that are open count on.
    pub(crate) fn succeed(&self, proxy: &model::Proxy, metrics: Arc<Metrics>) -> Self {
        Self { table: Arc::clone(&self.table), ..Self::from_config(proxy, metrics) }
    }

    pub(crate) fn open(&self) -> u32 {
        self.table.open.load(Relaxed)
    }

    /// A place for a connection of `peer`. A trusted proxy holds many clients' connections and
    /// has only the bound of all.
    pub(crate) fn admit(&self, peer: &Peer) -> Result<Place, Full> {
        if self.table.open.fetch_add(1, Relaxed) >= self.most {
            self.table.open.fetch_sub(1, Relaxed);
            return Err(Full::All);
        }
        // From here on, dropping the place gives back what was counted.
        let mut place = Place { table: Arc::clone(&self.table), source: None, metrics: None };
        if !peer.behind_proxy {
            place.source = Some(self.admit_source(peer.source)?);
        }
        self.metrics.connection_opened(peer.listener);
        place.metrics = Some(Arc::clone(&self.metrics));
        Ok(place)
    }

    /// Counts the connection for the client that its proxy names. False where that one has enough.
    pub(crate) fn claim(&self, place: &mut Place, peer: &Peer) -> bool {
        if place.source.is_none() {
            place.source = self.admit_source(peer.source).ok();
        }
        place.source.is_some()
    }

    fn admit_source(&self, source: IpAddr) -> Result<IpAddr, Full> {
        let key = source::counted(source);
        let mut sources = self.table.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sources.entry(key).or_insert(0);
        if *open >= self.most_of_source {
            return Err(Full::Source);
        }
        *open += 1;
        Ok(key)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open.fetch_sub(1, Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.connection_closed();
        }
        let Some(source) = self.source else { return };
        let mut sources = self.table.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sources.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing;

    fn connections(most: u32, most_of_source: u32) -> Connections {
        let metrics = Metrics::new(&testing::config());
        Connections { table: Arc::default(), metrics, most, most_of_source }
    }

    fn peer(source: &str) -> Peer {
        Peer { source: source.parse().unwrap(), ..testing::peer() }
    }

    #[test]
    fn bounds_one_source_by_its_network_and_all_together() {
        let connections = connections(3, 2);
        let a = peer("2001:db8::1");
        let first = connections.admit(&a).unwrap();
        let _second = connections.admit(&peer("2001:db8::2")).unwrap();
        assert_eq!(connections.admit(&a).unwrap_err(), Full::Source);
        let b = peer("192.0.2.1");
        let _third = connections.admit(&b).unwrap();
        assert_eq!(connections.admit(&b).unwrap_err(), Full::All);
        drop(first);
        let _again = connections.admit(&a).unwrap();
        assert_eq!((connections.open(), connections.metrics.connections()), (3, 3));
    }

    #[test]
    fn forgets_a_source_with_its_last_connection_and_trusts_proxies() {
        let connections = connections(10, 1);
        drop(connections.admit(&peer("192.0.2.1")).unwrap());
        assert!(connections.table.sources.lock().unwrap().is_empty());
        assert_eq!(connections.metrics.connections(), 0);
        let proxy = Peer { behind_proxy: true, ..peer("192.0.2.1") };
        let held: Vec<_> = (0..5).map(|_| connections.admit(&proxy).unwrap()).collect();
        assert_eq!(held.len(), 5);
    }
}
