//! `cargo xtask ci`: what a change must pass. `.ci/run` calls this and nothing else.

use anyhow::Result;

use crate::{command, setup, test, tidy};

/// Quick checks first, so that a slip costs seconds.
pub(crate) fn run() -> Result<()> {
    setup::run(false)?;
    setup::components(&["rustfmt", "clippy"])?;
    command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    lint()?;
    test::run(&[])
}

fn lint() -> Result<()> {
    let strict = ["--", "-D", "warnings"];
    // Not `--workspace`: the XDP program is no program of this machine.
    command::run(command::cargo().args(["clippy", "--all-targets"]).args(strict))?;
    // Checked for the host, without unwinding, because not every BPF toolchain has clippy.
    let mut kernel = command::cargo();
    kernel.args(["clippy", "--package", "gateway-ebpf", "--config", "profile.dev.panic='abort'"]);
    command::run(kernel.args(strict))
}
