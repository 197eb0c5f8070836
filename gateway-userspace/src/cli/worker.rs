//! `gateway proxy-worker`, which only the guard starts.

use anyhow::Context as _;

pub(super) fn run(log: &str) -> anyhow::Result<()> {
    super::start_log(log)?;
    crate::proxy::run().context("the proxy ended")
}
