//! A proxy process, held by a pidfd: its number may be given to another, the descriptor cannot.

#![expect(unsafe_code, reason = "pidfd_open and pidfd_send_signal have no safe wrapper")]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Child,
    sync::Arc,
};

use nix::{
    libc,
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
};
use tokio::io::unix::AsyncFd;

use crate::ipc::descriptors::watch;

/// A running or ended process.
#[derive(Debug)]
pub(in crate::guard) struct Process {
    pid: u32,
    descriptor: Arc<AsyncFd<OwnedFd>>,
    /// Ours to reap; `None` for an adopted one.
    child: Option<Child>,
}

/// Resolves when the process has ended.
#[derive(Debug, Clone)]
pub(in crate::guard) struct End(Arc<AsyncFd<OwnedFd>>);

impl Process {
    /// A child of this process.
    pub(super) fn child(child: Child) -> io::Result<Self> {
        // Not reaped yet, so that the number is still its own.
        let watched = Self::adopted(child.id())?;
        Ok(Self { child: Some(child), ..watched })
    }

    /// Someone else's child.
    pub(in crate::guard) fn adopted(pid: u32) -> io::Result<Self> {
        let descriptor = Arc::new(watch(open(pid)?)?);
        Ok(Self { pid, descriptor, child: None })
    }

    pub(in crate::guard) fn pid(&self) -> u32 {
        self.pid
    }

    pub(in crate::guard) fn end(&self) -> End {
        End(Arc::clone(&self.descriptor))
    }

    /// Ends it without asking.
    pub(in crate::guard) fn kill(&self) {
        let descriptor = self.descriptor.get_ref().as_raw_fd();
        // SAFETY: an open pidfd, a signal without information. A process that is gone is an
        // error of no consequence.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                descriptor,
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
    }

    /// How an ended process ended, and the last of it.
    pub(in crate::guard) fn reap(&mut self) -> String {
        let status = match &mut self.child {
            Some(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            None => self.reap_adopted(),
        };
        status.unwrap_or_else(|| "ended".to_owned())
    }

    /// After an upgrade in place a proxy of the earlier program is a child of this process still.
    fn reap_adopted(&self) -> Option<String> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        match waitid(Id::PIDFd(self.descriptor.get_ref().as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => Some(format!("exit status: {code}")),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(format!("signal: {signal}")),
            // Not ours to wait for.
            Ok(_) | Err(_) => None,
        }
    }
}

impl End {
    pub(in crate::guard) async fn reached(&self) {
        // A pidfd is readable once its process has ended, and stays so.
        drop(self.0.readable().await);
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a number and returns a descriptor or an error; nothing is shared.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(descriptor) {
        // SAFETY: the kernel made it for this call and it is closed on exec.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
