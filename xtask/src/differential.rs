//! `cargo xtask differential`: random packets in random worlds, judged by the packet filter and by
//! an oracle that shares no code with it.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};

use crate::{build, command, setup};

/// Replaces this process, so that Ctrl-C reaches the run alone.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(false)?;
    let mut cargo = command::cargo();
    command::run(cargo.args(["build", "--package", "gateway-tests", "--bin", BINARY]))?;
    let binary = build::target().join("debug").join(BINARY);
    let error = Command::new(&binary).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", binary.display()))
}

const BINARY: &str = "differential";
