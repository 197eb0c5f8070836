//! `cargo xtask ci`: what a change must pass. `.ci/run` calls this and nothing else.

use std::path::Path;

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
    lint_kernel(&strict)
}

/// For its own target: it speaks the assembly of BPF.
fn lint_kernel(strict: &[&str]) -> Result<()> {
    let sysroot = command::output("rustc", &["--print", "sysroot"]).unwrap_or_default();
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if !core.exists() {
        // Debian's compiler builds the program where rustup has no source, but has no clippy.
        println!(
            "not linted: gateway-ebpf, gateway-tests-ebpf: the toolchain in use is without rust-src"
        );
        return Ok(());
    }
    let mut kernel = command::cargo();
    kernel.args(["clippy", "--release", "--package", "gateway-ebpf"]);
    kernel.args(["--package", "gateway-tests-ebpf"]);
    kernel.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"]);
    // As gateway-userspace/build.rs does: `-Z` and `asm!` for BPF on a stable toolchain.
    kernel.env("RUSTC_BOOTSTRAP", "1");
    command::run(kernel.args(strict))
}
