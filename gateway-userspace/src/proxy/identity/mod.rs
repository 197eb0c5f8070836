//! Who callers are: what the authenticate stage looks credentials up in.

pub(crate) mod certificate;
pub mod jwt;
pub(crate) mod keys;
