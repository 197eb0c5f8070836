//! What must hold before anything is loaded, each with its own clear refusal.

use caps::{CapSet, Capability};

use super::{attach, filter::KernelError, pins};
use crate::config::model::Kernel;

/// Oldest kernel, for batch operations on tries and atomics.
pub(crate) const OLDEST: (u32, u32) = (5, 15);

/// Checks them, cheapest first.
pub(super) fn check(config: &Kernel) -> Result<(), KernelError> {
    check_capabilities()?;
    check_release()?;
    pins::check_file_system(&config.pins)?;
    config.interfaces.iter().try_for_each(|name| attach::index_of(name).map(drop))
}

/// `CAP_BPF` would do to load, but not to ask for the name of a program by its number: the next
/// start would take its own pins for somebody else's.
fn check_capabilities() -> Result<(), KernelError> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let enough = has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_NET_ADMIN);
    if enough { Ok(()) } else { Err(KernelError::NotPermitted) }
}

fn check_release() -> Result<(), KernelError> {
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .map_err(|errno| KernelError::System {
            doing: "asking for the kernel's release".to_owned(),
            source: errno.into(),
        })?;
    match version(&release) {
        Some(found) if found < OLDEST => Err(KernelError::TooOld { release }),
        _ => Ok(()),
    }
}

/// Major and minor of a release; `None` lets an unheard-of form try its luck.
pub(crate) fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_every_capability_a_takeover_needs() {
        for missing in [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN] {
            // Of this thread alone.
            let refused = std::thread::spawn(move || {
                caps::drop(None, CapSet::Effective, missing).unwrap();
                check_capabilities()
            });
            let refused = refused.join().unwrap();
            assert!(matches!(refused, Err(KernelError::NotPermitted)), "{missing}");
        }
    }

    #[test]
    fn reads_releases() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.4.0"), Some((5, 4)));
        assert!(version("5.4.0") < Some(OLDEST));
        assert!(version("5.15.0-1-amd64") >= Some(OLDEST));
        assert_eq!(version("custom"), None);
    }
}
