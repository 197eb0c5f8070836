//! The unprivileged process: every byte from the network is parsed here.
//!
//! In the order of the flow: `net` and `tls` take connections, `http1` reads heads before hyper
//! does, `pipeline` judges requests with the
//! engines beside it (`limits`, `identity`), `router` finds the route, `upstream` the supplier;
//! `feedback` tells the guard; `session` speaks with it.

mod acme;
pub(crate) mod admin;
pub(crate) mod coding;
pub(crate) mod feedback;
pub(crate) mod fetch;
pub(crate) mod fields;
pub(crate) mod guard_time;
pub(crate) mod hop_by_hop;
pub mod http1;
pub mod identity;
pub mod inspection;
pub mod instance;
pub(crate) mod keeping;
pub(crate) mod kernel_counters;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod net;
pub(crate) mod outbox;
pub mod pipeline;
pub(crate) mod record;
pub(crate) mod reload;
pub mod router;
pub mod sandbox;
pub mod secrets;
pub(crate) mod session;
pub mod signature;
pub(crate) mod source;
pub(crate) mod strict_json;
pub(crate) mod support;
pub(crate) mod thread;
pub mod tls;
pub mod upstream;
pub(crate) mod worker;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use session::{ProxyError, run};
