//! Users and capabilities: what a hole in a parser must not find.

use std::io;

use caps::CapSet;
use nix::{
    sys::prctl,
    unistd::{getegid, geteuid, getgid, getgroups, getuid},
};

use super::SandboxError;

/// Shown by `ps` and `top`.
const NAME: &std::ffi::CStr = c"gateway-proxy";

pub(super) fn refuse_root() -> Result<(), SandboxError> {
    let users = [getuid(), geteuid()];
    let groups = [getgid(), getegid()];
    let supplementary =
        getgroups().map_err(|errno| system("reading the proxy's groups", errno.into()))?;
    let root = users.iter().any(|user| user.is_root())
        || groups.iter().chain(&supplementary).any(|group| group.as_raw() == 0);
    if root { Err(SandboxError::Root) } else { Ok(()) }
}

/// Landlock and capabilities are a thread's own: one that started earlier would stay outside.
pub(super) fn refuse_threads() -> Result<(), SandboxError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|source| system("counting the proxy's threads in /proc", source))?
        .count();
    if threads == 1 { Ok(()) } else { Err(SandboxError::Threads { threads }) }
}

/// Empties every capability set and shuts the ways to new ones. Says whether the bounding set is
/// empty too, which takes a privilege to bring about.
pub(super) fn give_up() -> Result<bool, SandboxError> {
    prctl::set_no_new_privs().map_err(|errno| system("setting no-new-privs", errno.into()))?;
    // No core file and no /proc/PID/mem for others of this user: keys are in memory.
    prctl::set_dumpable(false).map_err(|errno| system("clearing dumpable", errno.into()))?;
    prctl::set_name(NAME).map_err(|errno| system("naming the process", errno.into()))?;
    for (set, name) in [
        (CapSet::Ambient, "ambient"),
        (CapSet::Inheritable, "inheritable"),
        (CapSet::Permitted, "permitted"),
    ] {
        caps::clear(None, set)
            .map_err(|source| SandboxError::Capabilities { set: name, source })?;
        if !is_empty(set, name)? {
            return Err(SandboxError::CapabilitiesLeft { set: name });
        }
    }
    if !is_empty(CapSet::Effective, "effective")? {
        return Err(SandboxError::CapabilitiesLeft { set: "effective" });
    }
    is_empty(CapSet::Bounding, "bounding")
}

fn is_empty(set: CapSet, name: &'static str) -> Result<bool, SandboxError> {
    caps::read(None, set)
        .map(|capabilities| capabilities.is_empty())
        .map_err(|source| SandboxError::Capabilities { set: name, source })
}

fn system(doing: &'static str, source: io::Error) -> SandboxError {
    SandboxError::System { doing, source }
}
