//! TLS towards suppliers: the built-in roots, or a supplier's own authorities instead of them.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, provider, server::certificates};
use crate::{
    config::model::{Config, Protocol, Supplier, SupplierKind},
    proxy::{secrets::Secrets, upstream::SupplierTls},
};

/// A settings object for each supplier that has a TLS target, in the order of the configuration.
pub(crate) fn suppliers(config: &Config, secrets: &Secrets) -> Result<SupplierTls, TlsError> {
    config.suppliers.iter().map(|supplier| one(supplier, secrets)).collect()
}

fn one(supplier: &Supplier, secrets: &Secrets) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let SupplierKind::Http(targets) = &supplier.kind else { return Ok(None) };
    let mut with_tls = targets.iter().filter(|target| target.tls).peekable();
    let Some(protocol) = with_tls.peek().map(|target| target.protocol) else { return Ok(None) };
    let roots = match &supplier.ca {
        Some(path) => authorities(path, secrets)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Some(Arc::new(config)))
}

fn authorities(path: &Path, secrets: &Secrets) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, secrets)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}
