//! The bench's own XDP programs, `tests/ebpf`, built as gateway-userspace/build.rs builds the
//! filter.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{command, setup};

const PACKAGE: &str = "gateway-tests-ebpf";
const TARGET: &str = "bpfel-unknown-none";

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// The object's file.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let toolchain = setup::BPF_TOOLCHAIN;
    let sysroot = command::output("rustup", &["run", toolchain, "rustc", "--print", "sysroot"])
        .context("the BPF toolchain is missing; run: cargo xtask setup")?;
    let target_folder = folder.join("ebpf");
    let machine = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    let flags = [machine.as_str(), "-Cdebuginfo=2", "-Clink-arg=--btf"].join(SEPARATOR);
    let mut cargo = std::process::Command::new("rustup");
    cargo.current_dir(command::root()).args(["run", toolchain, "cargo", "build", "--release"]);
    cargo.args(["--package", PACKAGE, "--target", TARGET, "-Z", "build-std=core"]);
    cargo.arg("--target-dir").arg(&target_folder);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags).env("RUSTC_BOOTSTRAP", "1");
    // The compiler of this task is not the one asked for.
    cargo.env_remove("RUSTC").env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CARGO");
    // bpf-linker loads the compiler's own LLVM.
    let libraries =
        format!("{}/lib:/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu", sysroot.trim());
    command::run(cargo.env("LD_LIBRARY_PATH", libraries))?;
    Ok(target_folder.join(TARGET).join("release").join(PACKAGE))
}
