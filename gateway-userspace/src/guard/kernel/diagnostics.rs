//! What the kernel side says while it is loaded, in the log of the guard. Packets are counted and
//! sampled, never logged: a log line a packet would be a way to flood the log.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::sys;

/// Any frame: the program does not look at it.
const FRAME: [u8; 64] = [0; 64];

/// The way from the kernel's log buffer to ours.
pub(super) struct Diagnostics(Option<EbpfLogger<ToTracing>>);

impl Diagnostics {
    /// Takes the log buffer of a loaded object. Without one the filter works as well.
    pub(super) fn of(object: &mut Ebpf) -> Self {
        let logger = EbpfLogger::init_with_logger(object, ToTracing)
            .inspect_err(|error| tracing::debug!(%error, "the filter has no log of its own"));
        Self(logger.ok())
    }

    /// Lets the kernel side introduce itself through `hello`, and passes on what it said.
    pub(super) fn greet(&mut self, hello: &OwnedFd) {
        if let Err(error) = sys::test_run(hello.as_fd(), &FRAME, 1) {
            tracing::debug!(%error, "the filter did not introduce itself");
        }
        if let Some(logger) = &mut self.0 {
            logger.flush();
        }
    }
}

/// aya-log speaks `log`, the guard `tracing`.
struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let said = record.args();
        if record.level() <= log::Level::Warn {
            tracing::warn!(%said, "the filter at load");
        } else {
            tracing::debug!(%said, "the filter at load");
        }
    }

    fn flush(&self) {}
}
