//! Bounds what one source can make us compute: handshakes a second, and handshakes at once. A
//! handshake is the dearest thing that a stranger gets for one packet.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    config::model::{Config, Rate},
    proxy::{
        limits::{Limiter, Verdict},
        pipeline::context::Peer,
        source,
    },
};

/// Shared by all workers.
pub(crate) struct Handshakes {
    rate: Arc<Limiter<IpAddr>>,
    settings: (Rate, u32),
    at_once: u32,
    /// As many entries as handshakes under way, at most.
    under_way: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A handshake under way; over when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    source: Option<IpAddr>,
    under_way: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Rate,
    AtOnce,
    /// No room to count another source.
    Sources,
}

impl Handshakes {
    pub(crate) fn from_config(config: &Config) -> Self {
        let settings = (config.tls.handshakes, config.proxy.limiter_keys);
        Self {
            rate: Arc::new(Limiter::new(settings.0, settings.1)),
            settings,
            at_once: config.tls.handshakes_at_once,
            under_way: Arc::default(),
        }
    }

    /// For another configuration: what was counted by the same rate counts on, and so do the
    /// handshakes under way.
    pub(crate) fn succeed(&self, config: &Config) -> Self {
        let mut next = Self::from_config(config);
        next.under_way = Arc::clone(&self.under_way);
        if next.settings == self.settings {
            next.rate = Arc::clone(&self.rate);
        }
        next
    }

    /// A turn for `peer`. A trusted proxy speaks for many clients and has no bound here.
    pub(crate) fn begin(&self, peer: &Peer) -> Result<Turn, Denied> {
        let mut turn = Turn { source: None, under_way: Arc::clone(&self.under_way) };
        if peer.behind_proxy {
            return Ok(turn);
        }
        let source = source::counted(peer.source);
        match self.rate.check(&source) {
            Verdict::Within { .. } => {}
            Verdict::Over { .. } => return Err(Denied::Rate),
            Verdict::Full => return Err(Denied::Sources),
        }
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(source).or_insert(0);
        if *count >= self.at_once {
            return Err(Denied::AtOnce);
        }
        *count += 1;
        turn.source = Some(source);
        drop(under_way);
        Ok(turn)
    }

    /// Sources that the rate is counted of.
    pub(crate) fn sources(&self) -> usize {
        self.rate.keys()
    }

    /// Forgets sources that are back at their full burst.
    pub(crate) fn sweep(&self) {
        self.rate.sweep();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&source);
            }
        }
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::testing;

    fn handshakes(burst: u32, at_once: u32) -> Handshakes {
        let mut config = testing::config();
        config.tls.handshakes = Rate { count: 1, per: Duration::from_hours(1), burst };
        config.tls.handshakes_at_once = at_once;
        Handshakes::from_config(&config)
    }

    fn peer(source: &str) -> Peer {
        Peer { source: source.parse().unwrap(), ..testing::peer() }
    }

    #[test]
    fn bounds_handshakes_at_once_and_forgets_those_that_are_over() {
        let handshakes = handshakes(100, 2);
        let one = peer("2001:db8::1");
        let first = handshakes.begin(&one).unwrap();
        let _second = handshakes.begin(&peer("2001:db8::2")).unwrap();
        assert_eq!(handshakes.begin(&one).unwrap_err(), Denied::AtOnce);
        drop(first);
        drop(handshakes.begin(&one).unwrap());
        drop(handshakes.begin(&peer("192.0.2.1")).unwrap());
        assert_eq!(handshakes.under_way.lock().unwrap().len(), 1);
    }

    #[test]
    fn bounds_the_rate_of_one_source_and_of_no_trusted_proxy() {
        let handshakes = handshakes(3, 100);
        let one = peer("192.0.2.1");
        for _ in 0..3 {
            drop(handshakes.begin(&one).unwrap());
        }
        assert_eq!(handshakes.begin(&one).unwrap_err(), Denied::Rate);
        drop(handshakes.begin(&peer("192.0.2.2")).unwrap());
        let proxy = Peer { behind_proxy: true, ..peer("192.0.2.1") };
        for _ in 0..10 {
            drop(handshakes.begin(&proxy).unwrap());
        }
    }
}
