//! What a proxy has had issued, written to the state folder: by the guard, which alone writes there,
//! and unread, since an authority's words are a stranger's. The disk holds nobody up: a thread
//! writes, and the next tick tells the proxy.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use tracing::{error, info};
use zeroize::Zeroizing;

use super::Core;
use crate::{
    config::model::Config,
    control::Response,
    guard::{chain, whole_file},
    ipc::message::{FromGuard, Kept},
};

/// Writes under way: an honest proxy has one.
const WRITERS: usize = 4;

/// Bytes of one file, well within a frame.
const BYTES: usize = 48 * 1024;

/// Writes under way, by the number of what asked for it.
#[derive(Debug, Default)]
pub(super) struct Keepers(Vec<(u64, PathBuf, JoinHandle<io::Result<()>>)>);

impl Core {
    /// A proxy has something to keep.
    pub(super) fn keep(&mut self, id: u64, what: &Kept, content: Vec<u8>) {
        let content = Zeroizing::new(content);
        let busy = self.keepers.0.iter().any(|(known, ..)| *known == id);
        let Some(path) = place(&self.config, what) else {
            self.counts.messages_refused += 1;
            return self.kept(id, Some("the configuration names nothing of the kind".to_owned()));
        };
        if busy {
            // Asked again before it was answered.
            return;
        }
        if content.len() > BYTES || self.keepers.0.len() >= WRITERS {
            self.counts.messages_refused += 1;
            return self.kept(id, Some("too much to keep at once".to_owned()));
        }
        let to = path.clone();
        let spawned =
            thread::Builder::new().name("keeper".to_owned()).spawn(move || write(&to, &content));
        match spawned {
            Ok(writing) => self.keepers.0.push((id, path, writing)),
            Err(error) => self.kept(id, Some(format!("starting a thread: {error}"))),
        }
    }

    /// Once a second: what is written is answered.
    pub(super) fn watch_keepers(&mut self) {
        let done: Vec<_> =
            self.keepers.0.extract_if(.., |(_, _, writing)| writing.is_finished()).collect();
        for (id, path, writing) in done {
            let written = writing.join().unwrap_or_else(|_| Err(io::Error::other("a panic")));
            match written {
                Ok(()) => {
                    info!(path = %path.display(), "kept");
                    self.kept(id, None);
                }
                Err(error) => {
                    error!(path = %path.display(), %error, "not kept");
                    self.kept(id, Some(format!("writing {}: {}", path.display(), chain(&error))));
                }
            }
        }
    }

    /// `gateway acme renew`.
    pub(super) fn order_issue(&mut self, name: &str) -> Response {
        let name = name.to_ascii_lowercase();
        let refused = |message: &str| Response::Refused { message: message.to_owned() };
        if !self.config.managed().iter().any(|one| one.name == name) {
            return refused("no listener has this name under acme; `gateway acme list` shows them");
        }
        if !self.keeper.is_serving() {
            return refused("no proxy serves, which would ask for it");
        }
        self.keeper.tell(FromGuard::Issue { name });
        let message = "asked for; `gateway acme list` shows what comes of it".to_owned();
        Response::Done { message }
    }

    fn kept(&mut self, id: u64, fault: Option<String>) {
        self.keeper.tell(FromGuard::KeptAs { id, fault });
    }
}

/// Where it belongs: a path of the configuration, never one that a proxy made up.
fn place(config: &Config, what: &Kept) -> Option<PathBuf> {
    match what {
        Kept::Account => config.acme.as_ref().map(|acme| acme.account.clone()),
        Kept::Certificate(name) => {
            config.managed().into_iter().find(|one| one.name == *name).map(|one| one.file.clone())
        }
        Kept::Keys(identity) => {
            let known = config.tokens().find(|(name, tokens)| name == identity && tokens.fetches());
            known.map(|(_, tokens)| tokens.kept.clone())
        }
    }
}

/// In a folder for nobody else.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    whole_file::replace(path, content)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn what_is_kept_is_for_nobody_else_and_replaces_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme/www.example.com.pem");
        write(&path, b"first").unwrap();
        fs::write(path.with_extension("pem.new"), b"half of it").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_proxy_cannot_choose_where() {
        let text = "[guard]\nstate = \"/s\"\n[acme]\ndirectory = \"https://a.example/d\"\nterms_agreed = true\n[[listener]]\naddress = \"127.0.0.1:1\"\nacme = [\"a.example\"]\n";
        let config = crate::config::load(text, "t.toml").unwrap();
        let at = |name: &str| place(&config, &Kept::Certificate(name.to_owned()));
        assert_eq!(at("a.example"), Some("/s/acme/a.example.pem".into()));
        for name in ["b.example", "../a.example", "/etc/passwd", ""] {
            assert_eq!(at(name), None, "{name}");
        }
        assert_eq!(place(&config, &Kept::Account), Some("/s/acme/account.json".into()));
        let text = format!(
            "{text}[[identity]]\nname = \"a\"\noidc = \"https://id.example\"\naudience = \"p\"\n\
             [[identity]]\nname = \"b\"\njwks_file = \"/k.json\"\nissuer = \"b\"\naudience = \"p\"\n"
        );
        let config = crate::config::load(&text, "t.toml").unwrap();
        let keys = |name: &str| place(&config, &Kept::Keys(name.to_owned()));
        assert_eq!(keys("a"), Some("/s/keys/a.json".into()));
        for name in ["b", "c", "../a", ""] {
            assert_eq!(keys(name), None, "{name}");
        }
    }
}
