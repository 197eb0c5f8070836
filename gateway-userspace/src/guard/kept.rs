//! What stays open when the guard goes over to another program in its own process: the listening
//! sockets above all, so that nothing that waits in them is lost, whatever happens to the proxy
//! meanwhile. The next program is told their numbers in its environment, since one of before does
//! not look there.

#![expect(
    unsafe_code,
    reason = "a number in the environment is a descriptor only when it is owned"
)]

use std::{
    io,
    net::SocketAddr,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::Command,
    sync::OnceLock,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::listeners::{Handed, Listening};
use crate::ipc::message::ListenerRole;

/// The variable. Its form only ever gets more keys.
pub(crate) const VARIABLE: &str = "GATEWAY_KEPT";

/// As many descriptors as are looked at.
const MOST: usize = 8192;

/// What an earlier program of this process left open.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) lock: Option<OwnedFd>,
    pub(super) control: Option<OwnedFd>,
    pub(super) sockets: Vec<Handed>,
    /// Proxies that drain, children of this process.
    pub(super) draining: Vec<u32>,
}

/// What the next program is to have of the guard's mind.
#[derive(Debug)]
pub(super) struct Holdings<'a> {
    pub(super) listening: &'a [Listening],
    pub(super) draining: Vec<u32>,
}

/// The same by numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Numbers {
    /// Of which process: a child that inherits the variable has none of it.
    pid: u32,
    lock: Option<RawFd>,
    control: Option<RawFd>,
    sockets: Vec<(RawFd, SocketAddr, ListenerRole)>,
    draining: Vec<u32>,
}

/// The file this program was started from, also if another one is there by now. The first call
/// decides, so the guard makes it at its start.
pub(super) fn program() -> io::Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = PROGRAM.get() {
        return Ok(known.clone());
    }
    let found = std::env::current_exe()?;
    Ok(PROGRAM.get_or_init(|| found).clone())
}

impl Kept {
    /// Takes what `text`, the variable's value, names. To be called once, before descriptors are
    /// opened: a number that is named here must not be another one's by then.
    pub(super) fn take(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let numbers = match serde_json::from_str::<Numbers>(text) {
            Ok(numbers) if numbers.pid == std::process::id() => numbers,
            Ok(_) => return Self::default(),
            Err(error) => {
                warn!(%error, "what the earlier program left cannot be read; the sockets come from the proxy");
                return Self::default();
            }
        };
        let mut seen = Vec::new();
        let mut own = |number: RawFd| {
            let fresh = seen.len() < MOST && !seen.contains(&number);
            seen.push(number);
            own(number).filter(|_| fresh)
        };
        let (lock, control) = (numbers.lock.and_then(&mut own), numbers.control.and_then(&mut own));
        let sockets = numbers.sockets.into_iter().filter_map(|(number, address, role)| {
            let handed = Handed::checked(address, role, own(number)?);
            handed.inspect_err(|why| warn!(%address, %why, "a kept socket")).ok()
        });
        let sockets = sockets.collect();
        Self { lock, control, sockets, draining: numbers.draining }
    }
}

/// Goes over to the program of this file, with this process's arguments. Comes back only with an
/// error, and everything is as it was.
pub(super) fn go_over(
    holdings: &Holdings<'_>,
    lock: BorrowedFd<'_>,
    control: BorrowedFd<'_>,
) -> io::Error {
    use std::os::fd::AsFd as _;
    let numbers = Numbers {
        pid: std::process::id(),
        lock: Some(lock.as_raw_fd()),
        control: Some(control.as_raw_fd()),
        sockets: holdings
            .listening
            .iter()
            .map(|one| (one.as_fd().as_raw_fd(), one.address, one.role))
            .collect(),
        draining: holdings.draining.clone(),
    };
    let text = match serde_json::to_string(&numbers) {
        Ok(text) => text,
        Err(error) => return error.into(),
    };
    let program = match program() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let kept = || holdings.listening.iter().map(|one| one.as_fd()).chain([lock, control]);
    for descriptor in kept() {
        if let Err(errno) = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty())) {
            return errno.into();
        }
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).env(VARIABLE, text).exec();
    for descriptor in kept() {
        // It was open a moment ago.
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok();
    }
    error
}

/// An open descriptor behind the standard ones that survived an exec, closed with the next.
fn own(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: borrowed for one call, which tells whether the number is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = FdFlag::from_bits_retain(fcntl(borrowed, FcntlArg::F_GETFD).ok()?);
    // What this program opened itself is closed on exec, and is not to be taken from it.
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return None;
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: it is open, came through exec and is marked as taken since, so that nothing else in
    // this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn takes_the_sockets_it_was_left_and_nothing_else() {
        let left = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = left.local_addr().unwrap();
        let number = OwnedFd::from(left);
        fcntl(&number, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let raw = std::os::fd::IntoRawFd::into_raw_fd(number);
        let own_file = tempfile::tempfile().unwrap();
        let numbers = Numbers {
            pid: std::process::id(),
            lock: Some(own_file.as_raw_fd()),
            control: Some(9999),
            sockets: vec![
                (raw, address, ListenerRole::Public),
                (raw, address, ListenerRole::Public),
                (1, address, ListenerRole::Public),
            ],
            draining: vec![7],
        };
        let text = serde_json::to_string(&numbers).unwrap();
        let kept = Kept::take(Some(&text));
        assert_eq!(
            (kept.sockets.len(), kept.lock.is_some(), kept.control.is_some()),
            (1, false, false)
        );
        assert_eq!(kept.draining, [7]);
        let flags = fcntl(kept.sockets[0].socket.as_fd(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        assert!(Kept::take(Some(&text)).sockets.is_empty(), "taken twice");
    }

    #[test]
    fn another_process_and_nonsense_leave_nothing() {
        let numbers = Numbers { pid: 1, draining: vec![7], ..Numbers::default() };
        let text = serde_json::to_string(&numbers).unwrap();
        for text in [Some(text.as_str()), Some("nonsense"), None] {
            let kept = Kept::take(text);
            assert!(kept.draining.is_empty() && kept.sockets.is_empty());
        }
        // A later version says more.
        let text = format!("{{\"pid\":{},\"more\":1,\"draining\":[5]}}", std::process::id());
        assert_eq!(Kept::take(Some(&text)).draining, [5]);
    }
}
