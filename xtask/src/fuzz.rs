//! `cargo xtask fuzz`: each target for a while, on nightly, with cargo-fuzz.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::command;

/// Runs one target or all; a crash ends the run and names its file.
pub(crate) fn run(seconds: u32, only: Option<&str>) -> Result<()> {
    if command::output("cargo", &["fuzz", "--version"]).is_none() {
        bail!("cargo-fuzz is missing; run: cargo install cargo-fuzz@0.13.2 --locked");
    }
    if command::output("rustup", &["run", "nightly", "rustc", "-vV"]).is_none() {
        bail!("the nightly toolchain is missing; run: rustup toolchain install nightly");
    }
    let targets = targets()?;
    if let Some(name) = only
        && !targets.iter().any(|target| target == name)
    {
        bail!("no fuzz target {name}; there are {}", targets.join(", "));
    }
    for target in targets.iter().filter(|target| only.is_none_or(|name| name == *target)) {
        fuzz(target, seconds)?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let folder = command::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        if let Some(stem) = entry?.path().file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let mut command = Command::new("rustup");
    command.current_dir(command::root()).args(["run", "nightly", "cargo", "fuzz", "run", target]);
    // 64 KiB: the largest input any of the parsers takes.
    let limits = [format!("-max_total_time={seconds}"), "-max_len=65536".to_owned()];
    command::run(command.arg("--").args(limits))
}
