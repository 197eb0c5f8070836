//! What the guard sends between `Welcome` and `Start`, gathered and made into a proxy's parts.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use aws_lc_rs::digest::{SHA256, digest};

use super::ProxyError;
use crate::{
    config::{self, TEXT_BYTES, model::Config},
    ipc::{
        Channel,
        message::{ApiKey, FromGuard, ListenerRole, Make},
    },
    proxy::{
        instance::{ListenerSocket, Parts},
        reload::Next,
        secrets::Secrets,
    },
};

/// Listening sockets, at most.
const SOCKETS: usize = 4096;

/// API keys, at most: what the guard's store holds.
const KEYS: usize = 1_000_000;

/// What has arrived so far.
#[derive(Debug, Default)]
pub(super) struct Outfit {
    make: Make,
    configuration: Option<([u8; 32], File)>,
    sockets: Vec<Socket>,
    secrets: Secrets,
    access_log: Option<OwnedFd>,
    keys: Option<Vec<ApiKey>>,
    ahead: Option<i64>,
}

/// A listening socket, kept beside the worker that accepts from it: the next guard gets it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: SocketAddr,
    pub(super) role: ListenerRole,
    worker: u16,
    descriptor: OwnedFd,
}

/// What outlives the guard that sent it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) make: Make,
    pub(super) run: std::path::PathBuf,
    pub(super) sockets: Vec<Socket>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Outfit {
    /// Receives messages up to `Start`.
    pub(super) async fn receive(channel: &Channel) -> Result<Self, ProxyError> {
        let mut outfit = Self::default();
        loop {
            let (message, mut descriptors) = channel.receive::<FromGuard>().await?;
            if message == FromGuard::Start {
                return Ok(outfit);
            }
            let descriptor = descriptors.pop();
            if !descriptors.is_empty() {
                return Err(ProxyError::Protocol { what: "several descriptors at once" });
            }
            outfit.take(message, descriptor)?;
        }
    }

    /// Reads and checks everything.
    pub(super) fn open(self) -> Result<(Held, Parts), ProxyError> {
        let Some(ahead) = self.ahead else {
            return Err(ProxyError::Protocol { what: "no time, which keys expire by" });
        };
        let config = self.config()?;
        let mut held = Held { make: self.make, run: config.guard.run.clone(), sockets: Vec::new() };
        held.sockets = sorted(self.sockets);
        let parts = Parts {
            config,
            listeners: held.listeners()?,
            secrets: self.secrets,
            keys: self.keys,
            access_log: self.access_log,
            ahead,
            memory: None,
        };
        Ok((held, parts))
    }

    /// The same for a proxy that serves: what of it is held is taken from there.
    pub(super) fn succeed(self, held: &mut Held) -> Result<(Held, Next), ProxyError> {
        let config = self.config()?;
        let mut next = Held { make: self.make, run: held.run.clone(), sockets: Vec::new() };
        for socket in sorted(self.sockets) {
            next.sockets.push(held.known(&socket)?.unwrap_or(socket));
        }
        let (listeners, secrets) = (next.listeners()?, self.secrets);
        Ok((next, Next { config, listeners, secrets }))
    }

    fn config(&self) -> Result<Config, ProxyError> {
        let Some((digest, file)) = &self.configuration else {
            return Err(ProxyError::Protocol { what: "no configuration" });
        };
        let text = text(file, digest)?;
        config::load(&text, "the guard's").map_err(ProxyError::Configuration)
    }

    /// Another configuration for a proxy that serves.
    pub(super) fn again(make: Make) -> Self {
        Self { make, ..Self::default() }
    }

    pub(super) fn take(
        &mut self,
        message: FromGuard,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), ProxyError> {
        match (message, descriptor) {
            (FromGuard::Welcome { make }, None) => self.make = make,
            (FromGuard::Configuration { digest }, Some(file)) => {
                self.configuration = Some((digest, File::from(file)));
            }
            (FromGuard::Listener { address, role, worker }, Some(descriptor)) => {
                if self.sockets.len() >= SOCKETS {
                    return Err(ProxyError::Protocol { what: "too many sockets" });
                }
                self.sockets.push(Socket { address, role, worker, descriptor });
            }
            (FromGuard::Secret { path }, Some(file)) => {
                let added = self.secrets.add(path.clone(), &File::from(file));
                added.map_err(|source| ProxyError::Secret { path, source })?;
            }
            (FromGuard::AccessLog, Some(file)) => self.access_log = Some(file),
            (FromGuard::Time { ahead }, None) => self.ahead = Some(ahead),
            (FromGuard::Keys { reset, more: _, keys }, None) => self.take_keys(reset, keys)?,
            (FromGuard::Drain { .. }, None) => {
                return Err(ProxyError::Protocol { what: "to drain before there was a start" });
            }
            _ => return Err(ProxyError::Protocol { what: "something out of turn" }),
        }
        Ok(())
    }

    fn take_keys(&mut self, reset: bool, more: Vec<ApiKey>) -> Result<(), ProxyError> {
        let keys = self.keys.get_or_insert_default();
        if reset {
            keys.clear();
        }
        if keys.len() + more.len() > KEYS {
            return Err(ProxyError::Protocol { what: "too many keys" });
        }
        keys.extend(more);
        Ok(())
    }
}

impl Held {
    /// The socket of the same place that is held already; a socket is one, however often it comes.
    fn known(&self, socket: &Socket) -> Result<Option<Socket>, ProxyError> {
        let place = |one: &&Socket| {
            (one.address, one.role, one.worker) == (socket.address, socket.role, socket.worker)
        };
        let Some(known) = self.sockets.iter().find(place) else { return Ok(None) };
        let descriptor = known.descriptor.try_clone().map_err(duplicating)?;
        Ok(Some(Socket { descriptor, ..*socket }))
    }

    fn listeners(&self) -> Result<Vec<ListenerSocket>, ProxyError> {
        self.sockets.iter().map(Socket::listener).collect::<Result<_, _>>().map_err(duplicating)
    }
}

/// The next guard learns whose a socket is by its place among those of one address.
fn sorted(mut sockets: Vec<Socket>) -> Vec<Socket> {
    sockets.sort_by_key(|socket| socket.worker);
    sockets
}

fn duplicating(source: io::Error) -> ProxyError {
    ProxyError::System { doing: "duplicating a listening socket", source }
}

impl Socket {
    fn listener(&self) -> io::Result<ListenerSocket> {
        let socket = TcpListener::from(self.descriptor.try_clone()?);
        socket.set_nonblocking(true)?;
        Ok(ListenerSocket { address: self.address, role: self.role, worker: self.worker, socket })
    }
}

/// The configuration's text, which must be what its digest says.
fn text(file: &File, expected: &[u8; 32]) -> Result<String, ProxyError> {
    let failed = |source| ProxyError::System { doing: "reading the configuration", source };
    let length = file.metadata().map_err(failed)?.len();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > TEXT_BYTES {
        return Err(ProxyError::Protocol { what: "a configuration over the cap" });
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    if digest(&SHA256, &bytes).as_ref() != expected {
        return Err(ProxyError::Protocol { what: "a configuration of another digest" });
    }
    String::from_utf8(bytes)
        .map_err(|_bytes| ProxyError::Protocol { what: "a configuration that is not UTF-8" })
}
