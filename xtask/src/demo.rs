//! `cargo xtask demo`: builds the gateway and the demo, then becomes the demo.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};

use crate::{build, command, setup};

/// Replaces this process, so that Ctrl-C reaches the demo alone and its clean-up is waited for.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(false)?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "gateway-userspace", "--package", "gateway-tests"]);
    command::run(cargo.arg("--bins"))?;
    let demo = build::target().join("debug/demo");
    let error = Command::new(&demo).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", demo.display()))
}
