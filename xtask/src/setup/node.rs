//! The `OpenID` provider that tokens are tested with, from npm, in a folder of its own under `target/`:
//! an independent reading of what tokens, key sets and proofs are.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::packages;
use crate::{build, command};

/// Pinned: what it says is lawful decides what passes.
const PACKAGE: &str = "oidc-provider@9.13.3";

fn folder() -> PathBuf {
    build::target().join("openid")
}

pub(super) fn missing() -> Option<String> {
    let there = folder().join("node_modules/oidc-provider/package.json").is_file()
        && command::find("node").is_some();
    (!there).then(|| format!("missing: {PACKAGE}"))
}

pub(super) fn install() -> Result<String> {
    if command::find("npm").is_none() {
        packages::apt_install(&["nodejs", "npm"])?;
    }
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // Without one npm would look for a package further up, and find a stranger's.
    fs::write(folder.join("package.json"), "{ \"private\": true }\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]);
    command::run(npm.current_dir(&folder))?;
    Ok(format!("installed {PACKAGE}"))
}
