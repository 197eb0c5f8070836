//! Users and capabilities: what a hole in a parser must not find.

use std::os::fd::BorrowedFd;

use caps::CapSet;
use nix::{
    errno::Errno,
    sys::{prctl, stat::fstat},
    unistd::{Gid, Uid, geteuid, getuid, setgroups, setresgid, setresuid, setuid},
};

use super::SandboxError;

/// Shown by `ps` and `top`.
const NAME: &std::ffi::CStr = c"gateway-proxy";

/// Gives up root for the account that owns `channel`. Without root there is nothing to change.
pub(super) fn become_owner(channel: BorrowedFd<'_>) -> Result<(), SandboxError> {
    if !geteuid().is_root() && !getuid().is_root() {
        return Ok(());
    }
    let owner = fstat(channel).map_err(failed("asking who owns the channel to the guard"))?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    if uid.is_root() || gid.as_raw() == 0 {
        return Err(SandboxError::Root { uid: uid.as_raw(), gid: gid.as_raw() });
    }
    clear(CapSet::Bounding, "bounding")?;
    setgroups(&[]).map_err(failed("leaving root's groups"))?;
    setresgid(gid, gid, gid).map_err(failed("changing to the proxy's group"))?;
    setresuid(uid, uid, uid).map_err(failed("changing to the proxy's user"))?;
    // A kernel that says yes and does nothing would be the end of the whole design.
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(SandboxError::Root { uid: 0, gid: 0 });
    }
    Ok(())
}

/// Landlock and capabilities are a thread's own: one that started earlier would stay outside.
pub(super) fn refuse_threads() -> Result<(), SandboxError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|source| SandboxError::System { doing: "counting the proxy's threads", source })?
        .count();
    if threads == 1 { Ok(()) } else { Err(SandboxError::Threads { threads }) }
}

/// Empties every capability set and shuts the ways to new ones. Says whether the bounding set is
/// empty too, which takes a privilege to bring about.
pub(super) fn give_up() -> Result<bool, SandboxError> {
    prctl::set_no_new_privs().map_err(failed("setting no-new-privs"))?;
    // No core file and no /proc/PID/mem for others of this user: keys are in memory.
    prctl::set_dumpable(false).map_err(failed("clearing dumpable"))?;
    prctl::set_name(NAME).map_err(failed("naming the process"))?;
    clear(CapSet::Ambient, "ambient")?;
    clear(CapSet::Inheritable, "inheritable")?;
    clear(CapSet::Permitted, "permitted")?;
    if !is_empty(CapSet::Effective, "effective")? {
        return Err(SandboxError::CapabilitiesLeft { set: "effective" });
    }
    is_empty(CapSet::Bounding, "bounding")
}

fn clear(set: CapSet, name: &'static str) -> Result<(), SandboxError> {
    caps::clear(None, set).map_err(|source| SandboxError::Capabilities { set: name, source })?;
    if is_empty(set, name)? { Ok(()) } else { Err(SandboxError::CapabilitiesLeft { set: name }) }
}

fn is_empty(set: CapSet, name: &'static str) -> Result<bool, SandboxError> {
    caps::read(None, set)
        .map(|capabilities| capabilities.is_empty())
        .map_err(|source| SandboxError::Capabilities { set: name, source })
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> SandboxError {
    move |errno| SandboxError::System { doing, source: errno.into() }
}
