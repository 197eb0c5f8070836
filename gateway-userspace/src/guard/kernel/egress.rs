//! The program on the way out: it sees the datagrams and pings whose answers the closed policy, and
//! the row of amplifiers, are to let in. A TCX link (Linux 6.6), else a tc filter; what is pinned,
//! the link or the filter's program, tells the next process where one was put. Where neither can be
//! had the rest works: TCP, and UDP of connected sockets.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use super::{
    attach,
    filter::KernelError,
    netlink::{self, Attached},
    pins::{self, Folder},
    sys::{self, Pinned},
    tc,
};
use crate::guard::chain;

/// `BPF_TCX_EGRESS`
pub(super) const TCX_EGRESS: u32 = 47;

/// `BPF_F_BEFORE` and nothing to be before: the first. Ours decides nothing, so that nobody behind it
/// misses a packet; one that ends the walk before ours would hide the packet from it.
pub(super) const FIRST: u32 = 1 << 3;

/// Where the program sees what leaves an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Link,
    Filter,
}

/// What became of one interface.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) name: String,
    /// Else why what this host sends by it is not seen.
    pub(super) place: Result<Place, String>,
}

/// Puts the program on every interface, or in the place of the one there; takes it off those that
/// are not guarded any more. An interface where it finds no place is no error: the outcome says so.
pub(super) fn attach(
    folder: &Folder,
    interfaces: &[String],
    program: Result<BorrowedFd<'_>, &String>,
) -> Result<Vec<Seen>, KernelError> {
    release_others(folder, interfaces)?;
    let see = |name: &String| {
        let pin = pins::egress_path(&folder.path, name);
        let place = program.map_err(Clone::clone).and_then(|program| {
            put(folder, name, &pin, program).map_err(|error| error.to_string())
        });
        if let Err(why) = &place {
            tracing::warn!(
                interface = name,
                why,
                "what this host sends is not seen: answers to unconnected UDP sockets and to pings \
                 are taken for unasked"
            );
        }
        Seen { name: name.clone(), place }
    };
    Ok(interfaces.iter().map(see).collect())
}

/// True if the program is not where it was put: the interface was made anew, or somebody took the
/// filter off.
pub(super) fn is_stale(folder: &Folder, seen: &[Seen]) -> bool {
    seen.iter().any(|Seen { name, place }| {
        let Ok(index) = attach::index_of(name) else { return false };
        match place {
            Ok(Place::Link) => linked(folder, name).is_ok_and(|linked| linked != index),
            Ok(Place::Filter) => tc::find(index).is_ok_and(|found| found.is_none()),
            Err(_) => false,
        }
    })
}

/// True if an earlier process saw what leaves these interfaces, by what it left in the folder.
pub(super) fn was_seen(folder: &Folder, interfaces: &[String]) -> bool {
    interfaces.iter().all(|name| pins::egress_path(&folder.path, name).exists())
}

/// What to say where the program cannot be loaded.
pub(super) fn refused(error: &KernelError) -> String {
    format!("the kernel refused the program that sees it: {}", chain(error))
}

/// Takes the program off interfaces that are not guarded any more, in whatever folder its pin is.
fn release_others(folder: &Folder, interfaces: &[String]) -> Result<(), KernelError> {
    for (name, pin) in pins::egress_pins(&folder.root)? {
        if interfaces.contains(&name) {
            continue;
        }
        // A link ends with its pin.
        if let Ok(Pinned::Program) = sys::open_pinned(&pin)
            && let Ok(index) = attach::index_of(&name)
            && let Err(error) = tc::remove(index)
        {
            tracing::warn!(interface = name, %error, "the tc filter of an earlier gateway stays");
        }
        pins::remove_pin(&pin)?;
    }
    Ok(())
}

fn linked(folder: &Folder, name: &str) -> io::Result<u32> {
    let link = sys::open_pin(&pins::egress_path(&folder.path, name))?;
    sys::tcx_interface(link.as_fd())
}

fn put(folder: &Folder, name: &str, pin: &Path, program: BorrowedFd<'_>) -> io::Result<Place> {
    let index = attach::index_of(name).map_err(io::Error::other)?;
    if let Ok(Pinned::Link(link)) = sys::open_pinned(pin)
        && sys::tcx_interface(link.as_fd())? == index
    {
        sys::link_update(link.as_fd(), program)?;
        return Ok(Place::Link);
    }
    match sys::link_create_as(program, index, TCX_EGRESS, FIRST) {
        Ok(link) => {
            replace_pin(pin, link.as_fd())?;
            // Of a time when there was no link to be had.
            tc::remove(index)?;
            Ok(Place::Link)
        }
        Err(error) if is_unknown(&error) => {
            refuse_taken(folder, index)?;
            tc::put(index, program).map_err(|error| explained(&error))?;
            replace_pin(pin, program)?;
            Ok(Place::Filter)
        }
        Err(error) => Err(error),
    }
}

/// A filter has no owner: where another gateway guards the interface, the one there is that one's.
fn refuse_taken(folder: &Folder, index: u32) -> io::Result<()> {
    let is_free = netlink::slot(index)?.attached == Attached::Not;
    let links = pins::links(&folder.root).map_err(io::Error::other)?;
    if is_free || links.iter().any(|link| link.interface == index) {
        return Ok(());
    }
    Err(io::Error::other("another XDP program has the interface"))
}

/// What has the name already is a link of an interface that is gone, or the program before this.
fn replace_pin(pin: &Path, object: BorrowedFd<'_>) -> io::Result<()> {
    pins::remove_pin(pin).map_err(io::Error::other)?;
    sys::pin(object, pin)
}

/// A kernel that does not know the attach type.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn explained(error: &io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        // What it says of a module it has not.
        Some(libc::ENOENT | libc::EOPNOTSUPP) => {
            "this kernel has neither TCX links, which came with Linux 6.6, nor tc filters \
             (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF)"
        }
        Some(libc::EINVAL) => {
            "this kernel has no TCX links, which came with Linux 6.6, and refuses a tc filter"
        }
        _ => return io::Error::other(format!("adding a tc filter: {error}")),
    };
    io::Error::other(why)
}
