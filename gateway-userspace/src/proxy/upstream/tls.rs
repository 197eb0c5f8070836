//! TLS to suppliers: who is trusted, and which protocols are offered.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

use super::error::TlsError;
use crate::config::model::{Host, Protocol};

pub(super) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The authorities built in.
pub(super) fn built_in_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// The authorities of a PEM file. One that cannot be used fails all: a shorter list than the
/// operator wrote would only be noticed when a supplier renews.
pub(super) fn roots_of(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Certificate)?;
    }
    if roots.is_empty() { Err(TlsError::Empty) } else { Ok(roots) }
}

/// How to shake hands with a target.
pub(super) fn client_config(
    roots: RootCertStore,
    protocol: Protocol,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()],
        Protocol::Http1 => vec![ALPN_HTTP1.to_vec()],
        Protocol::Http2 => vec![ALPN_H2.to_vec()],
    };
    Ok(Arc::new(config))
}

/// What the target's certificate must be for.
pub(super) fn server_name(host: &Host) -> Result<ServerName<'static>, TlsError> {
    match host {
        Host::Name(name) => Ok(ServerName::try_from(name.clone())?),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_files_without_a_usable_certificate() {
        assert!(matches!(roots_of(b""), Err(TlsError::Empty)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(roots_of(broken), Err(TlsError::Certificate(_))));
    }
}
