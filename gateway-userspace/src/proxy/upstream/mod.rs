//! Suppliers: from a finished request to a response that is still on its way.
//!
//! What all workers have in common is checked and named once: the `setup`, and the `book` of
//! addresses. Beyond that each worker has its own [`Upstreams`], without locks. In the order of a
//! request: `supplier` asks its `crew` for entrance, chooses a `target` (`choose`, by each `member`'s standing), which has a connection at rest (`pool`) or opens one
//! (`dial`, `wire`); `exchange` sends on it (`upload`) and hands the response back (`download`).

mod address;
mod book;
mod breaker;
mod choose;
mod counts;
mod crew;
mod dial;
mod dns;
mod download;
mod echo;
mod endpoint;
mod entry;
mod error;
mod exchange;
mod flight;
mod link;
mod lookup;
mod member;
mod patience;
mod pool;
mod probe;
mod setup;
mod supplier;
mod target;
mod terms;
mod upload;
mod wire;

#[cfg(test)]
mod tests;

use std::{fmt, pin::Pin, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

pub(in crate::proxy) use self::address::permitted;
pub(crate) use self::{
    book::Book,
    choose::hash,
    lookup::{Lookup, LookupError},
    probe::Watch,
    setup::Setup,
    terms::Terms,
};
pub use self::{
    download::{Download, Payload, Switched},
    error::{BoxError, ClientStalled, DialError, SetupError, UpstreamError, Wait},
};
use self::{echo::Echo, setup::Prepared, supplier::Supplier};

/// A request body on its way to a supplier. It never leaves its worker's thread.
pub(crate) type OutboundBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// All suppliers, as one worker sees them. To be used on its thread.
pub(crate) struct Upstreams {
    /// At the supplier's place in the configuration.
    all: Vec<(Arc<Prepared>, Rc<Upstream>)>,
}

/// By kind.
enum Upstream {
    Http(Supplier),
    Echo(Echo),
}

impl Upstream {
    fn new(prepared: &Prepared, setup: &Setup) -> Self {
        match prepared {
            Prepared::Http(targets) => Self::Http(Supplier::new(targets, &setup.timeouts)),
            Prepared::Echo(echo) => Self::Echo(echo.clone()),
        }
    }
}

impl Upstreams {
    /// The suppliers of one worker; connects to none.
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { all: Vec::new() }.succeed(setup)
    }

    /// For another configuration: suppliers made from the same keep their connections.
    pub(crate) fn succeed(&self, setup: &Setup) -> Self {
        let upstream = |prepared: &Arc<Prepared>| {
            let known = self.all.iter().find(|(known, _)| Arc::ptr_eq(known, prepared));
            let upstream = known.map_or_else(
                || Rc::new(Upstream::new(prepared, setup)),
                |(_, upstream)| Rc::clone(upstream),
            );
            (Arc::clone(prepared), upstream)
        };
        Self { all: setup.suppliers.iter().map(upstream).collect() }
    }

    /// Sends a request to the supplier with this index in the configuration and waits for the
    /// response head. The request has an origin-form URI and its final headers; Host, scheme and
    /// authority are set here. Redirects are answers like any other.
    pub(crate) async fn send(
        &self,
        supplier: usize,
        request: Request<Option<OutboundBody>>,
        terms: impl Into<Terms<'_>>,
    ) -> Result<Response<Payload>, UpstreamError> {
        let terms = terms.into();
        match self.all.get(supplier).map(|(_, upstream)| &**upstream) {
            Some(Upstream::Http(supplier)) => supplier.send(request, terms).await,
            Some(Upstream::Echo(echo)) => echo.send(request, terms.deadline).await,
            None => Err(UpstreamError::Unknown { index: supplier }),
        }
    }

    /// Closes connections that were not used since the sweep before.
    pub(crate) fn sweep(&self) {
        for (_, upstream) in &self.all {
            match &**upstream {
                Upstream::Http(supplier) => supplier.sweep(),
                Upstream::Echo(_) => {}
            }
        }
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("count", &self.all.len()).finish_non_exhaustive()
    }
}
