//! `cargo xtask setup`: finds or installs what building and testing need, and says what it did.

mod linker;
mod node;
mod packages;
mod python;
mod system;
mod toolchain;

use std::{fs, os::unix::fs::MetadataExt};

use anyhow::{Context, Result, bail};

use crate::command;

/// One thing that has to be there.
struct Part {
    name: &'static str,
    /// What is missing; `None` if all is there. Quick, and changes nothing.
    missing: fn() -> Option<String>,
    /// Brings it about, says how.
    install: fn() -> Result<String>,
}

const TOOLCHAIN: Part =
    Part { name: "BPF toolchain", missing: toolchain::missing, install: toolchain::install };
const LINKER: Part =
    Part { name: "bpf-linker", missing: linker::missing, install: linker::install };
const LAB: Part = Part { name: "programs", missing: packages::missing, install: packages::install };
const EMULATOR: Part = Part {
    name: "emulator",
    missing: packages::emulator_missing,
    install: packages::install_emulator,
};

/// In this order: what a later part needs comes first.
const PARTS: [Part; 7] = [
    LAB,
    TOOLCHAIN,
    LINKER,
    Part { name: "python", missing: python::missing, install: python::install },
    Part { name: "provider", missing: node::missing, install: node::install },
    Part { name: "users", missing: system::users_missing, install: system::create_users },
    Part { name: "bpffs", missing: system::bpffs_missing, install: system::mount_bpffs },
];

/// Everything, or with `check` a report of what is missing.
pub(crate) fn run(check: bool) -> Result<()> {
    if check { report() } else { PARTS.iter().try_for_each(complete) }
}

/// What `cargo xtask kernels` needs. Not part of [`run`]: an emulator is 200 MB that nothing else
/// asks for.
pub(crate) fn for_kernels() -> Result<()> {
    [TOOLCHAIN, LINKER, LAB, EMULATOR].iter().try_for_each(complete)
}

/// What a build needs; nothing that tests alone need.
pub(crate) fn toolchain_only() -> Result<()> {
    [TOOLCHAIN, LINKER].iter().try_for_each(complete)
}

/// The toolchain that compiles for BPF, as rustup knows it.
pub(crate) const BPF_TOOLCHAIN: &str = toolchain::NAME;

/// Installs the packages of programs that are not there, and says so; quick if all are.
pub(crate) fn programs(name: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let absent: Vec<_> = packages::absent(wanted).map(|(_, package)| package).collect();
    if absent.is_empty() {
        println!("setup: {name:<14} ok");
        return Ok(());
    }
    println!("setup: {name:<14} installing {}", absent.join(", "));
    require_root("installing packages")?;
    packages::apt_install(&absent)
}

/// Components of the toolchain in use, such as clippy.
pub(crate) fn components(names: &[&str]) -> Result<()> {
    for name in names {
        let program = if *name == "rustfmt" { "fmt" } else { name };
        if command::output("cargo", &[program, "--version"]).is_none() {
            let mut add = std::process::Command::new("rustup");
            command::run(add.args(["component", "add", name]))
                .with_context(|| format!("{name} is missing from the Rust toolchain"))?;
        }
    }
    Ok(())
}

/// Whether this process may install and create things.
fn require_root(what: &str) -> Result<()> {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        bail!("{what} needs root; run `cargo xtask setup` as root once");
    }
    Ok(())
}

fn complete(part: &Part) -> Result<()> {
    let Some(what) = (part.missing)() else {
        println!("setup: {:<14} ok", part.name);
        return Ok(());
    };
    println!("setup: {:<14} {what}", part.name);
    let done = (part.install)().with_context(|| format!("setting up {}", part.name))?;
    if let Some(what) = (part.missing)() {
        bail!("{}: {done}, and yet: {what}", part.name);
    }
    println!("setup: {:<14} {done}", part.name);
    Ok(())
}

fn report() -> Result<()> {
    let mut incomplete = 0;
    for part in &PARTS {
        let what = (part.missing)();
        incomplete += usize::from(what.is_some());
        println!("setup: {:<14} {}", part.name, what.unwrap_or_else(|| "ok".to_owned()));
    }
    if incomplete > 0 {
        bail!("{incomplete} of {} parts are incomplete; run: cargo xtask setup", PARTS.len());
    }
    Ok(())
}
