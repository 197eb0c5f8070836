//! Where maps and links stay when this process ends: `<pins>/v<layout>-<digest>[-<n>]/`, the
//! digest telling the capacities. Maps are reused only if all of them have exactly the shape we
//! would create (aya reopens a pin by name alone); otherwise a fresh folder is made, filled, and
//! the link moved over.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd as _, OwnedFd},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use aya::maps::{MapData, MapInfo};
use gateway_common::maps::{LAYOUT_VERSION, PROGRAM, Room, SETTINGS, SHAPES, Shape, flag};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::{
    attach,
    filter::{KernelError, ShadowOrders},
    sys,
};
use crate::config::model::Capacity;

const LINK_PREFIX: &str = "link-";
const EGRESS_PREFIX: &str = "egress-";
/// Pin of a link between its making and its lasting name. An older guard that finds it takes it
/// for a map of another layout, and leaves it.
const NEXT_LINK: &str = "LINK_NEXT";
/// Folders beside one another with the same layout and capacity: one in use and one being built.
const SIBLINGS: u32 = 8;

/// The folder of this process.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) path: PathBuf,
    /// The maps in it are in use and hold the bans of before.
    pub(super) reused: bool,
    /// Held while this process lives: whoever else worked here would take its maps and links away.
    _lock: Flock<File>,
}

/// A link of ours that a former process pinned.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) descriptor: OwnedFd,
    /// Zero once the interface is gone.
    pub(super) interface: u32,
    /// Which program it runs.
    pub(super) program: u32,
}

/// Entries of a map under these capacities.
pub(super) const fn entries(shape: &Shape, capacity: &Capacity) -> u32 {
    let Capacity { hosts, prefixes, dynamic, allow, limits, flows } = *capacity;
    shape.entries(&Room { hosts, prefixes, dynamic, allow, limits, flows })
}

/// Finds or makes the folder to work in.
pub(super) fn prepare(root: &Path, capacity: &Capacity) -> Result<Folder, KernelError> {
    make_folder(root)?;
    let lock = lock(root)?;
    refuse_foreign(root)?;
    attach::refuse_elsewhere(&links(root)?)?;
    let (path, reused) = choose(root, capacity)?;
    Ok(Folder { root: root.to_owned(), path, reused, _lock: lock })
}

/// One guard at a time, whatever its run folder.
fn lock(root: &Path) -> Result<Flock<File>, KernelError> {
    let folder = File::open(root).map_err(|source| KernelError::System {
        doing: format!("opening the folder {}", root.display()),
        source,
    })?;
    Flock::lock(folder, FlockArg::LockExclusiveNonblock)
        .map_err(|(_folder, _errno)| KernelError::PinsInUse { path: root.to_owned() })
}

/// The folder to work in, and whether its maps are in use.
fn choose(root: &Path, capacity: &Capacity) -> Result<(PathBuf, bool), KernelError> {
    let name = format!("v{LAYOUT_VERSION}-{:08x}", digest(capacity));
    for sibling in 0..SIBLINGS {
        let suffix = if sibling == 0 { String::new() } else { format!("-{sibling}") };
        let path = root.join(format!("{name}{suffix}"));
        if !path.exists() {
            make_folder(&path)?;
            return Ok((path, false));
        }
        if links_in(&path)?.is_empty() {
            // Half-written: whoever made it died before it attached.
            remove_folder(&path)?;
            make_folder(&path)?;
            return Ok((path, false));
        }
        if is_reusable(&path, capacity)? {
            return Ok((path, true));
        }
    }
    Err(foreign(root, "too many folders of one layout; remove those without use"))
}

/// Every link of ours under `root`, whatever layout version its folder has.
pub(super) fn links(root: &Path) -> Result<Vec<Link>, KernelError> {
    let mut links = Vec::new();
    for folder in list(root)? {
        links.extend(links_in(&folder)?);
    }
    Ok(links)
}

/// True if a filter is attached by pins under `root`.
pub(super) fn holds_links(root: &Path) -> bool {
    let folders = list(root).unwrap_or_default();
    folders
        .iter()
        .flat_map(|folder| list(folder).unwrap_or_default())
        .any(|pin| is_link_name(file_name(&pin)))
}

