//! Programs the lab runs, and the Debian packages they come in.

use std::process::Command;

use anyhow::{Result, bail};

use super::require_root;
use crate::command;

/// Program and package. Only what a test, the demo or a build really runs.
const PROGRAMS: [(&str, &str); 5] = [
    ("cc", "gcc"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("mount", "mount"),
    ("useradd", "passwd"),
];

/// The programs that are not there.
pub(super) fn missing() -> Option<String> {
    let names: Vec<_> = missing_of(&PROGRAMS).map(|(program, _)| program).collect();
    (!names.is_empty()).then(|| format!("missing: {}", names.join(", ")))
}

/// Installs their packages.
pub(super) fn install() -> Result<String> {
    require_root("installing packages")?;
    let packages = absent(&PROGRAMS);
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

/// Packages of those programs that are not there.
pub(super) fn absent<'a>(wanted: &[(&'a str, &'a str)]) -> Vec<&'a str> {
    missing_of(wanted).map(|(_, package)| package).collect()
}

fn missing_of<'a, 'b>(
    wanted: &'b [(&'a str, &'a str)],
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'b> {
    wanted.iter().copied().filter(|(program, _)| command::find(program).is_none())
}
