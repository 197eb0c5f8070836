//! Where a process keeps its things if the file does not say, and how many processors it has.
//!
//! Asked once and remembered, before a sandbox or another thread could change the answers. The
//! proxy is another user than its guard: it gets a text in which nothing is left open (`settle`).

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::{sched, unistd};

/// The folders of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Sockets and lock.
    pub run: PathBuf,
    /// The store.
    pub state: PathBuf,
}

static PLACES: OnceLock<Places> = OnceLock::new();
static PROCESSORS: OnceLock<u16> = OnceLock::new();

/// Asks for everything. `main` does so first, before user, sandbox or threads change the answers.
pub fn remember() {
    of_this_process();
    processors();
}

/// The folders of this process.
pub fn of_this_process() -> &'static Places {
    PLACES.get_or_init(|| {
        let user = unistd::geteuid();
        if user.is_root() { system() } else { of_user(user.as_raw()) }
    })
}

/// Runtimes for `workers = 0`: the processors this process may use.
pub(super) fn processors() -> u16 {
    *PROCESSORS.get_or_init(|| {
        // Not `available_parallelism`: it reads cgroup files, and guard and proxy, which may see
        // different ones, must come to one number.
        let own = unistd::Pid::from_raw(0);
        let allowed = sched::sched_getaffinity(own).map_or(1, |set| {
            (0..sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count()
        });
        u16::try_from(allowed.clamp(1, MOST_WORKERS)).unwrap_or(1)
    })
}

/// Workers, at most.
pub(super) const MOST_WORKERS: usize = 256;

fn system() -> Places {
    Places { run: "/run/gateway".into(), state: "/var/lib/gateway".into() }
}

fn of_user(user: u32) -> Places {
    // The value of XDG_RUNTIME_DIR by systemd's rule; the guard gives the proxy no environment.
    let session = Path::new("/run/user").join(user.to_string());
    let run = if session.is_dir() {
        session.join("gateway")
    } else {
        PathBuf::from(format!("/tmp/gateway-{user}"))
    };
    Places { state: run.join("state"), run }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_do_not_share_folders_with_each_other_or_the_system() {
        let (one, two) = (of_user(4_000_001), of_user(4_000_002));
        assert_ne!(one, two);
        assert_ne!(one, system());
        assert!(one.state.starts_with(&one.run));
    }

    #[test]
    fn counts_at_least_one_processor() {
        assert!(processors() >= 1);
    }
}
