//! What outlives the guard: bans, allowed prefixes, keys, past offences, and the last time seen.
//!
//! One file, one writer: a thread of its own, because each commit waits for the disk. Bulk lists
//! have files of their own.

mod database;
mod lists;
mod record;
mod writer;

use std::path::PathBuf;

use ipnet::IpNet;

pub(crate) use self::{
    lists::ListFolder,
    writer::{Durable, Store},
};
use super::{
    allows::Allow,
    bans::{Ban, Offender},
    keys::StoredKey,
    policy::StoredPolicy,
};
use crate::clock::Wall;

/// One thing to write: `None` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Ban(IpNet, Option<Ban>),
    Allow(IpNet, Option<Allow>),
    Key(String, Option<StoredKey>),
    Offender(IpNet, Option<Offender>),
    Policy(StoredPolicy),
    /// The time as of the last write, for a clock that loses its own.
    Seen(Wall),
}

/// All that was stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) bans: Vec<(IpNet, Ban)>,
    pub(crate) allows: Vec<(IpNet, Allow)>,
    pub(crate) keys: Vec<(String, StoredKey)>,
    pub(crate) offenders: Vec<(IpNet, Offender)>,
    pub(crate) policy: Option<StoredPolicy>,
    pub(crate) seen: Option<Wall>,
}

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("preparing the folder {path} of the store; guard.state names it")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the store {path} is corrupt ({why}); put a copy back, or move it away and start anew without its bans and keys"
    )]
    Corrupt { path: PathBuf, why: String },
    #[error(
        "the store {path} was written by a newer version (table {table}); start that version, or move the store away"
    )]
    Newer { path: PathBuf, table: String },
    #[error("the store {path} is in use by another process")]
    Busy { path: PathBuf },
    #[error("the disk of the store {path} is full; make room, it is tried again every few seconds")]
    DiskFull { path: PathBuf },
    #[error("reading or writing the list {path}")]
    List {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("using the store {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
}

#[cfg(test)]
mod tests;
