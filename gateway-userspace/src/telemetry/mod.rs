//! What the proxy says about its work: metrics, the access log, and the memory of `gateway why`.
//!
//! The pipeline's runner builds one [`RequestRecord`] a request and hands it to all three. Nothing
//! here decides anything, blocks a worker, or writes text of a stranger that was not masked.

mod access_log;
#[cfg(test)]
mod exposition;
mod guard_metrics;
mod kernel_report;
mod line;
mod mask;
mod metrics;
mod record;
mod refusals;
mod tables;
#[cfg(test)]
mod testing;
mod timestamp;

pub use access_log::{AccessLog, AccessLogError};
pub use metrics::{
    CONTENT_TYPE, IdentityFigures, Limiter, LineOutcome, Metrics, MirrorOutcome, NAME_STATES,
    OrderOutcome, RenewalOutcome, StrikeOutcome, SupplierOutcome, TARGET_STATES,
};
pub use record::{Hit, RequestRecord, TlsVersion};
pub use refusals::RefusalMemory;
pub(crate) use timestamp::Timestamp;
