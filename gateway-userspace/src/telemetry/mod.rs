//! What the proxy says about its work: metrics, the access log, and the memory of `gateway why`.
//!
//! The pipeline's runner builds one [`RequestRecord`] a request and hands it to all three.

mod kernel_report;
mod mask;
mod metrics;
mod record;
mod tables;
mod timestamp;

pub use metrics::{CONTENT_TYPE, Limiter, LineOutcome, Metrics, StrikeOutcome, SupplierOutcome};
pub use record::{RequestRecord, TlsVersion};
