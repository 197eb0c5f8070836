//! `gateway proxy-worker`, which only the guard starts.

use anyhow::Context as _;

use crate::proxy;

pub(super) fn run(log: &str) -> anyhow::Result<()> {
    super::start_log(log)?;
    proxy::run().context("the proxy ended")
}
