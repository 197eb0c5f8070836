//! bpf-linker, in the one version that reads this toolchain's LLVM.

use anyhow::Result;

use crate::command;

/// 0.11 and later want LLVM 23 and its headers.
const VERSION: &str = "0.10.3";

/// What is wrong with the linker in PATH.
pub(super) fn missing() -> Option<String> {
    match command::output("bpf-linker", &["--version"]) {
        None => Some("not installed".to_owned()),
        Some(found) if found.trim().ends_with(VERSION) => None,
        Some(found) => Some(format!("{} is installed, needed is {VERSION}", found.trim())),
    }
}

/// Builds it from the registry.
pub(super) fn install() -> Result<String> {
    let package = format!("bpf-linker@{VERSION}");
    // `--force` replaces another version; it changes nothing where there is none.
    command::run(command::cargo().args(["install", &package, "--locked", "--force"]))?;
    Ok(format!("installed {VERSION}"))
}
