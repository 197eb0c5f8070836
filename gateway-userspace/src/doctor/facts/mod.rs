//! What there is. Interfaces are asked for over sockets, which see the network namespace of the
//! command; /sys shows the one it was mounted in.

mod ethtool;
mod interface;
mod machine;
mod netdev;

#[cfg(test)]
pub(super) use ethtool::Channels;
pub(super) use ethtool::Offload;
#[cfg(test)]
pub(super) use interface::Virtio;
pub(super) use interface::{Interface, names};
pub(super) use machine::{Machine, Memory, Pins};

use std::{fs, io};

/// A value that may be out of sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<T> {
    Is(T),
    /// This kernel has no such thing.
    Absent,
    /// Not for this user.
    Hidden,
}

/// A number below /proc/sys, by its dotted name.
fn sysctl(name: &str) -> Seen<u64> {
    number(&format!("/proc/sys/{}", name.replace('.', "/")))
}

fn number(path: &str) -> Seen<u64> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_or(Seen::Absent, Seen::Is),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Seen::Hidden,
        Err(_absent) => Seen::Absent,
    }
}

/// How many processors a list like `0-3,8` names.
fn processors(ranges: &str) -> u64 {
    let range = |part: &str| -> Option<u64> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    ranges.trim().split(',').filter_map(range).sum::<u64>().max(1)
}

/// Processors that are switched on.
fn online() -> u64 {
    processors(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_processors() {
        for (list, count) in [("0\n", 1), ("0-3\n", 4), ("0-3,8,10-11", 7), ("", 1), ("x", 1)] {
            assert_eq!(processors(list), count, "{list:?}");
        }
    }
}
