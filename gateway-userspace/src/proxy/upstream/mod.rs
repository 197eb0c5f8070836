//! Suppliers: from a finished request to a response that is still on its way.
//!
//! Each worker has its own [`Upstreams`]: connections, names and counters of one thread, without
//! locks. In the order of a request: `supplier` chooses a `target`, which has a connection at rest
//! (`pool`) or opens one (`resolve`, `address`, `dial`, `tls`, `wire`); `exchange` sends on it
//! (`upload`) and hands the response back (`download`).

mod address;
mod dial;
mod download;
mod echo;
mod error;
mod exchange;
mod flight;
mod link;
mod patience;
mod pool;
mod resolve;
mod setup;
mod supplier;
mod target;
mod tls;
mod upload;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_local},
    time::{MissedTickBehavior, interval},
};

pub use self::error::{BoxError, ClientStalled, UpstreamError, Wait};
use self::{echo::Echo, resolve::Reports, supplier::Supplier};
use crate::config::model::{self, Config, Timeouts};

/// A request body on its way to a supplier.
pub type OutboundBody = UnsyncBoxBody<Bytes, BoxError>;
/// A response body on its way from a supplier; its errors are [`UpstreamError`]s.
pub type InboundBody = UnsyncBoxBody<Bytes, BoxError>;

/// A connection is closed when it was not used for one to two of these. Shorter than the minute or
/// more that servers usually keep theirs, so that mostly we are the one who closes.
const SWEEP: Duration = Duration::from_secs(15);

/// All suppliers, as one worker sees them. To be used inside its `LocalSet`.
pub struct Upstreams {
    all: Rc<[Upstream]>,
    reports: Rc<Reports>,
    sweeper: RefCell<Option<AbortHandle>>,
}

/// By kind; at the supplier's place in the configuration.
enum Upstream {
    Http(Supplier),
    Echo(Echo),
}

impl Upstreams {
    /// Prepares the suppliers of `config`; connects to none. `authorities` holds the PEM files by
    /// their configured path; addresses that come up are told to `resolved`.
    pub fn new(
        config: &Config,
        authorities: &HashMap<PathBuf, Vec<u8>>,
        resolved: mpsc::Sender<(String, Vec<IpAddr>)>,
    ) -> Result<Self, UpstreamError> {
        Self::of(&config.suppliers, &config.proxy.timeouts, authorities, resolved)
    }

    fn of(
        suppliers: &[model::Supplier],
        timeouts: &Timeouts,
        authorities: &HashMap<PathBuf, Vec<u8>>,
        resolved: mpsc::Sender<(String, Vec<IpAddr>)>,
    ) -> Result<Self, UpstreamError> {
        let reports = Reports::new(resolved);
        let all = setup::suppliers(suppliers, timeouts, authorities, &reports)?;
        Ok(Self { all: all.into(), reports, sweeper: RefCell::new(None) })
    }

    /// Sends a request to the supplier with this index in the configuration and waits for the
    /// response head. The request has an origin-form URI and its final headers; Host, scheme and
    /// authority are set here. Redirects are answers like any other.
    pub async fn send(
        &self,
        supplier: usize,
        request: Request<OutboundBody>,
        deadline: Instant,
    ) -> Result<Response<InboundBody>, UpstreamError> {
        match self.all.get(supplier) {
            Some(Upstream::Http(supplier)) => {
                self.keep_sweeping();
                supplier.send(request, deadline).await
            }
            Some(Upstream::Echo(echo)) => echo.send(request, deadline).await,
            None => Err(UpstreamError::Unknown { index: supplier }),
        }
    }

    /// Connections and counts of this worker, by supplier and target.
    pub fn status(&self) -> Value {
        let suppliers: Vec<Value> = self.all.iter().map(Upstream::status).collect();
        json!({ "suppliers": suppliers, "address_reports_dropped": self.reports.dropped() })
    }

    fn keep_sweeping(&self) {
        let mut sweeper = self.sweeper.borrow_mut();
        if sweeper.is_none() {
            let task = spawn_local(sweep(Rc::downgrade(&self.all)));
            *sweeper = Some(task.abort_handle());
        }
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        if let Some(task) = self.sweeper.take() {
            task.abort();
        }
    }
}

impl Upstream {
    fn status(&self) -> Value {
        match self {
            Self::Http(supplier) => supplier.status(),
            Self::Echo(echo) => echo.status(),
        }
    }
}

async fn sweep(all: Weak<[Upstream]>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(all) = all.upgrade() else { return };
        for upstream in &*all {
            match upstream {
                Upstream::Http(supplier) => supplier.sweep(),
                Upstream::Echo(_) => {}
            }
        }
    }
}
