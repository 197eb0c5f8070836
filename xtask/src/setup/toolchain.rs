//! The compiler for the XDP program, known to rustup as `gateway-bpf`: any with the source of
//! `core`, and with the LLVM that bpf-linker speaks.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::{packages, require_root};
use crate::command;

/// What gateway-userspace/build.rs asks for by name.
pub(super) const NAME: &str = "gateway-bpf";

/// bpf-linker 0.10.3 loads this LLVM out of the compiler; another one's bitcode it cannot read.
const LLVM: &str = "LLVM version: 22.";

/// An offline machine fails at once; a network that swallows packets must not hold setup for long.
const DOWNLOAD_SECONDS: &str = "60";

/// Where Debian's compiler lives, and the packages it and its source come in.
const DEBIAN_SYSROOT: &str = "/usr";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What keeps `gateway-bpf` from compiling for BPF.
pub(super) fn missing() -> Option<String> {
    if command::find("rustup").is_none() {
        return Some("rustup is not installed; see https://rustup.rs".to_owned());
    }
    let Some(sysroot) = sysroot_of(NAME) else {
        return Some(format!("no toolchain is linked as {NAME}"));
    };
    unfit(&sysroot)
}

/// Links the first toolchain that fits: one at hand, one completed by rustup, Debian's.
pub(super) fn install() -> Result<String> {
    if command::find("rustup").is_none() {
        bail!("rustup is not installed; see https://rustup.rs");
    }
    if let Some(sysroot) = installed().into_iter().find(|sysroot| unfit(sysroot).is_none()) {
        return link(&sysroot);
    }
    for toolchain in [active(), "nightly".to_owned()] {
        add_source(&toolchain);
        if let Some(sysroot) = sysroot_of(&toolchain).filter(|sysroot| unfit(sysroot).is_none()) {
            return link(&sysroot);
        }
    }
    println!("setup: no rustup toolchain fits; taking Debian's");
    require_root("installing Debian's Rust")?;
    packages::apt_install(&DEBIAN_PACKAGES)?;
    match unfit(Path::new(DEBIAN_SYSROOT)) {
        None => link(Path::new(DEBIAN_SYSROOT)),
        Some(why) => bail!(
            "no toolchain fits: Debian's: {why}; with a network: rustup toolchain install nightly --component rust-src"
        ),
    }
}

/// Every installed toolchain's sysroot.
fn installed() -> Vec<PathBuf> {
    let list = command::output("rustup", &["toolchain", "list"]).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let linked = names.filter(|name| *name != NAME).filter_map(sysroot_of);
    linked.chain([PathBuf::from(DEBIAN_SYSROOT)]).collect()
}

/// The toolchain of this build, which is the one most likely to be complete.
fn active() -> String {
    let shown = command::output("rustup", &["show", "active-toolchain"]).unwrap_or_default();
    shown.split_whitespace().next().unwrap_or("stable").to_owned()
}

fn sysroot_of(toolchain: &str) -> Option<PathBuf> {
    let sysroot = command::output("rustup", &["run", toolchain, "rustc", "--print", "sysroot"])?;
    Some(PathBuf::from(sysroot.trim()))
}

/// Why the toolchain at `sysroot` cannot build for BPF; `None` if it can.
fn unfit(sysroot: &Path) -> Option<String> {
    let compiler = sysroot.join("bin/rustc");
    let Some(version) = command::output(&compiler.to_string_lossy(), &["-vV"]) else {
        return Some(format!("{} does not run", compiler.display()));
    };
    if !version.contains(LLVM) {
        let found = version.lines().find(|line| line.starts_with("LLVM")).unwrap_or("no LLVM");
        return Some(format!("{} has {found}, needed is {LLVM}x", compiler.display()));
    }
    // `-Z build-std` reads the lock file beside the crates.
    let library = sysroot.join("lib/rustlib/src/rust/library");
    let complete = library.join("core").exists() && library.join("Cargo.lock").exists();
    (!complete).then(|| format!("{} is without the source of core", sysroot.display()))
}

/// Asks rustup for the source. Failing is no error: offline, the next way is tried.
fn add_source(toolchain: &str) {
    println!("setup: asking rustup for the source of {toolchain}");
    let arguments = ["component", "add", "rust-src", "--toolchain", toolchain];
    let mut bounded = Command::new("timeout");
    bounded.arg(DOWNLOAD_SECONDS).arg("rustup").args(arguments);
    match bounded.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let why = text.lines().find(|line| line.contains("error")).unwrap_or("no answer");
            println!("setup: rustup could not: {}", why.trim());
        }
        Err(error) => println!("setup: rustup did not start: {error}"),
    }
}

fn link(sysroot: &Path) -> Result<String> {
    let mut link = Command::new("rustup");
    command::run(link.args(["toolchain", "link", NAME]).arg(sysroot))?;
    Ok(format!("linked {} as {NAME}", sysroot.display()))
}
