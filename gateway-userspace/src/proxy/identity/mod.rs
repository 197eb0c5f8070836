//! Who callers are: what the authenticate stage looks credentials up in.

pub(crate) mod certificate;
pub(crate) mod dpop;
pub mod jwt;
pub(crate) mod keys;
pub mod provider;
pub(crate) mod token;
