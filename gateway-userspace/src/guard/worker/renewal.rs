//! Certificates that change while they are served. The files are looked at once a second: that also
//! sees what a watch on a folder does not, a symbolic link two folders up that is exchanged, as
//! orchestrators do, or a file system without notifications. What has changed is read when it has
//! been quiet for a second, for a certificate and its key rarely come in one instant.
//!
//! The contents that the proxy took last are kept, so that a broken file on the disk is no reason
//! for its next start to fail.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tracing::warn;

use super::files::{Files, Named, named};
use crate::{
    config::model::{Certificates, Config, Tls},
    guard::error::GuardError,
    ipc::message::RefusedFile,
};

/// Looks that something may go on changing before it is read all the same.
const RESTLESS: u32 = 10;

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What the proxy was given, and what is on the disk since.
#[derive(Debug)]
pub(in crate::guard) struct Renewal {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// Looks since the first change that was not read yet.
    restless: Option<u32>,
    /// Contents that the proxy took.
    held: BTreeMap<PathBuf, File>,
    /// Contents that it was sent and has not answered.
    sent: Option<(u64, Files)>,
    next: u64,
}

impl Renewal {
    /// From here on changes are seen.
    pub(in crate::guard) fn new(config: &Config) -> Self {
        let (held, sent) = (BTreeMap::new(), None);
        Self { stamps: stamps(config), restless: None, held, sent, next: 0 }
    }

    /// What a new proxy gets: what the last one took, else what is on the disk.
    pub(in crate::guard) fn outfit(&mut self, config: &Config) -> Result<Files, GuardError> {
        self.sent = None;
        for one in named(config) {
            if one.own {
                self.look_after(&one);
                continue;
            }
            if let Entry::Vacant(place) = self.held.entry(one.path.clone()) {
                place.insert(one.read()?);
            }
        }
        let copied = self.held.iter().map(|(path, file)| Ok((path.clone(), file.try_clone()?)));
        let copied = copied.collect::<io::Result<_>>();
        copied.map(Files).map_err(GuardError::system("duplicating a certificate's descriptor"))
    }

    /// What this guard wrote itself is the latest, and good: a proxy had it checked before.
    fn look_after(&mut self, one: &Named) {
        match one.read() {
            Ok(file) => drop(self.held.insert(one.path.clone(), file)),
            Err(_) if !one.path.exists() => drop(self.held.remove(&one.path)),
            Err(error) => warn!(error = %crate::guard::chain(&error), "kept as it was"),
        }
    }

    /// What a serving proxy gets with another configuration: of listeners what it took last, so that
    /// a broken file holds up nothing; all else from the disk.
    pub(in crate::guard) fn outfit_of(&self, config: &Config) -> Result<Files, GuardError> {
        let there =
            |one: &Named| !one.own || self.held.contains_key(&one.path) || one.path.exists();
        let one = |one: Named| {
            let file = match self.held.get(&one.path).filter(|_| one.renewed) {
                Some(held) => held
                    .try_clone()
                    .map_err(GuardError::system("duplicating a certificate's descriptor"))?,
                None => one.read()?,
            };
            Ok((one.path, file))
        };
        named(config).into_iter().filter(there).map(one).collect::<Result<_, _>>().map(Files)
    }

    /// It goes by them; what it does not need any more is forgotten.
    pub(in crate::guard) fn taken(&mut self, files: Files) {
        self.held = files.0.into_iter().collect();
    }

    /// Whether all contents are known that the proxy serves: not of one that was taken over.
    pub(in crate::guard) fn is_complete(&self, config: &Config) -> bool {
        named(config).iter().all(|one| one.own || self.held.contains_key(&one.path))
    }

    /// Looks at all files. True if they are to be read again.
    pub(in crate::guard) fn look(&mut self, config: &Config) -> bool {
        let now = stamps(config);
        let same = now == self.stamps;
        self.stamps = now;
        let looks = match (same, self.restless) {
            (true, None) => return false,
            (true, Some(_)) => RESTLESS,
            (false, looks) => looks.unwrap_or(0) + 1,
        };
        self.restless = (looks < RESTLESS).then_some(looks);
        looks >= RESTLESS
    }

    /// Reads everything anew for the proxy: a number for its answer, the files, and those that
    /// cannot be opened.
    pub(in crate::guard) fn read(
        &mut self,
        config: &Config,
    ) -> Result<(u64, Files, Vec<RefusedFile>), GuardError> {
        let mut files = Vec::new();
        let mut unreadable = Vec::new();
        for one in named(config).into_iter().filter(|one| one.renewed) {
            match one.read() {
                Ok(file) => files.push((one.path, file)),
                Err(_) if one.own && !one.path.exists() => {}
                Err(error) => unreadable.push(RefusedFile {
                    path: one.path.display().to_string(),
                    why: crate::guard::chain(&error),
                }),
            }
        }
        let files = Files(files);
        let copies = files.copy().map_err(GuardError::system("duplicating a descriptor"))?;
        self.next += 1;
        self.sent = Some((self.next, copies));
        Ok((self.next, files, unreadable))
    }

