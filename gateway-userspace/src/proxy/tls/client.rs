//! TLS towards suppliers: the built-in roots, or a supplier's own authorities instead of them; pins
//! beside these; and a certificate of ours where the supplier has one for us.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, client::ResolvesClientCert, sign::SingleCertAndKey};

use super::{TlsError, files, pins::Pinned, provider};
use crate::{
    config::model::{Config, Pair, Protocol, Supplier, SupplierKind, Target},
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
    let own = supplier.profile.certificate.as_ref();
    let own = own.map(|pair| files::pair(pair, secrets)).transpose()?;
    let own = own.map(|pair| Arc::new(SingleCertAndKey::from(pair)));
    let pins = &supplier.profile.pins;
    let of_target =
        |target: &Target| target.tls.then(|| settings(&roots, pins, own.as_ref(), target.protocol));
    targets.iter().map(|target| of_target(target).transpose()).collect()
}

/// How to shake hands where the gateway itself asks: with whom the authorities in a file vouch for,
/// else the built-in roots; over HTTP/1.1, without pins, and with a certificate of ours if there is one.
pub(crate) fn questions(
    authorities: Option<&Path>,
    own: Option<&Pair>,
    secrets: &Secrets,
) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match authorities {
        Some(path) => files::authorities(path, secrets)?.0,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let own = own.map(|pair| files::pair(pair, secrets)).transpose()?;
    let own = own.map(|pair| Arc::new(SingleCertAndKey::from(pair)));
    settings(&Arc::new(roots), &[], own.as_ref(), Protocol::Http1)
}

/// Each target has its own: ALPN is its protocol's, and a session of one is none of another.
fn settings(
    roots: &Arc<RootCertStore>,
    pins: &[[u8; 32]],
    own: Option<&Arc<SingleCertAndKey>>,
    protocol: Protocol,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?;
    let builder = match pins {
        [] => builder.with_root_certificates(Arc::clone(roots)),
        pins => {
            let pinned =
                Pinned::new(roots, pins, provider()).map_err(|source| TlsError::Pins { source })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
        }
    };
    let mut config = match own {
        Some(own) => {
            let own: Arc<dyn ResolvesClientCert> = Arc::<SingleCertAndKey>::clone(own);
            builder.with_client_cert_resolver(own)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}
