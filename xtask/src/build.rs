//! `cargo xtask build`: the gateway, and for the tests the same gateway one map layout ahead.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{command, setup};

/// The binary with the next map layout, beside the plain one.
const LAYOUT_NEXT: &str = "gateway-layout-next";

/// Builds the gateway and says where it is.
pub(crate) fn run(release: bool) -> Result<()> {
    setup::toolchain_only()?;
    let mut build = command::cargo();
    build.args(["build", "--package", "gateway-userspace"]);
    if release {
        build.arg("--release");
    }
    command::run(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    println!("built {}", target().join(profile).join("gateway").display());
    Ok(())
}

/// Both layouts, for tests of upgrade and downgrade, then everything else.
pub(crate) fn for_tests() -> Result<()> {
    let mut next = command::cargo();
    next.args(["build", "--features", "gateway-userspace/layout-next"]);
    command::run(&mut next)?;
    let debug = target().join("debug");
    // A rename into place: a test of an earlier run may still execute the old file.
    let staged = debug.join("gateway-layout-next.new");
    fs::copy(debug.join("gateway"), &staged).context("copying the binary with the next layout")?;
    fs::rename(&staged, debug.join(LAYOUT_NEXT))
        .context("placing the binary with the next layout")?;
    command::run(command::cargo().arg("build"))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| command::root().join("target"), |folder| command::root().join(folder))
}
