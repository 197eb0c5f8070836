//! Why a guard does not start, or stops. Each says what to do next.

use std::{io, net::SocketAddr, path::PathBuf};

use super::{kernel::KernelError, store::StoreError};
use crate::ipc::IpcError;

/// A guard that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(
        "a second gateway is already running (pid {pid}); stop it, or give this one another guard.run"
    )]
    AlreadyRunning { pid: String },
    #[error(
        "the packet filter needs root; run as root, or without the kernel part: `gateway run --kernel off`"
    )]
    NotRoot,
    #[error(
        "the proxy's user {name} does not exist; make it with `useradd --system --no-create-home --shell /usr/sbin/nologin {name}`, or name another in guard.user"
    )]
    NoUser { name: String },
    #[error("the proxy may not run as {name}, who is root; name another user in guard.user")]
    RootUser { name: String },
    #[error(
        "the group {name} of the control socket does not exist; make it with `groupadd --system {name}`, or name another in guard.group"
    )]
    NoGroup { name: String },
    #[error("{path} {what}; remove it, or name another folder in guard.run")]
    UnsafeFolder { path: PathBuf, what: &'static str },
    #[error("{doing} {path}")]
    Path {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{doing}")]
    System {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{address} is in use; `ss -ltnp sport = :{}` shows by whom: stop that, or change the address", .address.port())]
    AddressInUse { address: SocketAddr },
    #[error(
        "{address} is not an address of this machine; `ip address` lists those, the configuration names it"
    )]
    AddressUnknown { address: SocketAddr },
    #[error("listening on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the key {path} is readable by everyone; `chmod o-r {path}`")]
    OpenSecret { path: PathBuf },
    #[error("{path} is not a file of at most {limit} bytes")]
    NoSecret { path: PathBuf, limit: u64 },
    #[error("the proxy did not start ({why}); its own message stands above")]
    Proxy { why: String },
    #[error("talking to the proxy")]
    Ipc {
        #[source]
        source: IpcError,
    },
    #[error("starting the store")]
    Store {
        #[source]
        source: StoreError,
    },
    #[error("the packet filter does not start")]
    Kernel {
        #[source]
        source: KernelError,
    },
}

impl GuardError {
    /// For `map_err` on a step that concerns a path.
    pub(super) fn path(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { doing, path, source }
    }

    /// For `map_err` on a step that concerns the system.
    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
