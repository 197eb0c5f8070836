//! The Python packages that the conformance suites run on, in an environment of their own under
//! `target/`: independent readings of h2, HPACK and gRPC, to hold the gateway against.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::packages;
use crate::{build, command};

/// Pinned: what they say is lawful decides what passes.
const PACKAGES: [&str; 2] = ["hpack==4.2.0", "grpcio==1.85.1"];

/// Says that the packages are there, by importing them.
const PROBE: &str = "import hpack, grpc";

/// The environment's interpreter.
fn interpreter() -> PathBuf {
    build::target().join("python/bin/python")
}

pub(super) fn missing() -> Option<String> {
    let program = interpreter();
    let there = program.to_str().and_then(|program| command::output(program, &["-c", PROBE]));
    there.is_none().then(|| format!("missing: {}", PACKAGES.join(", ")))
}

pub(super) fn install() -> Result<String> {
    let environment = build::target().join("python");
    let make = || {
        let mut make = Command::new("python3");
        command::run(make.args(["-m", "venv", "--clear"]).arg(&environment))
    };
    // Debian's python3 has no venv of its own.
    if make().is_err() {
        packages::apt_install(&["python3-venv"])?;
        make().context("making a Python environment")?;
    }
    let mut pip = Command::new(interpreter());
    command::run(pip.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(format!("installed {}", PACKAGES.join(", ")))
}
