//! Cases that cannot run on this machine say so; `cargo xtask test` lists and counts them.

use std::{fs::OpenOptions, io::Write};

use anyhow::{Context, Result};
use nix::unistd::Uid;

/// Names the file that `cargo xtask test` reads.
const LIST: &str = "GATEWAY_SKIPS";

/// Set by the init of the guests of `cargo xtask kernels`.
const EMULATED: &str = "GATEWAY_EMULATED";

/// True if namespaces and XDP can be had; else the case is recorded as not run.
pub fn without_root(case: &str) -> Result<bool> {
    if Uid::effective().is_root() {
        return Ok(false);
    }
    record(case, "needs root: network namespaces and XDP")?;
    Ok(true)
}

/// True in a guest of `cargo xtask kernels`, whose processor is emulated: what a packet costs there
/// says nothing. For cases that measure, not for cases that are merely slow.
pub fn under_emulation(case: &str) -> Result<bool> {
    if std::env::var_os(EMULATED).is_none() {
        return Ok(false);
    }
    record(case, "measures a processor, and this one is emulated")?;
    Ok(true)
}

/// Records that `case` did not run, and why.
pub fn record(case: &str, reason: &str) -> Result<()> {
    let Some(list) = std::env::var_os(LIST) else { return Ok(()) };
    let mut file =
        OpenOptions::new().append(true).create(true).open(list).context("opening the skip list")?;
    writeln!(file, "{case}: {reason}").context("writing the skip list")
}
