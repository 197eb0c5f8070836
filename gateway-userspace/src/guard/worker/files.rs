//! The files a proxy gets as open descriptors, and what a proxy is made of: nothing of it is parsed
//! here, only opened and hashed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use nix::libc;
use zeroize::Zeroizing;

use super::launch::PROGRAM;
use crate::{
    config::model::{Config, Tls},
    guard::error::GuardError,
};

/// Bytes of a certificate, key or authority file.
const SECRET_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Open certificates, keys and authorities, by path.
#[derive(Debug)]
pub(in crate::guard) struct Files(pub(super) Vec<(PathBuf, File)>);

impl Files {
    /// Opens what the configuration names.
    pub(in crate::guard) fn open(config: &Config) -> Result<Self, GuardError> {
        let opened = named(config).into_iter().map(|(path, secret)| {
            let file = if secret { open_secret(&path)? } else { open(&path)? };
            Ok((path, file))
        });
        opened.collect::<Result<_, _>>().map(Self)
    }

    /// Of all contents, each with its path. A renewed certificate changes it.
    pub(in crate::guard) fn digest(&self) -> Result<[u8; 32], GuardError> {
        let mut hash = Context::new(&SHA256);
        for (path, file) in &self.0 {
            let name = path.as_os_str().as_encoded_bytes();
            let content = content(file).map_err(GuardError::path("reading", path))?;
            for part in [name, content.as_slice()] {
                // With its length, so that no two sets of files read alike.
                hash.update(&part.len().to_le_bytes());
                hash.update(part);
            }
        }
        Ok(finished(hash))
    }
}

/// Of the running program, also when its file was replaced.
pub(in crate::guard) fn program() -> io::Result<[u8; 32]> {
    let mut file = File::open(PROGRAM)?;
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(finished(hash));
        }
        hash.update(chunk.get(..read).unwrap_or_default());
    }
}

/// Leaves the position alone, which the proxy's descriptor shares.
fn content(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len().min(SECRET_BYTES);
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(0)]);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn finished(whole: Context) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(whole.finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// The files of the configuration, and whether they are secret.
fn named(config: &Config) -> Vec<(PathBuf, bool)> {
    let mut paths = Vec::new();
    for listener in &config.listeners {
        if let Tls::Files { certificate, key } = &listener.tls {
            paths.extend([(certificate.clone(), false), (key.clone(), true)]);
        }
    }
    paths.extend(config.suppliers.iter().filter_map(|one| one.ca.clone()).map(|ca| (ca, false)));
    for pair in config.suppliers.iter().filter_map(|one| one.profile.certificate.as_ref()) {
        paths.extend([(pair.certificate.clone(), false), (pair.key.clone(), true)]);
    }
    paths.sort();
    paths.dedup();
    paths
}

fn open_secret(path: &Path) -> Result<File, GuardError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(GuardError::path("looking at", path))?.mode();
    if mode & 0o004 == 0 { Ok(file) } else { Err(GuardError::OpenSecret { path: path.to_owned() }) }
}

fn open(path: &Path) -> Result<File, GuardError> {
    // Not to hang on a pipe that someone put there.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(GuardError::path("opening", path))?;
    let status = file.metadata().map_err(GuardError::path("looking at", path))?;
    if status.is_file() && status.len() <= SECRET_BYTES {
        return Ok(file);
    }
    Err(GuardError::NoSecret { path: path.to_owned(), limit: SECRET_BYTES })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_key_that_everyone_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.key");
        fs::write(&path, "k").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open_secret(&path), Err(GuardError::OpenSecret { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        open_secret(&path).unwrap();
    }

    #[test]
    fn a_secret_that_is_no_file_is_refused_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path()), Err(GuardError::NoSecret { .. })));
        let missing = open(&folder.path().join("edge.key")).unwrap_err();
        assert!(missing.to_string().contains("edge.key"));
    }

    #[test]
    fn a_renewed_file_changes_the_digest_and_the_same_content_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let digest = |names: &[&str]| {
            let open = |name: &&str| (path(name), File::open(path(name)).unwrap());
            Files(names.iter().map(open).collect()).digest().unwrap()
        };
        fs::write(path("a"), "one").unwrap();
        fs::write(path("b"), "two").unwrap();
        let before = digest(&["a", "b"]);
        assert_ne!(before, digest(&["a"]));
        fs::write(path("b"), "twp").unwrap();
        assert_ne!(before, digest(&["a", "b"]));
        // As certificate renewal does it: another file under the name.
        fs::write(path("new"), "two").unwrap();
        fs::rename(path("new"), path("b")).unwrap();
        assert_eq!(before, digest(&["a", "b"]));
    }

    #[test]
    fn the_program_is_hashed_whole() {
        let whole = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(program().unwrap(), crate::guard::keys::sha256(&whole));
    }
}
