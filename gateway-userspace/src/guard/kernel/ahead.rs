//! Programs of others that see a packet on its way out before ours does. One that ends the walk
//! hides what it lets go from the program that remembers it for its answers; whether it does is in
//! its code, so each is told by name.

use gateway_common::maps::EGRESS_PROGRAM;

use super::{egress::TCX_EGRESS, sys, tc};

/// Names of what comes before our program; none where ours is not there.
pub(crate) fn of(interface: u32) -> Vec<String> {
    let mut names = links(interface);
    if let Some(ours) = names.iter().position(|name| name == EGRESS_PROGRAM) {
        names.truncate(ours);
        return names;
    }
    if !tc::find(interface).is_ok_and(|ours| ours.is_some()) {
        return Vec::new();
    }
    // Links come before every filter.
    names.extend(tc::before_ours(interface).unwrap_or_default());
    names
}

/// In the order they run. A kernel without such links has none.
fn links(interface: u32) -> Vec<String> {
    let ids = sys::attached(interface, TCX_EGRESS);
    ids.unwrap_or_default().into_iter().map(sys::program_name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};

    use nix::unistd::Uid;

    use super::{
        super::{egress::FIRST, probe},
        *,
    };

    const LOOPBACK: u32 = 1;

    /// As `name`, on the way out; `None` where the kernel has no such links.
    fn attach(program: &OwnedFd, flags: u32) -> Option<OwnedFd> {
        sys::link_create_as(program.as_fd(), LOOPBACK, TCX_EGRESS, flags).ok()
    }

    #[test]
    fn a_link_before_ours_is_named_and_one_behind_is_not() {
        if !Uid::effective().is_root() {
            return;
        }
        probe::in_namespace(|| {
            let (ours, other) =
                (probe::classifier_of(EGRESS_PROGRAM)?, probe::classifier_of("other")?);
            let Some(_behind) = attach(&other, 0) else { return Ok(()) };
            assert!(of(LOOPBACK).is_empty(), "ours is not there");
            let _ours = attach(&ours, FIRST);
            assert!(of(LOOPBACK).is_empty(), "ours is the first");
            let _before = attach(&probe::classifier_of("first")?, FIRST);
            assert_eq!(of(LOOPBACK), ["first"]);
            Ok(())
        })
        .unwrap();
    }
}
