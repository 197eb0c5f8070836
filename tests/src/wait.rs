//! Waiting for other processes, which give no event to wait on; never without an end.

use std::time::Duration;

use anyhow::{Result, bail};
use gateway_userspace::clock;

/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Looks until there is something, or fails after `limit` naming what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = clock::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        pause(STEP);
    }
}

/// Lets time pass, where time itself is what a case needs.
#[expect(clippy::disallowed_methods, reason = "the one place of the lab that sleeps")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
