//! The walls around the process that parses strangers' bytes: no capability, no new privilege, no
//! file but what name resolution reads, no port of its own, and only the system calls it needs.
//!
//! Started by a guard that is root, the proxy becomes the owner of the channel it was given: the
//! guard names the account that way, and nothing has to be read to learn it. Every step that
//! fails ends the start.

mod files;
mod limits;
mod privileges;
mod syscalls;

use std::{fmt, os::fd::BorrowedFd};

/// What holds, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub uid: u32,
    pub gid: u32,
    /// False without root: there an unprivileged user's bounding set stays, useless under
    /// no-new-privs.
    pub bounding_empty: bool,
    /// The landlock ABI in force, and whether all of what was asked for is.
    pub landlock: String,
    /// Open files at most.
    pub files: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, gid, bounding_empty, landlock, files } = self;
        let bounding = if *bounding_empty { "empty" } else { "kept" };
        write!(
            f,
            "uid {uid}, gid {gid}, no capabilities (bounding set {bounding}), no new privileges, \
             seccomp on, landlock {landlock}, {files} files"
        )
    }
}

/// The step that failed. The proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(
        "the proxy would run as root: the channel to its guard belongs to uid {uid}, gid {gid}"
    )]
    Root { uid: u32, gid: u32 },
    #[error("the proxy has {threads} threads before its sandbox stands")]
    Threads { threads: usize },
    #[error("{doing}")]
    System {
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("giving up the {set} capabilities")]
    Capabilities {
        set: &'static str,
        #[source]
        source: caps::errors::CapsError,
    },
    #[error("the proxy still holds capabilities ({set})")]
    CapabilitiesLeft { set: &'static str },
    #[error("closing the file system with landlock")]
    Landlock {
        #[source]
        source: Box<landlock::RulesetError>,
    },
    #[error("building the system call filter")]
    Filter {
        #[source]
        source: seccompiler::BackendError,
    },
    #[error("installing the system call filter")]
    Seccomp {
        #[source]
        source: seccompiler::Error,
    },
}

/// Shuts this process in, for good. Call it first: before threads, and before a stranger's byte
/// or the configuration is parsed. `channel` leads to the guard.
pub fn enter(channel: BorrowedFd<'_>) -> Result<Report, SandboxError> {
    privileges::refuse_threads()?;
    let files = limits::set()?;
    privileges::become_owner(channel)?;
    let bounding_empty = privileges::give_up()?;
    let landlock = files::close()?;
    syscalls::filter()?;
    Ok(Report {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        bounding_empty,
        landlock,
        files,
    })
}
