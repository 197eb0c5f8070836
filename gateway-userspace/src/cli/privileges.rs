//! What a command gives up before it reads a stranger's words: every capability, and the way to get
//! one back that root has, by running a program.

use anyhow::Context as _;
use caps::CapSet;

/// After this nothing privileged works any more; the control socket is open by then.
pub(super) fn drop_all() -> anyhow::Result<()> {
    nix::sys::prctl::set_no_new_privs().context("setting no-new-privs before reading")?;
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).context("dropping capabilities before reading")?;
    }
    Ok(())
}
