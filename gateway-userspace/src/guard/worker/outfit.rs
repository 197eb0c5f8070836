//! What a new proxy is given: the configuration, listening sockets, open secrets, a place for its
//! access log, and the keys of callers.

use std::{
    ffi::CStr,
    fs::{File, OpenOptions},
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

use super::{files::Files, session::Outgoing};
use crate::{
    config::model::{AccessLog, Config},
    guard::{error::GuardError, keys::sha256, listeners::Listening},
    ipc::message::{ApiKey, FromGuard, Make},
};

/// Keys of one message: well under a frame with the longest names.
const KEYS_OF_A_MESSAGE: usize = 128;

/// Who may call, and the clock their keys expire by.
#[derive(Debug)]
pub(in crate::guard) struct Callers {
    /// Seconds from `CLOCK_MONOTONIC` to the guard's wall clock.
    pub(in crate::guard) ahead: i64,
    pub(in crate::guard) keys: Vec<ApiKey>,
}

/// The messages between `Welcome` and `Start`.
#[derive(Debug)]
pub(in crate::guard) struct Outfit {
    pub(super) make: Make,
    pub(super) messages: Vec<Outgoing>,
}

impl Outfit {
    /// Opens and gathers everything.
    pub(in crate::guard) fn gather(
        config: &Config,
        text: &str,
        program: [u8; 32],
        listening: &[Listening],
        callers: Callers,
        files: Files,
    ) -> Result<Self, GuardError> {
        let Things { make, mut messages } =
            Things::gather(config, text, program, listening, files)?;
        if let Some(file) = access_log(&config.log.access)? {
            messages.push(Outgoing::with(FromGuard::AccessLog, file));
        }
        messages.extend(callers.messages());
        messages.push(Outgoing::plain(FromGuard::Start));
        Ok(Self { make, messages })
    }
}

/// What a proxy gets at its start, and again with another configuration.
#[derive(Debug)]
pub(in crate::guard) struct Things {
    pub(in crate::guard) make: Make,
    messages: Vec<Outgoing>,
}

impl Things {
    /// Gathers configuration, sockets and secrets.
    pub(in crate::guard) fn gather(
        config: &Config,
        text: &str,
        program: [u8; 32],
        listening: &[Listening],
        files: Files,
    ) -> Result<Self, GuardError> {
        let configuration = sha256(text.as_bytes());
        let make = Make { program, configuration, files: files.digest(config)? };
        let digest = make.configuration;
        let sealed = sealed(c"gateway-configuration", text.as_bytes())
            .map_err(GuardError::system("making a memory file"))?;
        let mut messages = vec![Outgoing::with(FromGuard::Configuration { digest }, sealed.into())];
        for one in listening {
            messages.push(listener(one).map_err(GuardError::system("duplicating a socket"))?);
        }
        messages.extend(files.messages());
        Ok(Self { make, messages })
    }

    /// For a proxy that serves already.
    pub(in crate::guard) fn reload(self, id: u64) -> Vec<Outgoing> {
        let begin = Outgoing::plain(FromGuard::Reload { id, make: self.make });
        let apply = Outgoing::plain(FromGuard::Apply { id });
        [begin].into_iter().chain(self.messages).chain([apply]).collect()
    }
}

impl Files {
    /// One message a file.
    pub(in crate::guard) fn messages(self) -> impl Iterator<Item = Outgoing> {
        self.0.into_iter().map(|(path, file)| {
            let path = path.to_string_lossy().into_owned();
            Outgoing::with(FromGuard::Secret { path }, file.into())
        })
    }
}

impl Callers {
    /// The time first: no key is judged without it.
    pub(in crate::guard) fn messages(self) -> Vec<Outgoing> {
        let mut messages = vec![Outgoing::plain(FromGuard::Time { ahead: self.ahead })];
        messages.extend(key_messages(self.keys));
        messages
    }
}

/// All keys in messages of a bearable size. The first begins the list and the last says so: until
/// then the proxy goes by the keys it had.
fn key_messages(keys: Vec<ApiKey>) -> Vec<Outgoing> {
    let mut messages = Vec::new();
    let mut rest = keys.into_iter().peekable();
    while messages.is_empty() || rest.peek().is_some() {
        let keys = rest.by_ref().take(KEYS_OF_A_MESSAGE).collect();
        let more = rest.peek().is_some();
        messages.push(Outgoing::plain(FromGuard::Keys { reset: messages.is_empty(), more, keys }));
    }
    messages
}

/// A memory file that nobody can change any more.
pub(super) fn sealed(name: &CStr, content: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(content)?;
    file.rewind()?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

fn listener(one: &Listening) -> io::Result<Outgoing> {
    let socket = one.as_fd().try_clone_to_owned()?;
    let message = FromGuard::Listener { address: one.address, role: one.role, worker: one.worker };
    Ok(Outgoing::with(message, socket))
}

fn access_log(place: &AccessLog) -> Result<Option<OwnedFd>, GuardError> {
    match place {
        AccessLog::Off => Ok(None),
        AccessLog::Stdout => io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map(Some)
            .map_err(GuardError::system("duplicating standard output")),
        AccessLog::File(path) => OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)
            .map(|file| Some(file.into()))
            .map_err(GuardError::path("opening the access log", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_configuration_cannot_be_changed_by_who_receives_it() {
        let mut file = sealed(c"test", b"[kernel]\n").unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "[kernel]\n");
    }

    #[test]
    fn keys_travel_in_portions_from_a_first_to_a_last() {
        let key = ApiKey {
            id: "a".repeat(12),
            hash: [0; 32],
            identity: "i".repeat(128),
            client: "c".repeat(128),
            expires: 0,
            revoked: false,
        };
        for (count, expected) in [(0, 1), (1, 1), (128, 1), (129, 2), (1000, 8)] {
            let messages = key_messages(vec![key.clone(); count]);
            assert_eq!(messages.len(), expected);
            for (at, message) in messages.iter().enumerate() {
                assert!(crate::ipc::encode(&message.message).is_ok());
                let FromGuard::Keys { reset, more, .. } = &message.message else { panic!() };
                assert_eq!((*reset, *more), (at == 0, at + 1 < expected));
            }
        }
    }
}
