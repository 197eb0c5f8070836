//! Builds the XDP program for the BPF target and puts the object where the loader includes it.
//!
//! The toolchain is found by name, `gateway-bpf`: `cargo xtask setup` makes it.

#![expect(unsafe_code, reason = "aya-build takes its settings from the environment only")]

use std::{env, path::Path, process::Command};

use aya_build::{Package, Toolchain};

/// What `cargo xtask setup` links.
const TOOLCHAIN: &str = "gateway-bpf";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../gateway-common/src");
    println!("cargo::rerun-if-env-changed=PATH");
    if let Err(why) = build() {
        println!("cargo::error={why}; run: cargo xtask setup");
    }
}

fn build() -> Result<(), String> {
    let sysroot = sysroot()?;
    if Command::new("bpf-linker").arg("--version").output().is_err() {
        return Err("bpf-linker is not installed".to_owned());
    }
    // bpf-linker loads the compiler's own LLVM.
    let libraries = format!("{sysroot}/lib:/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu");
    set_variable("LD_LIBRARY_PATH", &libraries);
    set_variable("RUSTC_BOOTSTRAP", "1");
    // Else each line of progress reaches the user as a warning.
    set_variable("CARGO_TERM_QUIET", "true");
    let features: &[&str] =
        if env::var_os("CARGO_FEATURE_LAYOUT_NEXT").is_some() { &["layout-next"] } else { &[] };
    let package = Package {
        name: "gateway-ebpf",
        root_dir: "../gateway-ebpf",
        features,
        ..Package::default()
    };
    aya_build::build_ebpf([package], Toolchain::Custom(TOOLCHAIN))
        .map_err(|error| format!("building the XDP program failed: {error:#}"))
}

fn sysroot() -> Result<String, String> {
    let missing = || format!("the Rust toolchain `{TOOLCHAIN}` for BPF is missing");
    let output = Command::new("rustup")
        .args(["run", TOOLCHAIN, "rustc", "--print", "sysroot"])
        .output()
        .map_err(|error| format!("rustup does not start ({error})"))?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
    if output.status.success() && source.exists() { Ok(sysroot) } else { Err(missing()) }
}

#[expect(clippy::disallowed_methods, reason = "read by aya-build alone, before any thread")]
fn set_variable(name: &str, value: &str) {
    // SAFETY: a build script has one thread.
    unsafe { env::set_var(name, value) }
}
