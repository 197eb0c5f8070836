//! What the system must know: the proxy's user, the administrators' group, and bpffs.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use super::require_root;
use crate::command;

/// Members may use the control socket.
const GROUP: &str = "gateway";

/// Every stranger's byte is parsed as this user. Never a member of `GROUP`.
const USER: &str = "gateway-proxy";

const BPFFS: &str = "/sys/fs/bpf";

/// The user or group that does not exist.
pub(super) fn users_missing() -> Option<String> {
    let absent: Vec<_> = [("group", GROUP), ("passwd", USER)]
        .into_iter()
        .filter(|(database, name)| command::output("getent", &[database, name]).is_none())
        .map(|(_, name)| name)
        .collect();
    (!absent.is_empty()).then(|| format!("missing: {}", absent.join(", ")))
}

/// Creates both, without login and without a home.
pub(super) fn create_users() -> Result<String> {
    require_root("creating users")?;
    if command::output("getent", &["group", GROUP]).is_none() {
        command::run(Command::new("groupadd").args(["--system", GROUP]))?;
    }
    if command::output("getent", &["passwd", USER]).is_none() {
        let mut add = Command::new("useradd");
        add.args(["--system", "--user-group", "--no-create-home"]);
        command::run(add.args([
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            USER,
        ]))?;
    }
    Ok(format!("group {GROUP} and user {USER} exist"))
}

/// Why nothing can be pinned.
pub(super) fn bpffs_missing() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    });
    (!mounted).then(|| format!("not mounted at {BPFFS}"))
}

/// Mounts it until the next boot; systemd does so on every boot by itself.
pub(super) fn mount_bpffs() -> Result<String> {
    require_root("mounting bpffs")?;
    if !fs::exists(BPFFS)? {
        bail!("{BPFFS} does not exist: the kernel is without BPF, or /sys is not mounted");
    }
    command::run(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]))?;
    Ok(format!("mounted at {BPFFS}"))
}
