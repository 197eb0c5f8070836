//! Certificates, keys and authorities: files that the guard opened and that are known here by
//! their configured path. Wiped when dropped.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt as _, path::Path};

use zeroize::Zeroizing;

/// Bytes of one file, at most.
const MOST: usize = 4 << 20;

/// Files of one configuration, at most.
const FILES: usize = 1024;

/// The contents by path.
#[derive(Default)]
pub struct Secrets(HashMap<String, Zeroizing<Vec<u8>>>);

impl Secrets {
    /// Reads an open file from its start: whoever passed it may have read it before.
    pub fn add(&mut self, path: String, file: &File) -> io::Result<()> {
        if self.0.len() >= FILES {
            return Err(io::Error::other("too many secret files"));
        }
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(io::Error::other("the file is over 4 MiB"));
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        file.read_exact_at(&mut bytes, 0)?;
        self.0.insert(path, bytes);
        Ok(())
    }

    /// Whether the file is the same in both, or in neither.
    pub(crate) fn agree(&self, other: &Self, path: &Path) -> bool {
        self.get(path) == other.get(path)
    }

    /// One file of others, if it is among them.
    pub(crate) fn adopt(&mut self, others: &Self, path: &Path) {
        if let (Some(name), Some(bytes)) = (path.to_str(), others.get(path))
            && (self.0.len() < FILES || self.holds(path))
        {
            self.0.insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
        }
    }

    /// These alone.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Self {
        let name = path.to_string_lossy().into_owned();
        Self(HashMap::from([(name, Zeroizing::new(bytes.to_vec()))]))
    }

    /// Those right inside a folder, by path.
    pub(crate) fn inside<'s>(
        &'s self,
        folder: &'s str,
    ) -> impl Iterator<Item = (&'s str, &'s [u8])> {
        let inside = move |path: &&str| path.rsplit_once('/').is_some_and(|(own, _)| own == folder);
        let all = self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        all.filter(move |(path, _)| inside(path))
    }

    pub(crate) fn holds(&self, path: &Path) -> bool {
        self.get(path).is_some()
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path.to_str()?).map(|bytes| bytes.as_slice())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
