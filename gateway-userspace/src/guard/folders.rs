//! The run folder: the lock that keeps a second guard out, and the paths of the sockets.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{Read as _, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{
            DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
        },
    },
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::{accounts::Accounts, error::GuardError};

/// Where this guard keeps its sockets, for as long as it lives.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    /// Held until the process ends, however it ends.
    lock: Flock<File>,
}

impl RunFolder {
    /// Makes the folder if it is not there and takes its lock.
    pub(super) fn take(
        path: &Path,
        accounts: &Accounts,
        kept: Option<OwnedFd>,
    ) -> Result<Self, GuardError> {
        make(path)?;
        check(path, accounts)?;
        // The proxy has to pass through to its socket; what lies inside has its own rights.
        let mode = if accounts.root { 0o755 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(GuardError::path("setting the rights of", path))?;
        Ok(Self { path: path.to_owned(), lock: lock(&path.join("lock"), kept)? })
    }

    /// The lock, for the next program of this process.
    pub(super) fn held(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    pub(super) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Where a proxy that lost its guard looks for the next one.
    pub(super) fn worker_socket(&self) -> PathBuf {
        self.path.join("worker.sock")
    }

    /// Names the proxy that serves.
    pub(super) fn proxy_pid(&self) -> PathBuf {
        self.path.join("proxy.pid")
    }
}

fn make(path: &Path) -> Result<(), GuardError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(GuardError::path("making the run folder", path))
}

/// In /tmp or another shared place someone may have been there first.
fn check(path: &Path, accounts: &Accounts) -> Result<(), GuardError> {
    let status =
        fs::symlink_metadata(path).map_err(GuardError::path("looking at the run folder", path))?;
    let refused = |what| Err(GuardError::UnsafeFolder { path: path.to_owned(), what });
    if !status.is_dir() {
        return refused("is not a folder");
    }
    if status.uid() != accounts.own.as_raw() {
        return refused("belongs to another user");
    }
    if status.mode() & 0o022 != 0 {
        return refused("can be written by others");
    }
    Ok(())
}

/// The lock as an earlier program of this process holds it, or anew.
fn lock(path: &Path, kept: Option<OwnedFd>) -> Result<Flock<File>, GuardError> {
    let same = |kept: &File| {
        let (kept, there) = (kept.metadata().ok(), fs::metadata(path).ok());
        kept.zip(there).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    let file = match kept.map(File::from).filter(same) {
        Some(kept) => kept,
        None => open(path)?,
    };
    locked(file, path)
}

fn open(path: &Path) -> Result<File, GuardError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path)
        .map_err(GuardError::path("opening the lock", path))
}

fn locked(file: File, path: &Path) -> Result<Flock<File>, GuardError> {
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut held, _)) => {
            let mut pid = String::new();
            // Whoever holds it wrote its number; without one the message is still right.
            held.read_to_string(&mut pid).unwrap_or_default();
            return Err(GuardError::AlreadyRunning { pid: pid.trim().to_owned() });
        }
    };
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(GuardError::path("writing the lock", path))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_guard_is_told_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let first = RunFolder::take(&run, &accounts(), None).unwrap();
        let error = RunFolder::take(&run, &accounts(), None).unwrap_err();
        let own = std::process::id().to_string();
        assert!(matches!(&error, GuardError::AlreadyRunning { pid } if *pid == own), "{error}");
        drop(first);
        RunFolder::take(&run, &accounts(), None).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_write_or_that_is_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, Permissions::from_mode(0o777)).unwrap();
        let error = RunFolder::take(&run, &accounts(), None).unwrap_err();
        assert!(matches!(error, GuardError::UnsafeFolder { .. }), "{error}");

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let error = RunFolder::take(&link, &accounts(), None).unwrap_err();
        assert!(matches!(error, GuardError::UnsafeFolder { .. }), "{error}");
    }

    fn accounts() -> Accounts {
        Accounts { own: nix::unistd::geteuid(), root: false, proxy: None, control_group: None }
    }
}
