//! The files a proxy gets as open descriptors, and what a proxy is made of: nothing of it is parsed
//! here, only opened and hashed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use nix::libc;
use zeroize::Zeroizing;

use super::{launch::PROGRAM, outfit::sealed};
use crate::{
    config::model::{Acme, Config, Supplier, Waf},
    guard::error::GuardError,
};

/// Bytes of a certificate, key or authority file.
const SECRET_BYTES: u64 = 4 * 1024 * 1024;

/// Files of rules, at most.
const RULE_FILES: usize = 512;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Contents of certificates, keys and authorities, by path, in memory files of our own: whatever
/// becomes of the file on the disk.
#[derive(Debug)]
pub(in crate::guard) struct Files(pub(super) Vec<(PathBuf, File)>);

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    secret: bool,
    /// A listener's: taken by a serving proxy. What only suppliers use takes another proxy.
    pub(super) renewed: bool,
    /// Written by this guard for its proxies, and not there before the first time.
    pub(super) own: bool,
}

impl Files {
    /// Reads what the configuration names.
    pub(in crate::guard) fn open(config: &Config) -> Result<Self, GuardError> {
        let there = named(config).into_iter().filter(|one| !one.own || one.path.exists());
        let read = there.map(|one| Ok((one.path.clone(), one.read()?)));
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Paths of what a serving proxy does not take by itself.
    pub(in crate::guard) fn lasting(config: &Config) -> Vec<PathBuf> {
        named(config).into_iter().filter(|one| !one.renewed).map(|one| one.path).collect()
    }

    /// Of all contents that a serving proxy does not take, each with its path.
    pub(in crate::guard) fn digest(&self, config: &Config) -> Result<[u8; 32], GuardError> {
        let mut hash = Context::new(&SHA256);
        let lasting: BTreeSet<PathBuf> = Self::lasting(config).into_iter().collect();
        for (path, file) in self.0.iter().filter(|(path, _)| lasting.contains(path)) {
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

    pub(in crate::guard) fn copy(&self) -> io::Result<Self> {
        let copy = |(path, file): &(PathBuf, File)| Ok((path.clone(), file.try_clone()?));
        self.0.iter().map(copy).collect::<io::Result<_>>().map(Self)
    }
}

impl Named {
    /// Its content, as a memory file that nobody can change.
    pub(super) fn read(&self) -> Result<File, GuardError> {
        let path = &self.path;
        let file = if self.secret { open_secret(path)? } else { open(path)? };
        let content = content(&file).map_err(GuardError::path("reading", path))?;
        sealed(c"gateway-secret", &content).map_err(GuardError::system("making a memory file"))
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

/// The files of the configuration, each once.
pub(super) fn named(config: &Config) -> Vec<Named> {
    let mut all: BTreeMap<PathBuf, Named> = BTreeMap::new();
    let of = |renewed| move |(path, secret): (&PathBuf, bool)| (path.clone(), secret, renewed);
    let listeners = config.listeners.iter().flat_map(|listener| listener.tls.files());
    let suppliers = config.suppliers.iter().flat_map(Supplier::files);
    let acme = config.acme.iter().flat_map(Acme::files);
    let tokens = config.tokens().flat_map(|(_, tokens)| tokens.files());
    let contracts = config.routes.iter().filter_map(|route| route.openapi.as_ref());
    let contracts = contracts.flat_map(|contract| &contract.documents).map(|path| (path, false));
    let rules = config.waf.iter().flat_map(rule_files).map(|path| (path, false, false));
    let renewed = listeners.chain(acme).map(of(true));
    let lasting = suppliers.chain(tokens).chain(contracts).map(of(false));
    for (path, secret, renewed) in renewed.chain(lasting).chain(rules) {
        let known = all.entry(path.clone());
        let fresh = Named { path: path.clone(), secret: false, renewed: false, own: false };
        let known = known.or_insert(fresh);
        known.secret |= secret;
        known.renewed |= renewed;
    }
    let account = config.acme.iter().map(|acme| &acme.account);
    let keys = config.tokens().filter(|(_, tokens)| tokens.fetches());
    let keys = keys.map(|(_, tokens)| &tokens.kept);
    for path in config.managed().into_iter().map(|one| &one.file).chain(account).chain(keys) {
        let own = Named { path: path.clone(), secret: true, renewed: true, own: true };
        all.insert(path.clone(), own);
    }
    all.into_values().collect()
}

/// Every file in the folders that rules are read from: they name others beside them. What cannot be
/// listed is missed by who reads the rules, and named there.
fn rule_files(waf: &Waf) -> Vec<PathBuf> {
    let folders: BTreeSet<&Path> =
        waf.rules.iter().filter_map(|path| Path::new(path).parent()).collect();
    let entries = folders.into_iter().filter_map(|folder| folder.read_dir().ok()).flatten();
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<PathBuf> = files.take(RULE_FILES).collect();
    files.sort();
    files
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
    fn a_suppliers_new_authorities_change_the_digest_and_the_same_content_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[[supplier]]\nname = \"s\"\ntargets = [\"https://s.example\"]\nca = \"{}\"\n",
            path.display()
        );
        let config = crate::config::load(&text, "t.toml").unwrap();
        let digest = || Files::open(&config).unwrap().digest(&config).unwrap();
        fs::write(&path, "one").unwrap();
        let before = digest();
        fs::write(&path, "two").unwrap();
        assert_ne!(before, digest());
        // As renewal does it: another file under the name.
        fs::write(folder.path().join("new"), "one").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(before, digest());
    }

    #[test]
    fn the_program_is_hashed_whole() {
        let whole = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(program().unwrap(), crate::guard::keys::sha256(&whole));
    }
}
