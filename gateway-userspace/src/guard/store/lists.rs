//! Bulk lists on the disk: a file a list, written whole beside the old one and renamed over it. A
//! million entries are five megabytes and one write, where records of a database would be minutes.

use std::{
    fs::{self, DirBuilder, File},
    io::Read as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    clock::Wall,
    guard::{
        bans::{Named, NamedList, NetSet, is_list_name},
        kernel::BanSource,
        whole_file,
    },
};

/// What a file begins with; another form has another number.
const MAGIC: &[u8; 8] = b"gwlist1\n";

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

/// More than any list that fits the kernel.
const LARGEST: u64 = 1 << 31;

const ENDING: &str = "list";

/// The folder of the lists.
#[derive(Debug)]
pub(crate) struct ListFolder {
    path: PathBuf,
}

/// What is known of a list beside its entries.
#[derive(Serialize, Deserialize)]
struct HeadV1 {
    source: u8,
    since: u64,
    expires: Option<u64>,
    given: u64,
    note: String,
    v4: u64,
    v6: u64,
}

impl ListFolder {
    /// Opens the folder within that of the store, and reads every list in it.
    pub(crate) fn open(store: &Path) -> Result<(Self, Named), StoreError> {
        let path = store.join("lists");
        let failed = |source| StoreError::Folder { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let mut named = Named::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_none_or(|ending| ending != ENDING) {
                // Of a write that was cut short; the list as it was stands beside it.
                fs::remove_file(&file).map_err(failed)?;
                continue;
            }
            let (name, list) = read(&file)?;
            named.insert(name, Arc::new(list));
        }
        Ok((Self { path }, named))
    }

    /// Writes a list; it is on the disk when this returns.
    pub(crate) fn save(&self, name: &str, list: &NamedList) -> Result<(), StoreError> {
        let file = self.file(name);
        let written = whole_file::replace(&file, &encode(list));
        written.map_err(|source| StoreError::List { path: file, source })
    }

    /// Removes a list.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let file = self.file(name);
        whole_file::remove(&file).map_err(|source| StoreError::List { path: file, source })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.{ENDING}"))
    }
}

/// To go on without a list would be to let its sources in: what does not read stops the start.
fn read(path: &Path) -> Result<(String, NamedList), StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt { path: path.to_owned(), why: why.to_owned() };
    let name = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_list_name(name));
    let name = name.ok_or_else(|| corrupt("its name is none of a list"))?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|source| StoreError::List { path: path.to_owned(), source })?;
    let list = decode(&bytes).ok_or_else(|| corrupt("its checksum or form is wrong"))?;
    Ok((name.to_owned(), list))
}

fn encode(list: &NamedList) -> Vec<u8> {
    let head = HeadV1 {
        source: list.source.number(),
        since: list.since.0,
        expires: list.expires.map(|at| at.0),
        given: list.given,
        note: list.note.as_ref().to_owned(),
        v4: list.nets.v4.len() as u64,
        v6: list.nets.v6.len() as u64,
    };
    // Nothing in a head has a form that postcard refuses; an empty one would read as corrupt.
    let head = postcard::to_stdvec(&head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(64 + head.len() + list.nets.v4.len() * 5);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&head);
    for (address, length) in &list.nets.v4 {
        bytes.extend_from_slice(&address.to_be_bytes());
        bytes.push(*length);
    }
    for (address, length) in &list.nets.v6 {
        bytes.extend_from_slice(&address.to_be_bytes());
        bytes.push(*length);
    }
    let checksum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(checksum.as_ref());
    bytes
}

fn decode(bytes: &[u8]) -> Option<NamedList> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if digest(&SHA256, content).as_ref() != checksum {
        return None;
    }
    let (head, entries) = postcard::take_from_bytes::<HeadV1>(content.strip_prefix(MAGIC)?).ok()?;
    let (v4, v6) = (usize::try_from(head.v4).ok()?, usize::try_from(head.v6).ok()?);
    let (entries4, entries6) = entries.split_at_checked(v4.checked_mul(5)?)?;
    if entries6.len() != v6.checked_mul(17)? {
        return None;
    }
    let v4 = entries4.chunks_exact(5).filter_map(|entry| {
        let (address, length) = entry.split_first_chunk()?;
        Some((u32::from_be_bytes(*address), *length.first()?))
    });
    let v6 = entries6.chunks_exact(17).filter_map(|entry| {
        let (address, length) = entry.split_first_chunk()?;
        Some((u128::from_be_bytes(*address), *length.first()?))
    });
    Some(NamedList {
        source: BanSource::from_number(head.source)?,
        note: head.note.into(),
        since: Wall(head.since),
        expires: head.expires.map(Wall),
        given: head.given,
        nets: Arc::new(NetSet::ordered(v4.collect(), v6.collect())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(nets: &[&str]) -> NamedList {
        let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
        NamedList {
            source: BanSource::Import,
            note: "from a friend".into(),
            since: Wall(1),
            expires: Some(Wall(2)),
            given: 9,
            nets: Arc::new(NetSet::of(&nets)),
        }
    }

    #[test]
    fn what_is_saved_is_there_at_the_next_start_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (lists, named) = ListFolder::open(folder.path()).unwrap();
        assert!(named.is_empty());
        let saved = list(&["192.0.2.0/24", "10.0.0.1/32", "2001:db8::/47"]);
        lists.save("drop", &saved).unwrap();
        lists.save("empty", &list(&[])).unwrap();
        lists.save("empty", &list(&["192.0.2.9/32"])).unwrap();
        fs::write(folder.path().join("lists/other.new"), "cut short").unwrap();
        let (lists, named) = ListFolder::open(folder.path()).unwrap();
        assert_eq!(named.len(), 2);
        assert_eq!(*named["drop"], saved);
        lists.remove("drop").unwrap();
        lists.remove("drop").unwrap();
        assert_eq!(ListFolder::open(folder.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn no_damage_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let (lists, _) = ListFolder::open(folder.path()).unwrap();
        lists.save("drop", &list(&["192.0.2.0/24", "2001:db8::/32"])).unwrap();
        let file = folder.path().join("lists/drop.list");
        let whole = fs::read(&file).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {place}");
            assert!(decode(&whole[..place]).is_none(), "cut at {place}");
        }
        fs::write(&file, &whole[1..]).unwrap();
        let refused = ListFolder::open(folder.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }
}
