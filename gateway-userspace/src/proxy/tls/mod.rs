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

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use client::{SupplierTls, suppliers};
pub(crate) use edge::Edge;
pub use error::TlsError;
pub(crate) use listener::Listener;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
