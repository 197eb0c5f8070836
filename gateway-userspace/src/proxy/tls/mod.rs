//! TLS towards clients and suppliers: 1.2 and 1.3, ALPN, one provider, nothing negotiable below.

mod client;
mod pins;
mod server;

use std::{path::PathBuf, sync::Arc};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use client::{SupplierTls, suppliers};
pub(crate) use server::listeners;

/// What is wrong with certificates and keys. Each says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} was not passed to the proxy; restart the gateway")]
    Missing { path: PathBuf },
    #[error("reading {path}: not PEM, or nothing of the wanted kind in it")]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("the key {path} is of a kind that is not supported; use ECDSA P-256 or RSA 2048")]
    Key {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{path} holds a certificate that cannot be an authority")]
    Authority {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("the key {key} does not belong to the certificate {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("making a self-signed certificate")]
    SelfSigned {
        #[source]
        source: rcgen::Error,
    },
    #[error("setting up the check of suppliers' certificates")]
    Verifier {
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    #[error("setting up TLS")]
    Setup {
        #[source]
        source: rustls::Error,
    },
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
