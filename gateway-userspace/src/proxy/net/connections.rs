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

use crate::{config::model, proxy::source};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Arc<Table>,
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
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    Source,
}

impl Connections {
    pub(crate) fn from_config(proxy: &model::Proxy) -> Self {
        Self {
            table: Arc::default(),
            most: proxy.connections,
            most_of_source: proxy.connections_per_source,
        }
    }

    pub(crate) fn open(&self) -> u32 {
        self.table.open.load(Relaxed)
    }

    /// A place for a connection from `source`. A trusted proxy holds many clients' connections and
    /// has only the bound of all.
    pub(crate) fn admit(&self, source: IpAddr, trusted: bool) -> Result<Place, Full> {
        if self.table.open.fetch_add(1, Relaxed) >= self.most {
            self.table.open.fetch_sub(1, Relaxed);
            return Err(Full::All);
        }
        // From here on, dropping the place gives back what was counted.
        let mut place = Place { table: Arc::clone(&self.table), source: None };
        if trusted {
            return Ok(place);
        }
        let key = source::counted(source);
        let mut sources = self.table.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sources.entry(key).or_insert(0);
        if *open >= self.most_of_source {
            return Err(Full::Source);
        }
        *open += 1;
        place.source = Some(key);
        drop(sources);
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open.fetch_sub(1, Relaxed);
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

    fn connections(most: u32, most_of_source: u32) -> Connections {
        Connections { table: Arc::default(), most, most_of_source }
    }

    #[test]
    fn bounds_one_source_by_its_network_and_all_together() {
        let connections = connections(3, 2);
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let twin: IpAddr = "2001:db8::2".parse().unwrap();
        let b: IpAddr = "192.0.2.1".parse().unwrap();
        let first = connections.admit(a, false).unwrap();
        let _second = connections.admit(twin, false).unwrap();
        assert_eq!(connections.admit(a, false).unwrap_err(), Full::Source);
        let _third = connections.admit(b, false).unwrap();
        assert_eq!(connections.admit(b, false).unwrap_err(), Full::All);
        drop(first);
        assert!(connections.admit(a, false).is_ok());
        assert_eq!(connections.open(), 2);
    }

    #[test]
    fn forgets_a_source_with_its_last_connection_and_trusts_proxies() {
        let connections = connections(10, 1);
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        drop(connections.admit(a, false).unwrap());
        assert!(connections.table.sources.lock().unwrap().is_empty());
        let held: Vec<_> = (0..5).map(|_| connections.admit(a, true).unwrap()).collect();
        assert_eq!(held.len(), 5);
    }
}
