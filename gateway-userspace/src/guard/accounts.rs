//! Who is who: the guard's own user, the proxy's, and the group that may use the control socket.

use nix::unistd::{Gid, Group, Uid, User, geteuid};

use super::error::GuardError;
use crate::config::model::Guard;

/// The users and groups that matter.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    pub(super) own: Uid,
    pub(super) root: bool,
    /// What the proxy becomes; without root it stays the guard's user.
    pub(super) proxy: Option<(Uid, Gid)>,
    pub(super) control_group: Option<Gid>,
}

impl Accounts {
    /// Looks them up by the names of the configuration.
    pub(super) fn find(names: &Guard) -> Result<Self, GuardError> {
        let own = geteuid();
        if !own.is_root() {
            return Ok(Self { own, root: false, proxy: None, control_group: None });
        }
        let proxy = Some(proxy(&names.user)?);
        Ok(Self { own, root: true, proxy, control_group: Some(group(&names.group)?) })
    }

    /// The user a proxy of this guard has.
    pub(super) fn proxy_uid(&self) -> Uid {
        self.proxy.map_or(self.own, |(uid, _)| uid)
    }
}

fn proxy(name: &str) -> Result<(Uid, Gid), GuardError> {
    let user = User::from_name(name)
        .map_err(|errno| GuardError::System {
            doing: "looking up the proxy's user",
            source: errno.into(),
        })?
        .ok_or_else(|| GuardError::NoUser { name: name.to_owned() })?;
    if user.uid.is_root() || user.gid.as_raw() == 0 {
        return Err(GuardError::RootUser { name: name.to_owned() });
    }
    Ok((user.uid, user.gid))
}

fn group(name: &str) -> Result<Gid, GuardError> {
    let group = Group::from_name(name).map_err(|errno| GuardError::System {
        doing: "looking up the group of the control socket",
        source: errno.into(),
    })?;
    group.map(|group| group.gid).ok_or_else(|| GuardError::NoGroup { name: name.to_owned() })
}
