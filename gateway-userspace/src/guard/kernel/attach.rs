//! From a loaded program to a filtered interface: take over the link that is pinned, by link
//! update, so that no packet passes unjudged; else attach, native first. A slot somebody else has
//! taken is left to him.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use super::{
    filter::KernelError,
    netlink::{self, Attached, Slot},
    pins::{self, Folder, Link},
    sys,
};
use crate::config::model::Attach;

/// `XDP_FLAGS_SKB_MODE`
const GENERIC: u32 = 1 << 1;
/// `XDP_FLAGS_DRV_MODE`
const NATIVE: u32 = 1 << 2;

/// The index of an interface.
pub(super) fn index_of(name: &str) -> Result<u32, KernelError> {
    nix::net::if_::if_nametoindex(name)
        .map_err(|_errno| KernelError::NoInterface { name: name.to_owned() })
}

/// Filters `interfaces` with `program`, then removes what former processes left.
pub(super) fn attach(
    folder: &Folder,
    interfaces: &[String],
    mode: Attach,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    let links = pins::links(&folder.root)?;
    refuse_elsewhere(&links)?;
    let mut unfiltered = Vec::new();
    // Every link that is there gets its lasting pin before a new one is made: a start that was
    // killed may have left one under the name that new ones are made under.
    for name in interfaces {
        let index = index_of(name)?;
        let pin = pins::link_path(&folder.path, name);
        match links.iter().find(|link| link.interface == index) {
            Some(link) => {
                take_over(link, name, &pin, program)?;
                warn_of_mode(name, index, mode, &pin);
            }
            None => unfiltered.push((name, index, pin)),
        }
    }
    let wanted: Vec<_> =
        interfaces.iter().map(|name| pins::link_path(&folder.path, name)).collect();
    for link in &links {
        if link.path.starts_with(&folder.path) && !wanted.contains(&link.path) {
            pins::remove_pin(&link.path)?;
        }
    }
    for (name, index, pin) in unfiltered {
        attach_new(name, index, &pin, mode, program)?;
    }
    pins::remove_others(folder)
}

/// Attaches to interfaces that went and came back: their links died with them.
pub(super) fn tend(
    folder: &Folder,
    interfaces: &[String],
    mode: Attach,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    for name in interfaces {
        // What is not there needs no filter.
        let Ok(index) = index_of(name) else { continue };
        if netlink::slot(index).is_ok_and(|slot| slot.attached == Attached::Not) {
            if !folder.path.is_dir() {
                let (path, name) = (folder.path.clone(), name.clone());
                return Err(KernelError::PinsGone { path, name });
            }
            tracing::warn!(interface = name, "the interface is new and without a filter");
            attach_new(name, index, &pins::link_path(&folder.path, name), mode, program)?;
        }
    }
    Ok(())
}

/// Refuses to work among links of another network namespace: its filter would lose its pin, and
/// the maps it looks into would get our entries.
pub(super) fn refuse_elsewhere(links: &[Link]) -> Result<(), KernelError> {
    links.iter().find(|link| is_elsewhere(link)).map_or(Ok(()), |link| {
        let why = "it filters an interface of another network namespace";
        Err(pins::foreign(&link.path, why))
    })
}

/// Indexes of interfaces repeat from one network namespace to the next, ids of programs do not.
fn is_elsewhere(link: &Link) -> bool {
    match netlink::slot(link.interface) {
        _ if link.interface == 0 => false,
        Ok(slot) => slot.attached != Attached::Several && slot.program != link.program,
        // No such interface here: unless it went just now, it is one of another namespace.
        Err(_) => sys::link_info(link.descriptor.as_fd())
            .is_ok_and(|now| now.is_some_and(|now| now.interface != 0)),
    }
}

/// The link keeps the mode it was made with: changing it would mean a moment without a filter.
fn take_over(
    link: &Link,
    name: &str,
    pin: &Path,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    let descriptor = link.descriptor.as_fd();
    sys::link_update(descriptor, program)
        .map_err(|source| KernelError::Attach { name: name.to_owned(), source })?;
    if link.path != pin {
        pins::rename(&link.path, pin)?;
    }
    tracing::info!(interface = name, "took over the XDP link");
    Ok(())
}

/// The operator asked for another mode than the link was made with.
fn warn_of_mode(name: &str, index: u32, mode: Attach, pin: &Path) {
    let attached = netlink::slot(index).map_or(Attached::Several, |slot| slot.attached);
    let other = match mode {
        Attach::Auto => false,
        Attach::Native => attached == Attached::Generic,
        Attach::Generic => attached == Attached::Native,
    };
    if other {
        tracing::warn!(
            interface = name,
            attached = attached.name(),
            "kernel.attach does not change a filter that is attached; stop gateway, `rm {}` and \
             start again, which leaves a moment without a filter",
            pin.display()
        );
    }
}

fn attach_new(
    name: &str,
    index: u32,
    pin: &Path,
    mode: Attach,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    let link = match mode {
        Attach::Native => sys::link_create(program, index, NATIVE),
        Attach::Generic => sys::link_create(program, index, GENERIC),
        Attach::Auto => sys::link_create(program, index, NATIVE).or_else(|native| {
            if is_taken(&native) {
                return Err(native);
            }
            tracing::warn!(interface = name, error = %native, "no native XDP; using generic");
            sys::link_create(program, index, GENERIC)
        }),
    };
    let link = link.map_err(|source| refusal(name, index, source))?;
    pin_link(link.as_fd(), pin)?;
    tracing::info!(interface = name, "attached the XDP filter");
    Ok(())
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

fn refusal(name: &str, index: u32, source: io::Error) -> KernelError {
    let name = name.to_owned();
    match netlink::slot(index) {
        Ok(Slot { program, .. }) if is_taken(&source) => {
            KernelError::Taken { name, id: program, program: sys::program_name(program) }
        }
        _ => KernelError::Attach { name, source },
    }
}

/// What has the name already is the pin of an interface that is gone. It is replaced in one step,
/// so that a process killed at any moment leaves each living link with a pin.
fn pin_link(link: BorrowedFd<'_>, pin: &Path) -> Result<(), KernelError> {
    let next = pins::next_link(pin);
    pins::remove_pin(&next)?;
    sys::pin(link, &next).map_err(|source| KernelError::System {
        doing: format!("pinning the link as {}", next.display()),
        source,
    })?;
    pins::rename(&next, pin)
}
