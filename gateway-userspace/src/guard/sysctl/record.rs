//! What was changed and what it was before, on the disk before the change: a guard that starts
//! after one was killed can put it right.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::guard::whole_file;

/// In the state folder.
const FILE: &str = "sysctl.json";

/// Changes kept, and bytes read of a file that should be ours: there are two settings to change.
const CHANGES: usize = 8;
const BYTES: u64 = 4096;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) was: u64,
    pub(super) set: u64,
}

/// Where a change holds. Another boot or namespace began with values of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    boot: String,
    namespace: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    place: Place,
    changes: Vec<Change>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    place: Place,
}

impl Place {
    /// Where this process runs; what cannot be read is the same every time.
    fn of_this_process() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/net").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), namespace: namespace.display().to_string() }
    }
}

impl Record {
    pub(super) fn new(state: &Path) -> Self {
        Self { path: state.join(FILE), place: Place::of_this_process() }
    }

    /// What an earlier guard changed here; empty if nothing, or not here.
    pub(super) fn read(&self) -> io::Result<Vec<Change>> {
        let length = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?.len(),
        };
        let unfit = || io::Error::new(io::ErrorKind::InvalidData, "it is not a record of ours");
        if length > BYTES {
            return Err(unfit());
        }
        let content: Content = serde_json::from_slice(&fs::read(&self.path)?)?;
        if content.changes.len() > CHANGES {
            return Err(unfit());
        }
        Ok(if content.place == self.place { content.changes } else { Vec::new() })
    }

    /// Replaces it, on the disk when this returns.
    pub(super) fn write(&self, changes: &[Change]) -> io::Result<()> {
        let content = Content { place: self.place.clone(), changes: changes.to_vec() };
        whole_file::replace(&self.path, &serde_json::to_vec(&content)?)
    }

    /// Nothing is changed any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        whole_file::remove(&self.path)
    }
}
