//! Landlock: nothing may be written, run or listed, no port bound, no abstract socket reached, no
//! foreign process signalled; readable is what `getaddrinfo` reads, and nothing else.
//!
//! Not covered: connecting to path sockets (landlock ABI 9), because the proxy has to find its
//! guard again; the permissions of those sockets decide. A rule sticks to the file that a path
//! named at start, so a proxy that outlives a replaced `/etc/resolv.conf` wants a restart.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::prctl;

use super::SandboxError;

/// The newest ABI whose rights are asked for; an older kernel gives what it has.
const ASKED: ABI = ABI::V8;

/// What the resolver of the C library reads.
const FILES: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
];

/// Where its modules (`libnss_*.so`) lie.
const LIBRARIES: &[&str] = &["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Closes the file system and returns what is in force.
pub(super) fn close() -> Result<String, SandboxError> {
    prctl::set_no_new_privs().map_err(|errno| SandboxError::System {
        doing: "setting no-new-privs",
        source: errno.into(),
    })?;
    let status =
        restrict().map_err(|source| SandboxError::Landlock { source: Box::new(source) })?;
    Ok(described(&status.landlock, &status.ruleset))
}

fn restrict() -> Result<landlock::RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile;
    Ruleset::default()
        .handle_access(AccessFs::from_all(ASKED))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(ASKED))?
        .create()?
        .add_rules(path_beneath_rules(resolver_files(), read))?
        .add_rules(path_beneath_rules(LIBRARIES, read))?
        .restrict_self()
}

/// The files, and the folder of a `resolv.conf` that a service keeps elsewhere and replaces.
fn resolver_files() -> Vec<PathBuf> {
    let kept = std::fs::canonicalize("/etc/resolv.conf").ok();
    let folder = kept.as_deref().and_then(service_folder);
    let files = FILES.iter().map(PathBuf::from);
    files.chain(folder.map(Path::to_owned)).collect()
}

/// A folder below `/run`; never `/run` itself, with what every service keeps there.
fn service_folder(file: &Path) -> Option<&Path> {
    let run = Path::new("/run");
    file.parent().filter(|folder| folder.starts_with(run) && *folder != run)
}

fn described(landlock: &LandlockStatus, ruleset: &RulesetStatus) -> String {
    let enforced = match ruleset {
        RulesetStatus::FullyEnforced => "in full",
        RulesetStatus::PartiallyEnforced => "in part",
        RulesetStatus::NotEnforced => "not at all",
    };
    match landlock {
        LandlockStatus::Available { effective_abi, .. } => {
            format!("ABI {effective_abi} {enforced}")
        }
        LandlockStatus::NotEnabled => "not enabled in this kernel".to_owned(),
        LandlockStatus::NotImplemented => "not in this kernel".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_resolver_is_opened_and_all_of_run_is_not() {
        for (file, folder) in [
            ("/run/systemd/resolve/stub-resolv.conf", Some("/run/systemd/resolve")),
            ("/run/resolv.conf", None),
            ("/etc/resolv.conf", None),
        ] {
            assert_eq!(service_folder(Path::new(file)), folder.map(Path::new));
        }
    }
}