    /// The proxy has answered: what it took is kept. Those that it refused come back, as the
    /// configuration names them; `None` for an answer to something else.
    pub(in crate::guard) fn answered(
        &mut self,
        id: u64,
        refused: &[RefusedFile],
        more: bool,
        config: &Config,
    ) -> Option<Vec<PathBuf>> {
        let (_, files) = self.sent.take_if(|(sent, _)| *sent == id)?;
        let is_refused = |path: &Path| refused.iter().any(|file| Path::new(&file.path) == path);
        let groups: Vec<Vec<PathBuf>> =
            config.listeners.iter().flat_map(|listener| groups(&listener.tls)).collect();
        let bad: Vec<&Vec<PathBuf>> = groups
            .iter()
            .filter(|group| group.first().is_some_and(|path| is_refused(path)))
            .collect();
        for (path, file) in files.0 {
            let broken = more || bad.iter().any(|group| group.contains(&path));
            if !broken {
                self.held.insert(path, file);
            }
        }
        let mut told: Vec<PathBuf> =
            bad.into_iter().filter_map(|group| group.first()).cloned().collect();
        told.dedup();
        Some(told)
    }
}

/// Files that are taken together or not at all, by the one that stands for them.
fn groups(tls: &Tls) -> Vec<Vec<PathBuf>> {
    let mut groups: Vec<Vec<PathBuf>> = Vec::new();
    if let Certificates::Files(pairs) = &tls.certificates {
        groups.extend(pairs.iter().map(|pair| vec![pair.certificate.clone(), pair.key.clone()]));
    }
    groups.extend(tls.managed.iter().map(|one| vec![one.file.clone()]));
    if let Some(clients) = &tls.clients {
        let files = std::iter::once(&clients.authorities).chain(&clients.crls);
        groups.push(files.cloned().collect());
    }
    groups
}

fn stamps(config: &Config) -> BTreeMap<PathBuf, Option<Stamp>> {
    let renewed = named(config).into_iter().filter(|one| one.renewed);
    renewed.map(|one| (one.path.clone(), stamp(&one.path))).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let status = fs::metadata(path).ok()?;
    Some(Stamp {
        device: status.dev(),
        inode: status.ino(),
        length: status.len(),
        modified: (status.mtime(), status.mtime_nsec()),
        changed: (status.ctime(), status.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::{
        model::{Listener, Pair},
        testing::sample,
    };

    fn config(folder: &Path) -> Config {
        let mut config = sample("");
        let (certificate, key) = (folder.join("edge.pem"), folder.join("edge.key"));
        config.listeners = vec![Listener {
            address: "127.0.0.1:1".parse().unwrap(),
            proxy_protocol: false,
            tls: Tls::of(Certificates::Files(vec![Pair { certificate, key }])),
        }];
        config
    }

    fn folder() -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["edge.pem", "edge.key"] {
            write(&folder.path().join(name), "first");
        }
        let config = config(folder.path());
        (folder, config)
    }

    fn write(path: &Path, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn text(files: &Files, name: &str) -> String {
        use std::os::unix::fs::FileExt as _;
        let (_, file) = files.0.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_change_is_read_once_when_it_is_over() {
        let (folder, config) = folder();
        let mut renewal = Renewal::new(&config);
        assert!(!renewal.look(&config));
        write(&folder.path().join("new"), "another");
        fs::rename(folder.path().join("new"), folder.path().join("edge.pem")).unwrap();
        assert!(!renewal.look(&config));
        write(&folder.path().join("edge.key"), "its key");
        assert!(!renewal.look(&config));
        assert!(renewal.look(&config));
        assert!(!renewal.look(&config));
    }

    #[test]
    fn a_file_that_never_rests_is_read_all_the_same() {
        let (folder, config) = folder();
        let mut renewal = Renewal::new(&config);
        let read = (0..u32::MAX).position(|turn| {
            write(&folder.path().join("edge.pem"), &"x".repeat(turn as usize + 10));
            renewal.look(&config)
        });
        assert_eq!(read, Some(RESTLESS as usize - 1));
    }

    #[test]
    fn a_link_that_is_exchanged_above_the_file_is_seen() {
        let (folder, _) = folder();
        let version = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            write(&path.join("edge.pem"), name);
            write(&path.join("edge.key"), name);
            path
        };
        let (one, two) = (version("one"), version("two"));
        let link = folder.path().join("current");
        symlink(&one, &link).unwrap();
        let config = config(&link);
        let mut renewal = Renewal::new(&config);
        let fresh = folder.path().join("fresh");
        symlink(&two, &fresh).unwrap();
        fs::rename(&fresh, &link).unwrap();
        assert!(!renewal.look(&config) && renewal.look(&config));
    }

    #[test]
    fn the_next_proxy_gets_what_the_last_one_took() {
        let (folder, config) = folder();
        let mut renewal = Renewal::new(&config);
        assert_eq!(text(&renewal.outfit(&config).unwrap(), "edge.pem"), "first");
        write(&folder.path().join("edge.pem"), "broken");
        let (id, files, unreadable) = renewal.read(&config).unwrap();
        assert_eq!((text(&files, "edge.pem").as_str(), unreadable.len()), ("broken", 0));
        let path = folder.path().join("edge.pem").display().to_string();
        let refused = [RefusedFile { path, why: "no PEM".to_owned() }];
        assert_eq!(renewal.answered(id + 1, &refused, false, &config), None);
        let told = renewal.answered(id, &refused, false, &config).unwrap();
        assert_eq!(told, [folder.path().join("edge.pem")]);
        assert_eq!(text(&renewal.outfit(&config).unwrap(), "edge.pem"), "first");

        write(&folder.path().join("edge.pem"), "second");
        fs::remove_file(folder.path().join("edge.key")).unwrap();
        let (id, _, unreadable) = renewal.read(&config).unwrap();
        assert!(unreadable[0].why.contains("edge.key"), "{unreadable:?}");
        assert!(renewal.answered(id, &[], false, &config).unwrap().is_empty());
        assert_eq!(text(&renewal.outfit(&config).unwrap(), "edge.pem"), "second");
        assert_eq!(text(&renewal.outfit(&config).unwrap(), "edge.key"), "first");
    }
}
