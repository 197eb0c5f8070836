//! TLS towards clients and suppliers: 1.2 and 1.3 with forward secrecy and AEAD alone, X25519MLKEM768
//! before other groups, one provider, nothing negotiable below.

mod client;
pub(crate) mod edge;
mod error;
mod facts;
mod files;
mod listener;
mod names;
mod pins;
mod verifier;

use std::sync::Arc;

use rustls::{
    ConfigBuilder, ServerConfig, WantsVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
};

pub(crate) use client::{SupplierTls, questions, suppliers};
pub(crate) use edge::{Edge, Issued};
pub use error::TlsError;
pub(crate) use listener::{Listener, check_issued, fingerprint_of};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The beginning of how to shake hands with clients.
pub(crate) fn server() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })
}
