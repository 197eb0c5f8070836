//! From the configuration to suppliers that can be sent to.

use std::{cell::Cell, collections::HashMap, path::PathBuf, rc::Rc, sync::Arc};

use http::{
    HeaderValue,
    uri::{Authority, Scheme},
};
use rustls::RootCertStore;

use super::{
    Upstream, UpstreamError,
    dial::Dialer,
    echo::Echo,
    error::TlsError,
    exchange::Name,
    resolve::{Reports, Resolver},
    supplier::Supplier,
    target::Target,
    tls,
};
use crate::config::model::{self, Host, SupplierKind, Timeouts};

/// The PEM files of authorities, by configured path.
type Authorities = HashMap<PathBuf, Vec<u8>>;

/// All suppliers in the order of the configuration.
pub(super) fn suppliers(
    suppliers: &[model::Supplier],
    timeouts: &Timeouts,
    authorities: &Authorities,
    reports: &Rc<Reports>,
) -> Result<Vec<Upstream>, UpstreamError> {
    let built_in = tls::built_in_roots();
    let upstream = |(index, supplier): (usize, &model::Supplier)| match &supplier.kind {
        SupplierKind::Echo => Ok(Upstream::Echo(Echo::new(supplier.name.clone()))),
        SupplierKind::Http(targets) => {
            let roots = roots(supplier, authorities, &built_in)?;
            let targets = targets
                .iter()
                .map(|target| self::target(supplier, target, &roots, timeouts, reports))
                .collect::<Result<_, _>>()?;
            Ok(Upstream::Http(Supplier {
                name: supplier.name.clone(),
                index,
                targets,
                turn: Cell::new(0),
                timeouts: timeouts.clone(),
            }))
        }
    };
    suppliers.iter().enumerate().map(upstream).collect()
}

fn roots(
    supplier: &model::Supplier,
    authorities: &Authorities,
    built_in: &RootCertStore,
) -> Result<RootCertStore, UpstreamError> {
    let Some(path) = &supplier.ca else { return Ok(built_in.clone()) };
    let read = authorities.get(path).ok_or(TlsError::Missing).and_then(|pem| tls::roots_of(pem));
    read.map_err(|source| UpstreamError::Authorities {
        supplier: supplier.name.clone(),
        path: path.clone(),
        source,
    })
}

fn target(
    supplier: &model::Supplier,
    target: &model::Target,
    roots: &RootCertStore,
    timeouts: &Timeouts,
    reports: &Rc<Reports>,
) -> Result<Rc<Target>, UpstreamError> {
    let name = name(target)?;
    let client = || -> Result<_, TlsError> {
        let config = tls::client_config(roots.clone(), target.protocol)?;
        Ok((config, tls::server_name(&target.host)?))
    };
    let tls = target
        .tls
        .then(client)
        .transpose()
        .map_err(|source| UpstreamError::Tls { target: Arc::clone(&name.label), source })?;
    let resolver = Resolver::new(
        target.host.clone(),
        target.port,
        supplier.local,
        timeouts.connect,
        Rc::clone(reports),
    );
    let dialer = Dialer {
        resolver,
        port: target.port,
        protocol: target.protocol,
        tls,
        connect: timeouts.connect,
        stall: timeouts.stall,
        turn: Cell::new(0),
    };
    let bound = usize::try_from(supplier.connections).unwrap_or(usize::MAX);
    Ok(Target::new(name, dialer, bound))
}

/// The target's name without the port its scheme implies, which some servers do not expect in Host.
fn name(target: &model::Target) -> Result<Name, UpstreamError> {
    let host = match &target.host {
        Host::Name(name) => name.clone(),
        Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    };
    let label: Arc<str> = format!("{host}:{}", target.port).into();
    let implied = if target.tls { 443 } else { 80 };
    let shown = if target.port == implied { host.as_str() } else { &*label };
    let fault = |source: http::Error| UpstreamError::Name { target: Arc::clone(&label), source };
    let authority = Authority::try_from(shown).map_err(|error| fault(error.into()))?;
    let host = HeaderValue::from_str(shown).map_err(|error| fault(error.into()))?;
    let scheme = if target.tls { Scheme::HTTPS } else { Scheme::HTTP };
    Ok(Name { label, scheme, authority, host })
}
