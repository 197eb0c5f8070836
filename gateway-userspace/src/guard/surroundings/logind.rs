//! Logins by logind: a small file a session in `/run/systemd/sessions`, for machines whose login
//! programs write no utmp.

use std::{fs, path::Path};

use super::{Login, MOST, address, text_of};

/// Remote sessions that are not closing.
pub(super) fn logins(folder: &Path) -> Vec<Login> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let paths = files.take(MOST).filter_map(|file| Some(file.ok()?.path()));
    // A session also has a pipe there, `ID.ref`: opening it would wait.
    let regular = paths.filter(|path| path.symlink_metadata().is_ok_and(|data| data.is_file()));
    regular.filter_map(|path| login(&text_of(&path))).collect()
}

fn login(session: &str) -> Option<Login> {
    let value = |wanted: &str| {
        let mut pairs = session.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| *key == wanted).map(|(_, value)| value)
    };
    if value("REMOTE")? != "1" || value("STATE")? == "closing" {
        return None;
    }
    let user = value("USER").unwrap_or_default().chars().take(32).collect();
    Some(Login { user, from: address(value("REMOTE_HOST")?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=0\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\nLEADER=4711\n";

    #[test]
    fn finds_remote_sessions_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let closing = SESSION.replace("STATE=active", "STATE=closing");
        let local = SESSION.replace("REMOTE=1", "REMOTE=0");
        let named = SESSION.replace("192.0.2.7", "laptop.example.net");
        let files = [
            ("4", SESSION),
            ("5", &closing),
            ("6", &local),
            ("7", &named),
            ("8", "\u{0}\u{7f}=\n=="),
        ];
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        nix::unistd::mkfifo(&folder.path().join("4.ref"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found = logins(folder.path());
        let alice = Login { user: "alice".to_owned(), from: [192, 0, 2, 7].into() };
        assert_eq!(found, [alice]);
    }
}
