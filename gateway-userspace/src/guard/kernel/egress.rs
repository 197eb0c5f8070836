//! The program on the way out: it sees the datagrams and pings whose answers the closed policy, and
//! the row of amplifiers, are to let in. A TCX link (Linux 6.6), pinned like the filter's, so that
//! it outlives this process. Where there is none the rest works: TCP, and UDP of connected sockets.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use super::{
    attach,
    filter::KernelError,
    pins::{self, Folder},
    sys,
};
use crate::guard::chain;

/// `BPF_TCX_EGRESS`
const TCX_EGRESS: u32 = 47;

/// What became of one interface.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) name: String,
    /// `None` if what this host sends by it is seen, else why not.
    pub(super) why_not: Option<String>,
}

/// Puts the program on every interface, or in the place of the one there; removes pins of others.
/// A kernel without such links is no error: the outcome says so.
pub(super) fn attach(
    folder: &Folder,
    interfaces: &[String],
    program: Result<BorrowedFd<'_>, &String>,
) -> Result<Vec<Seen>, KernelError> {
    let wanted: Vec<PathBuf> =
        interfaces.iter().map(|name| pins::egress_path(&folder.path, name)).collect();
    for pin in pins::egress_pins(&folder.path)? {
        if !wanted.contains(&pin) {
            pins::remove_pin(&pin)?;
        }
    }
    let seen = |(name, pin): (&String, &PathBuf)| {
        let put = program
            .map_err(Clone::clone)
            .and_then(|program| put(name, pin, program).map_err(|error| explain(&error)));
        let why_not = put.err();
        if let Some(why) = &why_not {
            tracing::warn!(
                interface = name,
                why,
                "what this host sends is not seen: answers to unconnected UDP sockets and to pings \
                 are taken for unasked"
            );
        }
        Seen { name: name.clone(), why_not }
    };
    Ok(interfaces.iter().zip(&wanted).map(seen).collect())
}

/// True if an interface was made anew since: its link died with it.
pub(super) fn is_stale(folder: &Folder, seen: &[Seen]) -> bool {
    seen.iter().filter(|seen| seen.why_not.is_none()).any(|seen| {
        let pin = pins::egress_path(&folder.path, &seen.name);
        let linked = sys::open_pin(&pin).and_then(|link| sys::tcx_interface(link.as_fd()));
        let index = attach::index_of(&seen.name);
        index.is_ok_and(|index| linked.is_ok_and(|linked| linked != index))
    })
}

/// What to say where the program cannot be loaded.
pub(super) fn refused(error: &KernelError) -> String {
    format!(
        "the kernel refused the program that sees it, for which there is no place before Linux 6.6: {}",
        chain(error)
    )
}

fn put(name: &str, pin: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let index = attach::index_of(name).map_err(io::Error::other)?;
    if let Ok(link) = sys::open_pin(pin)
        && sys::tcx_interface(link.as_fd())? == index
    {
        return sys::link_update(link.as_fd(), program);
    }
    // A link of an interface that is gone, or none.
    pins::remove_pin(pin).map_err(io::Error::other)?;
    let link = sys::link_create_as(program, index, TCX_EGRESS, 0)?;
    sys::pin(link.as_fd(), pin)
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        // A kernel that does not know the attach type.
        Some(libc::EINVAL | libc::EOPNOTSUPP) => {
            "this kernel has no TCX links, which came with Linux 6.6".to_owned()
        }
        _ => error.to_string(),
    }
}
