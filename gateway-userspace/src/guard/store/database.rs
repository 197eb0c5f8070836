//! The file: opened, read whole at start, and written in one transaction a batch.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use redb::{
    Database as Redb, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableHandle as _, WriteTransaction, backends::FileBackend,
};
use serde::Serialize;

use super::{
    Change, StoreError, Stored,
    record::{Record, decode, decode_net, encode},
};
use crate::clock::Wall;

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

const BANS: Bytes = TableDefinition::new("bans.v1");
const ALLOWS: Bytes = TableDefinition::new("allows.v1");
const KEYS: Bytes = TableDefinition::new("keys.v1");
const OFFENDERS: Bytes = TableDefinition::new("offenders.v1");
/// One row.
const POLICY: Bytes = TableDefinition::new("policy.v1");
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta.v1");

const SEEN: &str = "seen";

/// Memory for pages of the file.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The open store.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    redb: Redb,
}

impl Database {
    /// Opens the store in `folder`, made if it is not there, readable by nobody else.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join("store.redb");
        let database = Self::open_file(&path)?;
        database.make_tables()?;
        Ok(database)
    }

    /// Reads everything. A record that does not read is corruption: to go on without a ban would
    /// be to let its source in.
    pub(super) fn load(&self) -> Result<Stored, StoreError> {
        let transaction = self.redb.begin_read().map_err(|error| self.failed(error))?;
        let seen = {
            let meta = transaction.open_table(META).map_err(|error| self.failed(error))?;
            meta.get(SEEN).map_err(|error| self.failed(error))?.map(|value| Wall(value.value()))
        };
        Ok(Stored {
            bans: self.read(&transaction, BANS, decode_net)?,
            allows: self.read(&transaction, ALLOWS, decode_net)?,
            keys: self.read(&transaction, KEYS, decode)?,
            offenders: self.read(&transaction, OFFENDERS, decode_net)?,
            policy: self.read(&transaction, POLICY, decode::<()>)?.pop().map(|((), policy)| policy),
            seen,
        })
    }

    /// Writes a batch. It is on the disk when this returns.
    pub(super) fn apply<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<(), StoreError> {
        let transaction = self.redb.begin_write().map_err(|error| self.failed(error))?;
        write(&transaction, changes).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| failed(path, redb::Error::Io(source)))?;
        // With debug assertions redb panics where it would otherwise report corruption.
        let opened = catch_unwind(|| {
            Redb::builder().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)
        });
        match opened {
            Ok(Ok(redb)) => Ok(Self { path: path.to_owned(), redb }),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
                Err(StoreError::Busy { path: path.to_owned() })
            }
            Ok(Err(error)) => Err(failed(path, error.into())),
            Err(_) => Err(StoreError::Corrupt {
                path: path.to_owned(),
                why: "its pages contradict each other".to_owned(),
            }),
        }
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        let transaction = self.redb.begin_write().map_err(|error| self.failed(error))?;
        if let Some(table) = unknown_table(&transaction).map_err(|error| self.failed(error))? {
            return Err(StoreError::Newer { path: self.path.clone(), table });
        }
        for table in [BANS, ALLOWS, KEYS, OFFENDERS, POLICY] {
            transaction.open_table(table).map(drop).map_err(|error| self.failed(error))?;
        }
        transaction.open_table(META).map(drop).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn read<K, R: Record>(
        &self,
        transaction: &redb::ReadTransaction,
        table: Bytes,
        key: impl Fn(&[u8]) -> Option<K>,
    ) -> Result<Vec<(K, R)>, StoreError> {
        let rows = transaction.open_table(table).map_err(|error| self.failed(error))?;
        let mut records = Vec::new();
        for row in rows.iter().map_err(|error| self.failed(error))? {
            let (name, value) = row.map_err(|error| self.failed(error))?;
            let record = key(name.value()).zip(decode(value.value()).and_then(R::read));
            records.push(record.ok_or_else(|| StoreError::Corrupt {
                path: self.path.clone(),
                why: format!("a record of table {} does not read", table.name()),
            })?);
        }
        Ok(records)
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        failed(&self.path, error.into())
    }
}

/// A table of a later version, if there is one.
fn unknown_table(transaction: &WriteTransaction) -> Result<Option<String>, redb::Error> {
    let ours = [BANS, ALLOWS, KEYS, OFFENDERS, POLICY].map(|table| table.name().to_owned());
    let mut tables = transaction.list_tables()?;
    let known = |name: &str| name == META.name() || ours.iter().any(|table| table == name);
    Ok(tables.find(|table| !known(table.name())).map(|table| table.name().to_owned()))
}

fn write<'a>(
    transaction: &WriteTransaction,
    changes: impl IntoIterator<Item = &'a Change>,
) -> Result<(), redb::Error> {
    let mut bans = transaction.open_table(BANS)?;
    let mut allows = transaction.open_table(ALLOWS)?;
    let mut keys = transaction.open_table(KEYS)?;
    let mut offenders = transaction.open_table(OFFENDERS)?;
    let mut policies = transaction.open_table(POLICY)?;
    let mut meta = transaction.open_table(META)?;
    for change in changes {
        match change {
            Change::Ban(net, ban) => put(&mut bans, net, ban.as_ref())?,
            Change::Allow(net, allow) => put(&mut allows, net, allow.as_ref())?,
            Change::Key(id, key) => put(&mut keys, id, key.as_ref())?,
            Change::Offender(net, past) => put(&mut offenders, net, past.as_ref())?,
            Change::Policy(policy) => put(&mut policies, &(), Some(policy))?,
            Change::Seen(at) => drop(meta.insert(SEEN, at.0)?),
        }
    }
    Ok(())
}

fn put<K: Serialize, R: Record>(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &K,
    record: Option<&R>,
) -> Result<(), redb::Error> {
    let key = encode(key);
    match record {
        Some(record) => drop(table.insert(&*key, &*encode(&record.stored()))?),
        None => drop(table.remove(&*key)?),
    }
    Ok(())
}

fn failed(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    let corrupt = |why: String| StoreError::Corrupt { path: path.clone(), why };
    if let redb::Error::Corrupted(why) = error {
        return corrupt(why);
    }
    if let redb::Error::Io(io) = &error {
        use io::ErrorKind::{InvalidData, QuotaExceeded, StorageFull, UnexpectedEof};
        if matches!(io.kind(), InvalidData | UnexpectedEof) {
            return corrupt(io.to_string());
        }
        if matches!(io.kind(), StorageFull | QuotaExceeded) {
            return StoreError::DiskFull { path };
        }
    }
    StoreError::Database { path, source: Box::new(error) }
}
