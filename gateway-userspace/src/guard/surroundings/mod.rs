//! Whom this machine depends on just now: who is logged in from where, its default gateways, its
//! resolvers. Others write these files: each is read up to a bound, and what does not read is
//! as if it were not there.

mod logind;
mod resolvers;
mod routes;
mod utmp;

use std::{
    fs::File,
    io::Read as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Of each kind, at most.
const MOST: usize = 256;

/// Bytes read of one file, at most.
const FILE_BYTES: u64 = 1 << 20;

/// Where to look.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    utmp: PathBuf,
    sessions: PathBuf,
    routes4: PathBuf,
    routes6: PathBuf,
    resolvers: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            utmp: "/run/utmp".into(),
            sessions: "/run/systemd/sessions".into(),
            routes4: "/proc/self/net/route".into(),
            routes6: "/proc/self/net/ipv6_route".into(),
            resolvers: "/etc/resolv.conf".into(),
        }
    }
}

#[cfg(test)]
impl Places {
    /// For tests that are not about the machine they run on.
    pub(crate) fn nowhere() -> Self {
        let nowhere = || PathBuf::from("/nonexistent/file");
        Self {
            utmp: nowhere(),
            sessions: nowhere(),
            routes4: nowhere(),
            routes6: nowhere(),
            resolvers: nowhere(),
        }
    }
}

/// A login from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) from: IpAddr,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Surroundings {
    pub(crate) logins: Vec<Login>,
    pub(crate) gateways: Vec<IpAddr>,
    pub(crate) resolvers: Vec<IpAddr>,
}

impl Surroundings {
    /// Looks around.
    pub(crate) fn look(places: &Places) -> Self {
        let mut logins = utmp::logins(&bytes_of(&places.utmp), is_alive);
        for login in logind::logins(&places.sessions) {
            if !logins.contains(&login) {
                logins.push(login);
            }
        }
        let mut gateways = routes::gateways4(&text_of(&places.routes4));
        gateways.extend(routes::gateways6(&text_of(&places.routes6)));
        let resolvers = resolvers::resolvers(&text_of(&places.resolvers));
        Self { logins: foreign(logins), gateways, resolvers }
    }
}

/// Without what is no address of anybody else.
fn foreign(mut logins: Vec<Login>) -> Vec<Login> {
    logins.retain(|login| !login.from.is_loopback() && !login.from.is_unspecified());
    logins.truncate(MOST);
    logins
}

fn is_alive(process: i32) -> bool {
    process > 0 && Path::new(&format!("/proc/{process}")).exists()
}

fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    read.map_or_else(|_| Vec::new(), |_| bytes)
}

fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&bytes_of(path)).into_owned()
}

/// An address, without the name of its link.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_there_are_nothing() {
        assert_eq!(Surroundings::look(&Places::nowhere()), Surroundings::default());
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let found = Surroundings::look(&Places::default());
        assert!(found.logins.iter().all(|login| !login.from.is_loopback()));
    }
}