/// What the operator ordered of the filter that this one takes over from, which must not end with
/// an upgrade.
pub(super) fn inherited_orders(folder: &Folder) -> Result<Option<Orders>, KernelError> {
    for other in list(&folder.root)? {
        if other != folder.path && !links_in(&other)?.is_empty() {
            return Ok(orders_in(&other));
        }
    }
    Ok(None)
}

/// Orders of the operator to a running filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders {
    pub(super) panic: bool,
    pub(super) shadow: ShadowOrders,
}

/// The orders are the first words of every layout's settings.
fn orders_in(folder: &Path) -> Option<Orders> {
    let map = MapData::from_pin(folder.join(SETTINGS)).ok()?;
    let length = map.info().map_or(0, |info| info.value_size());
    let mut value = vec![0_u8; length as usize];
    sys::lookup(map.fd().as_fd(), &0_u32, &mut value).ok().filter(|found| *found)?;
    let word = |at: usize| Some(u64::from_ne_bytes(*value.get(at..)?.first_chunk()?));
    let flags = u32::from_ne_bytes(*value.first_chunk()?);
    let shadow = ShadowOrders { shadow: word(8)?, enforce: word(16)? }.sound();
    Some(Orders { panic: flags & flag::PANIC != 0, shadow })
}

/// The pin of the link of an interface. A bpffs refuses names with a dot, which those of VLANs
/// have (`eth0.100`); a colon is in no interface's name.
pub(super) fn link_path(folder: &Path, interface: &str) -> PathBuf {
    folder.join(format!("{LINK_PREFIX}{}", interface.replace('.', ":")))
}

/// Where a link is pinned before it replaces what `pin` is.
pub(super) fn next_link(pin: &Path) -> PathBuf {
    pin.with_file_name(NEXT_LINK)
}

/// Gives a pin another name; what had it is replaced in the same step.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), KernelError> {
    fs::rename(from, to).map_err(|source| KernelError::System {
        doing: format!("renaming the pin {} to {}", from.display(), to.display()),
        source,
    })
}

/// The pin of what is on the way out of an interface: a link, or a filter's program.
pub(super) fn egress_path(folder: &Path, interface: &str) -> PathBuf {
    folder.join(format!("{EGRESS_PREFIX}{}", interface.replace('.', ":")))
}

/// All of those under `root`, with the interfaces' names.
pub(super) fn egress_pins(root: &Path) -> Result<Vec<(String, PathBuf)>, KernelError> {
    let mut found = Vec::new();
    for folder in list(root)? {
        let named = list(&folder)?.into_iter().filter_map(|pin| {
            let name = file_name(&pin).strip_prefix(EGRESS_PREFIX)?.replace(':', ".");
            Some((name, pin))
        });
        found.extend(named);
    }
    Ok(found)
}

fn is_link_name(name: &str) -> bool {
    name.starts_with(LINK_PREFIX) || name == NEXT_LINK
}

/// Removes every folder under `root` but this one.
pub(super) fn remove_others(folder: &Folder) -> Result<(), KernelError> {
    for path in list(&folder.root)? {
        if path != folder.path {
            remove_folder(&path)?;
        }
    }
    Ok(())
}

/// Removes one pin; one that is gone already is no error.
pub(super) fn remove_pin(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KernelError::System {
            doing: format!("removing the pin {}", path.display()),
            source,
        }),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<(), KernelError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| KernelError::System {
        doing: format!("making the folder {}", path.display()),
        source,
    })
}

fn remove_folder(path: &Path) -> Result<(), KernelError> {
    for pin in list(path)? {
        remove_pin(&pin)?;
    }
    fs::remove_dir(path).map_err(|source| KernelError::System {
        doing: format!("removing the folder {}", path.display()),
        source,
    })
}

