//! One security measure, one folder. A stage knows its own settings and nothing of the others.

pub(crate) mod admission;
pub(crate) mod anonymous_limit;
pub(crate) mod authenticate;
pub(crate) mod client_address;
pub(crate) mod client_limit;
pub(crate) mod compress;
pub(crate) mod contract;
pub(crate) mod cors;
pub(crate) mod decompress;
pub(crate) mod harden;
pub(crate) mod method_and_size;
pub(crate) mod normalize;
pub(crate) mod shed;
pub(crate) mod transform;
pub(crate) mod waf;
