//! What all workers' suppliers are made from: checked and named once, from the configuration.

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderName, HeaderValue,
    uri::{Authority, Scheme},
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::{SetupError, book::Book, crew::Crew, echo::Echo, exchange::Name};
use crate::{
    config::model::{
        self, Config, Host, Identity, IdentityMethod, Protocol, SupplierKind, Timeouts,
    },
    proxy::tls::SupplierTls,
};

/// All suppliers, in the order of the configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(super) suppliers: Arc<[Arc<Prepared>]>,
    pub(super) timeouts: Timeouts,
}

/// A supplier.
#[derive(Debug)]
pub(super) enum Prepared {
    Http(PreparedSupplier),
    Echo(Echo),
}

/// A supplier over HTTP.
#[derive(Debug)]
pub(super) struct PreparedSupplier {
    pub(super) name: Arc<str>,
    pub(super) crew: Arc<Crew>,
    pub(super) targets: Arc<[PreparedTarget]>,
}

/// A target of a supplier.
#[derive(Debug)]
pub(super) struct PreparedTarget {
    pub(super) name: Name,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Connections or streams of one worker, at most.
    pub(super) bound: usize,
}

impl Setup {
    /// `tls` is as `tls::suppliers` made it, and `book` for the same configuration.
    pub(crate) fn new(config: &Config, tls: &SupplierTls, book: &Book) -> Result<Self, SetupError> {
        let all = config.suppliers.iter().zip(tls).zip(book.suppliers());
        let suppliers = all
            .map(|((supplier, tls), known)| match &supplier.kind {
                SupplierKind::Echo => Ok(Prepared::Echo(Echo::new(credentials(config)))),
                SupplierKind::Http(targets) => {
                    let targets = targets
                        .iter()
                        .zip(tls)
                        .map(|(target, tls)| prepare(supplier, target, tls.as_ref()))
                        .collect::<Result<_, _>>()?;
                    let (name, crew) = (supplier.name.as_str().into(), Arc::clone(&known.crew));
                    Ok(Prepared::Http(PreparedSupplier { name, crew, targets }))
                }
            })
            .map(|prepared: Result<Prepared, SetupError>| prepared.map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { suppliers, timeouts: config.proxy.timeouts.clone() })
    }

    /// With what `earlier` has of suppliers of which nothing has changed, so that they keep their
    /// connections.
    pub(crate) fn keeping(
        self,
        config: &Config,
        (earlier, before): (&Self, &Config),
        same_files: impl Fn(&model::Supplier) -> bool,
    ) -> Self {
        if earlier.timeouts != self.timeouts {
            return self;
        }
        let known: Vec<_> = before.suppliers.iter().zip(earlier.suppliers.iter()).collect();
        let kept = |(supplier, prepared): (&model::Supplier, &Arc<Prepared>)| {
            let same = known.iter().find(|(known, _)| *known == supplier);
            let same = same.filter(|_| same_files(supplier));
            // The echo knows identities.
            let same = same.filter(|_| matches!(**prepared, Prepared::Http(_)));
            Arc::clone(same.map_or(prepared, |(_, kept)| kept))
        };
        let suppliers = config.suppliers.iter().zip(self.suppliers.iter()).map(kept).collect();
        Self { suppliers, timeouts: self.timeouts }
    }
}

impl PreparedSupplier {
    /// The waits of all suppliers, where this one has none of its own.
    pub(super) fn timeouts(&self, usual: &Timeouts) -> Timeouts {
        let profile = &self.crew.profile;
        Timeouts {
            connect: profile.connect.unwrap_or(usual.connect),
            first_byte: profile.first_byte.unwrap_or(usual.first_byte),
            ..usual.clone()
        }
    }
}

/// The fields in which identities find credentials.
fn credentials(config: &Config) -> Vec<HeaderName> {
    let field = |identity: &Identity| match &identity.method {
        IdentityMethod::ApiKey { header } => HeaderName::from_bytes(header.as_bytes()).ok(),
        IdentityMethod::Tokens(_) => Some(http::header::AUTHORIZATION),
    };
    config.identities.iter().filter_map(field).collect()
}

fn prepare(
    supplier: &model::Supplier,
    target: &model::Target,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<PreparedTarget, SetupError> {
    let name = name(supplier, target)?;
    let verified = |config: &Arc<ClientConfig>| Ok((Arc::clone(config), verified(&target.host)?));
    let tls = tls.map(verified).transpose().map_err(|source| SetupError::Tls {
        supplier: supplier.name.clone(),
        target: name.label.to_string(),
        source,
    })?;
    let bound = usize::try_from(supplier.connections).unwrap_or(usize::MAX);
    Ok(PreparedTarget { name, protocol: target.protocol, tls, bound })
}

/// What the target's certificate must be for.
fn verified(host: &Host) -> Result<ServerName<'static>, rustls_pki_types::InvalidDnsNameError> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

/// The target's name without the port its scheme implies, which some servers do not expect in Host.
fn name(supplier: &model::Supplier, target: &model::Target) -> Result<Name, SetupError> {
    let host = match &target.host {
        Host::Name(name) => name.clone(),
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    };
    let label: Arc<str> = format!("{host}:{}", target.port).into();
    let implied = if target.tls { 443 } else { 80 };
    let shown = if target.port == implied { host.as_str() } else { &*label };
    let fault = |source: http::Error| SetupError::Name {
        supplier: supplier.name.clone(),
        target: label.to_string(),
        source,
    };
    let authority = Authority::try_from(shown).map_err(|error| fault(error.into()))?;
    let host = HeaderValue::from_str(shown).map_err(|error| fault(error.into()))?;
    let scheme = if target.tls { Scheme::HTTPS } else { Scheme::HTTP };
    Ok(Name { label, scheme, authority, host })
}
