//! TLS towards suppliers: the built-in roots, or a supplier's own authorities instead of them.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, files, provider};
use crate::{
    config::model::{Config, Protocol, Supplier, SupplierKind, Target},
    proxy::secrets::Secrets,
};

/// Settings for each target that speaks TLS, by supplier, in the order of the configuration. All
/// workers use the same, and so each other's session tickets.
pub(crate) type SupplierTls = Vec<Vec<Option<Arc<ClientConfig>>>>;

/// How to shake hands with suppliers.
pub(crate) fn suppliers(config: &Config, secrets: &Secrets) -> Result<SupplierTls, TlsError> {
    config.suppliers.iter().map(|supplier| of_supplier(supplier, secrets)).collect()
}

fn of_supplier(
    supplier: &Supplier,
    secrets: &Secrets,
) -> Result<Vec<Option<Arc<ClientConfig>>>, TlsError> {
    let SupplierKind::Http(targets) = &supplier.kind else { return Ok(Vec::new()) };
    if !targets.iter().any(|target| target.tls) {
        return Ok(vec![None; targets.len()]);
    }
    let roots = Arc::new(match &supplier.ca {
        Some(path) => files::authorities(path, secrets)?.0,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    });
    let of_target = |target: &Target| target.tls.then(|| settings(&roots, target.protocol));
    targets.iter().map(|target| of_target(target).transpose()).collect()
}

/// Each target has its own: ALPN is its protocol's, and a session of one is none of another.
fn settings(roots: &Arc<RootCertStore>, protocol: Protocol) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}
