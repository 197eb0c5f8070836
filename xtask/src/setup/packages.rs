//! Programs that the lab runs, and the Debian packages they come in.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use super::require_root;
use crate::command;

/// Program and package.
type Program = (&'static str, &'static str);

/// Only what a test, the demo or a build really runs.
const PROGRAMS: [Program; 8] = [
    ("cc", "gcc"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("mount", "mount"),
    ("useradd", "passwd"),
    ("pebble", "pebble"),
    ("dnsmasq", "dnsmasq-base"),
    // Not a program, but a folder of rules.
    ("/usr/share/modsecurity-crs/rules", "modsecurity-crs"),
];

/// What boots other kernels and what is in their image.
const EMULATOR: [Program; 7] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setpriv", "util-linux"),
    ("busybox", "busybox-static"),
    ("ldd", "libc-bin"),
    ("strip", "binutils"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// The programs that are not there.
pub(super) fn missing() -> Option<String> {
    missing_of(&PROGRAMS)
}

/// Installs their packages.
pub(super) fn install() -> Result<String> {
    install_of(&PROGRAMS)
}

pub(super) fn emulator_missing() -> Option<String> {
    missing_of(&EMULATOR)
}

pub(super) fn install_emulator() -> Result<String> {
    install_of(&EMULATOR)
}

fn missing_of(programs: &[Program]) -> Option<String> {
    let names: Vec<_> = absent(programs).map(|(program, _)| program).collect();
    (!names.is_empty()).then(|| format!("missing: {}", names.join(", ")))
}

fn install_of(programs: &[Program]) -> Result<String> {
    require_root("installing packages")?;
    let packages: Vec<_> = absent(programs).map(|(_, package)| package).collect();
    apt_install(&packages)?;
    Ok(format!("installed {}", packages.join(", ")))
}

/// Installs Debian packages, reading the package lists anew first.
pub(super) fn apt_install(packages: &[&str]) -> Result<()> {
    if command::find("apt-get").is_none() {
        bail!("there is no apt-get here; install by hand: {}", packages.join(" "));
    }
    command::run(apt().arg("update"))?;
    command::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
    apt
}

pub(super) fn absent<'a>(
    programs: &[(&'a str, &'a str)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let there = |program: &str| Path::new(program).is_dir() || command::find(program).is_some();
    programs.iter().copied().filter(move |(program, _)| !there(program))
}
