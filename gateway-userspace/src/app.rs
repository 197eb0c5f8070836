//! The composition root: what each process of the gateway runs.

use crate::guard::{self, GuardError, Options};

pub(crate) use crate::guard::KEPT;

/// The privileged process: `gateway run`.
pub fn guard(options: Options) -> Result<(), GuardError> {
    guard::run(options)
}
