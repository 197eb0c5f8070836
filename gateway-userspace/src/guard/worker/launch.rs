//! Starts a proxy: this very program again, with nothing inherited but the channel (descriptor 3)
//! and the standard streams, and an empty environment.

#![expect(unsafe_code, reason = "descriptors are arranged between fork and exec")]

use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use nix::{libc, unistd::fchown};

use super::process::Process;
use crate::{guard::accounts::Accounts, ipc::Channel};

/// Where the proxy finds its end of the channel.
const CHANNEL: RawFd = 3;

/// The running program itself, also when its file was replaced: both sides of one protocol.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// Starts a proxy that will become `accounts.proxy`. `log` is the filter of its log.
pub(super) fn launch(accounts: &Accounts, log: &str) -> io::Result<(Process, Channel)> {
    let (ours, theirs) = Channel::pair().map_err(io::Error::other)?;
    if let Some((uid, gid)) = accounts.proxy {
        // The sandbox reads from it whom to become.
        fchown(&theirs, Some(uid), Some(gid))?;
    }
    let mut command = Command::new(PROGRAM);
    command
        .arg0("gateway")
        .args(["--log", log, "proxy-worker"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        // Ctrl-C on the terminal is for the guard, who drains.
        .process_group(0);
    pass_channel(&mut command, &theirs);
    let child = command.spawn()?;
    drop(theirs);
    Ok((Process::child(child)?, ours))
}

fn pass_channel(command: &mut Command, theirs: &OwnedFd) {
    let theirs = theirs.as_raw_fd();
    let arrange = move || -> io::Result<()> {
        let placed = if theirs == CHANNEL {
            // SAFETY: a system call on a number that is open, allowed between fork and exec.
            unsafe { libc::fcntl(CHANNEL, libc::F_SETFD, 0) }
        } else {
            // SAFETY: as above; `theirs` stays open until the child was spawned. `dup2` clears
            // close-on-exec.
            unsafe { libc::dup2(theirs, CHANNEL) }
        };
        if placed < 0 {
            return Err(io::Error::last_os_error());
        }
        // Everything of ours is closed on exec already; this holds for what libraries opened.
        let (first, last) = (CHANNEL.unsigned_abs() + 1, u32::MAX);
        // SAFETY: as above.
        let closed =
            unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
        if closed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: `arrange` allocates nothing and takes no lock.
    unsafe { command.pre_exec(arrange) };
}