fn list(path: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut entries = read().map_err(|source| KernelError::System {
        doing: format!("listing {}", path.display()),
        source,
    })?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

pub(super) fn foreign(path: &Path, why: &str) -> KernelError {
    KernelError::ForeignPin { path: path.to_owned(), why: why.to_owned() }
}

/// Nothing is removed or overwritten that we did not make.
fn refuse_foreign(root: &Path) -> Result<(), KernelError> {
    for folder in list(root)? {
        if !folder.is_dir() || !is_folder_name(file_name(&folder)) {
            return Err(foreign(&folder, "its name is not one of ours"));
        }
        for pin in list(&folder)? {
            let name = file_name(&pin);
            if pin.is_dir() || !is_pin_name(name) {
                return Err(foreign(&pin, "its name is not one of ours"));
            }
        }
    }
    Ok(())
}

/// `v1-0123abcd`, `v1-0123abcd-2`
fn is_folder_name(name: &str) -> bool {
    let mut parts = name.splitn(3, '-');
    let layout = parts.next().and_then(|part| part.strip_prefix('v'));
    let layout = layout.is_some_and(|layout| layout.parse::<u32>().is_ok());
    let digest = parts
        .next()
        .is_some_and(|part| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    layout && digest && parts.next().is_none_or(|part| part.parse::<u32>().is_ok())
}

/// Another layout may have other maps: they are named like ours, in capitals.
fn is_pin_name(name: &str) -> bool {
    let of_interface =
        |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty());
    of_interface(LINK_PREFIX)
        || of_interface(EGRESS_PREFIX)
        || (!name.is_empty()
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
}

fn links_in(folder: &Path) -> Result<Vec<Link>, KernelError> {
    let pins = list(folder)?;
    pins.into_iter().filter(|path| is_link_name(file_name(path))).map(open_link).collect()
}

fn open_link(path: PathBuf) -> Result<Link, KernelError> {
    let opened = sys::open_pin(&path)
        .and_then(|descriptor| Ok((sys::link_info(descriptor.as_fd())?, descriptor)));
    let (info, descriptor) = opened.map_err(|source| KernelError::System {
        doing: format!("opening the pin {}", path.display()),
        source,
    })?;
    let Some(info) = info else { return Err(foreign(&path, "it is not an XDP link")) };
    let program = sys::program_name(info.program);
    if program != PROGRAM {
        return Err(foreign(&path, &format!("its program is {program}")));
    }
    Ok(Link { path, descriptor, interface: info.interface, program: info.program })
}

/// True if every map is there in exactly the shape we would make.
fn is_reusable(folder: &Path, capacity: &Capacity) -> Result<bool, KernelError> {
    for shape in &SHAPES {
        let path = folder.join(shape.name);
        if !path.exists() {
            return Ok(false);
        }
        let Ok(info) = MapInfo::from_pin(&path) else {
            return Err(foreign(&path, "it is not a map"));
        };
        let same = info.map_type().is_ok_and(|kind| kind as u32 == shape.kind as u32)
            && info.key_size() == shape.key
            && info.value_size() == shape.value
            && info.max_entries() == entries(shape, capacity)
            && info.map_flags() == shape.flags;
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// FNV-1a over names and shapes: different capacities must not meet in one folder.
fn digest(capacity: &Capacity) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    for shape in &SHAPES {
        add(shape.name.as_bytes());
        for number in
            [shape.kind as u32, shape.key, shape.value, entries(shape, capacity), shape.flags]
        {
            add(&number.to_be_bytes());
        }
    }
    hash
}

/// Refuses a pin folder outside a mounted bpffs, and one others can write to.
pub(super) fn check_file_system(root: &Path) -> Result<(), KernelError> {
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    let is_bpffs = statfs(existing).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
    if !is_bpffs {
        return Err(KernelError::NoBpffs { path: root.to_owned() });
    }
    match fs::metadata(root) {
        Ok(found) if found.uid() != nix::unistd::geteuid().as_raw() => {
            Err(foreign(root, "it belongs to another user"))
        }
        Ok(found) if found.mode() & 0o022 != 0 => Err(foreign(root, "others can write to it")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_folders() {
        for name in ["v1-0123abcd", "v27-00000000", "v1-0123abcd-2"] {
            assert!(is_folder_name(name), "{name}");
        }
        for name in
            ["", "v1", "1-0123abcd", "vx-0123abcd", "v1-0123", "v1-0123abcd-", "v1-0123abcg", "tc"]
        {
            assert!(!is_folder_name(name), "{name}");
        }
    }

    #[test]
    fn capacities_have_different_folders() {
        let capacity =
            Capacity { hosts: 10, prefixes: 10, dynamic: 10, allow: 10, limits: 10, flows: 10 };
        let swapped = Capacity { limits: 11, ..capacity };
        assert_ne!(digest(&capacity), digest(&swapped));
        assert_eq!(digest(&capacity), digest(&capacity.clone()));
    }
}
