//! From a target's host to addresses it may have. A name is asked again after [`FRESH`], only when
//! a connection is needed; while the resolver is away the last good answer stands. Each change is
//! reported, so that the guard never bans an address we send to.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::lookup_host, sync::mpsc, time::timeout};

use super::{address::is_remote, error::ResolveError, flight::Flight};
use crate::{clock, config::model::Host};

/// How long an answer is used. The system's resolver tells no TTL.
const FRESH: Duration = Duration::from_secs(30);
/// How long a failure is, so that a resolver that is down is not asked by every request.
const FAILED: Duration = Duration::from_secs(1);
/// Addresses kept of one name.
const MAX_ADDRESSES: usize = 16;

/// Where changed addresses are told.
pub(super) struct Reports {
    queue: mpsc::Sender<(String, Vec<IpAddr>)>,
    dropped: Cell<u64>,
}

impl Reports {
    pub(super) fn new(queue: mpsc::Sender<(String, Vec<IpAddr>)>) -> Rc<Self> {
        Rc::new(Self { queue, dropped: Cell::new(0) })
    }

    /// How many found the queue full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    fn send(&self, name: String, addresses: Vec<IpAddr>) -> bool {
        let sent = self.queue.try_send((name, addresses)).is_ok();
        if !sent {
            self.dropped.set(self.dropped.get().wrapping_add(1));
        }
        sent
    }
}

/// The addresses of one host.
pub(super) struct Resolver {
    host: Host,
    port: u16,
    local: bool,
    /// The longest a lookup may take.
    patience: Duration,
    known: RefCell<Rc<[IpAddr]>>,
    until: Cell<Option<Instant>>,
    flight: Rc<Flight<ResolveError>>,
    failure: RefCell<Option<Arc<ResolveError>>>,
    reports: Rc<Reports>,
    /// Sorted, as last told.
    reported: RefCell<Vec<IpAddr>>,
}

impl Resolver {
    pub(super) fn new(
        host: Host,
        port: u16,
        local: bool,
        patience: Duration,
        reports: Rc<Reports>,
    ) -> Rc<Self> {
        let known: Rc<[IpAddr]> = match &host {
            Host::Address(address) => Rc::from([address.to_canonical()]),
            Host::Name(_) => Rc::from([]),
        };
        let resolver = Rc::new(Self {
            host,
            port,
            local,
            patience,
            known: RefCell::new(known),
            until: Cell::new(None),
            flight: Flight::new(),
            failure: RefCell::new(None),
            reports,
            reported: RefCell::default(),
        });
        resolver.report();
        resolver
    }

    /// The host as configured.
    pub(super) fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// The addresses last known.
    pub(super) fn known(&self) -> Rc<[IpAddr]> {
        Rc::clone(&self.known.borrow())
    }

    /// Stands for an answer of the system's resolver.
    #[cfg(test)]
    pub(super) fn learn(&self, addresses: &[IpAddr]) {
        self.known.replace(addresses.into());
        self.until.set(Some(clock::now() + FRESH));
    }

    /// The addresses to connect to, at least one.
    pub(super) async fn addresses(self: &Rc<Self>) -> Result<Rc<[IpAddr]>, Arc<ResolveError>> {
        if let Host::Address(address) = &self.host {
            self.permit(*address)?;
            self.report();
            return Ok(self.known());
        }
        if self.until.get().is_none_or(|until| clock::now() >= until) {
            self.refresh().await;
        }
        let known = self.known();
        if !known.is_empty() {
            return Ok(known);
        }
        let failure = self.failure.borrow().clone();
        Err(failure.unwrap_or_else(|| Arc::new(ResolveError::Empty)))
    }

    /// Asks; an answer replaces what was known, a failure leaves it. A name that moved to a
    /// refused address is no failure of the resolver: what was known is forgotten.
    async fn refresh(self: &Rc<Self>) {
        let outcome = self.flight.join(|| Rc::clone(self).look_up()).await;
        let pause = if outcome.is_ok() { FRESH } else { FAILED };
        self.until.set(Some(clock::now() + pause));
        if let Err(failure) = outcome {
            if matches!(*failure, ResolveError::Refused { .. }) {
                self.known.replace(Rc::from([]));
            }
            self.failure.replace(Some(failure));
        }
    }

    async fn look_up(self: Rc<Self>) -> Result<(), ResolveError> {
        let answer = timeout(self.patience, lookup_host((self.name(), self.port)));
        let found = answer.await.map_err(|_elapsed| ResolveError::Timeout)??;
        let addresses = self.usable(found.map(|socket| socket.ip()))?;
        self.known.replace(addresses);
        self.report();
        Ok(())
    }

    /// The permitted of the `found`; why none is.
    fn usable(&self, found: impl Iterator<Item = IpAddr>) -> Result<Rc<[IpAddr]>, ResolveError> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut refused = None;
        for address in found {
            match self.permit(address) {
                Err(why) => refused = Some(why),
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) if addresses.len() < MAX_ADDRESSES => addresses.push(address),
                Ok(_) => break,
            }
        }
        match refused {
            Some(why) if addresses.is_empty() => Err(why),
            _ if addresses.is_empty() => Err(ResolveError::Empty),
            _ => Ok(addresses.into()),
        }
    }

    fn permit(&self, address: IpAddr) -> Result<IpAddr, ResolveError> {
        let address = address.to_canonical();
        if self.local || is_remote(address) {
            Ok(address)
        } else {
            Err(ResolveError::Refused { address })
        }
    }

    /// Tells a changed set. A full queue is no loss: the next connection tells it again.
    fn report(&self) {
        let mut addresses: Vec<IpAddr> =
            self.known.borrow().iter().copied().filter(|a| self.permit(*a).is_ok()).collect();
        addresses.sort_unstable();
        if addresses.is_empty() || *self.reported.borrow() == addresses {
            return;
        }
        if self.reports.send(self.name(), addresses.clone()) {
            self.reported.replace(addresses);
        }
    }
}
