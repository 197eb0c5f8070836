//! Tells when something happened in some folders, by inotify. Folders and not files: a file that is
//! replaced by renaming, as certificates and careful editors do it, is another file. What happened is
//! not asked: whoever is told looks at what he cares for.

#![expect(unsafe_code, reason = "inotify has no safe wrapper among the dependencies")]

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
};

use nix::libc;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use crate::ipc::descriptors::watch;

/// A file is complete, there by another name, or is a link to elsewhere now.
const EVENTS: u32 = libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_CREATE | libc::IN_ONLYDIR;

/// Folders, at most; the configuration decides about their number.
const FOLDERS: usize = 256;

/// The folders that are watched.
#[derive(Debug)]
pub(super) struct FolderWatch {
    descriptor: AsyncFd<OwnedFd>,
    watched: BTreeMap<PathBuf, i32>,
}

impl FolderWatch {
    /// Watches nothing yet.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: takes flags and returns a descriptor or an error; nothing is shared.
        let raw = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel made it for this call.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor: watch(owned)?, watched: BTreeMap::new() })
    }

    /// Watches these folders and no others. One that is not there is tried again with the next call.
    pub(super) fn follow(&mut self, folders: Vec<PathBuf>) {
        let raw = self.descriptor.get_ref().as_raw_fd();
        let gone: Vec<PathBuf> =
            self.watched.keys().filter(|known| !folders.contains(known)).cloned().collect();
        for folder in gone {
            if let Some(number) = self.watched.remove(&folder) {
                // SAFETY: two numbers; one that the kernel does not know is an error of no consequence.
                unsafe { libc::inotify_rm_watch(raw, number) };
            }
        }
        for folder in folders.into_iter().take(FOLDERS) {
            if self.watched.contains_key(&folder) {
                continue;
            }
            let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { continue };
            // SAFETY: an open descriptor and a string that ends with a zero and outlives the call.
            let number = unsafe { libc::inotify_add_watch(raw, path.as_ptr(), EVENTS) };
            if number >= 0 {
                self.watched.insert(folder, number);
            } else {
                let error = io::Error::last_os_error();
                warn!(folder = %folder.display(), %error, "changes in a folder are not seen; `gateway reload` loads them");
            }
        }
    }

    /// Resolves when something happened since the last call.
    pub(super) async fn changed(&self) {
        loop {
            let Ok(mut ready) = self.descriptor.readable().await else {
                return std::future::pending().await;
            };
            let read = ready.try_io(|descriptor| {
                nix::unistd::read(descriptor.get_ref(), &mut [0; 4096]).map_err(Into::into)
            });
            // Whatever else waits is read with the next call, and once too often is no harm.
            if matches!(read, Ok(Ok(1..))) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::time::timeout;

    use super::*;

    /// Longer than any machine takes.
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn sees_files_written_renamed_and_linked_in_watched_folders_only() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut watch = FolderWatch::open().unwrap();
        watch.follow(vec![one.path().to_owned(), one.path().join("not-there")]);
        fs::write(one.path().join("a"), "1").unwrap();
        timeout(LONG, watch.changed()).await.unwrap();
        drain(&watch).await;
        fs::write(other.path().join("b"), "1").unwrap();
        assert!(timeout(Duration::from_millis(50), watch.changed()).await.is_err());
        fs::rename(other.path().join("b"), one.path().join("b")).unwrap();
        timeout(LONG, watch.changed()).await.unwrap();
        drain(&watch).await;
        std::os::unix::fs::symlink("b", one.path().join("c")).unwrap();
        timeout(LONG, watch.changed()).await.unwrap();
        drain(&watch).await;

        watch.follow(vec![other.path().to_owned()]);
        fs::write(other.path().join("d"), "1").unwrap();
        timeout(LONG, watch.changed()).await.unwrap();
        drain(&watch).await;
        fs::write(one.path().join("e"), "1").unwrap();
        assert!(timeout(Duration::from_millis(50), watch.changed()).await.is_err());
    }

    async fn drain(watch: &FolderWatch) {
        while timeout(Duration::from_millis(100), watch.changed()).await.is_ok() {}
    }
}
