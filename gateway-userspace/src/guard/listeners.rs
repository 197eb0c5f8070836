//! The listening sockets: opened here, kept here, lent to each proxy. One a worker and address,
//! joined by `SO_REUSEPORT`; none is ever closed between two proxies, because that would reset
//! the connections in its queue.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tracing::{info, warn};

use super::error::GuardError;
use crate::{config::model::Config, ipc::message::ListenerRole};

/// Connections that may wait to be accepted; the kernel's `somaxconn` may make it less.
const BACKLOG: i32 = 4096;

/// A listening socket and whose it is.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) role: ListenerRole,
    pub(super) worker: u16,
    socket: OwnedFd,
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that a serving proxy handed over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) address: SocketAddr,
    pub(super) role: ListenerRole,
    pub(super) socket: OwnedFd,
}

impl Handed {
    /// Only what is what it is said to be: a broken proxy could hand over anything.
    pub(super) fn checked(
        address: SocketAddr,
        role: ListenerRole,
        socket: OwnedFd,
    ) -> Result<Self, String> {
        let seen = SockRef::from(&socket);
        let local = seen.local_addr().ok().and_then(|local| local.as_socket());
        if local != Some(address) || !seen.is_listener().unwrap_or(false) {
            return Err(format!("no listener of {address} was handed over"));
        }
        Ok(Self { address, role, socket })
    }
}

/// The same sockets for another configuration: those of an address that stays are kept, also those
/// of workers there will not be, and what is missing is opened. What is left out is closed with
/// `present`, as soon as nobody accepts from it.
pub(super) fn follow(present: &[Listening], config: &Config) -> Result<Vec<Listening>, GuardError> {
    let mut handed = Vec::new();
    for Listening { address, role, socket, .. } in present {
        let (address, role) = (*address, *role);
        let socket =
            socket.try_clone().map_err(GuardError::system("duplicating a listening socket"))?;
        handed.push(Handed { address, role, socket });
    }
    open(config, handed, true)
}

/// Everything the configuration listens on, with the sockets that were handed over where they
/// fit. `exclusive` finds out whether someone else is on the address, which `SO_REUSEPORT` hides.
pub(super) fn open(
    config: &Config,
    mut handed: Vec<Handed>,
    exclusive: bool,
) -> Result<Vec<Listening>, GuardError> {
    let mut sockets = Vec::new();
    for (address, role, workers) in wanted(config) {
        let mut present = take(&mut handed, address, role).into_iter();
        if exclusive && present.len() == 0 {
            bind(address, false)?;
        }
        for worker in 0..workers {
            let socket = match present.next() {
                Some(socket) => socket,
                None => listen(address)?,
            };
            sockets.push(Listening { address, role, worker, socket });
        }
        // Of workers that are no more. The kernel goes on spreading connections over all sockets of
        // an address, and to close one would reset those that wait in it: others accept from it.
        for (worker, socket) in (workers..).zip(present) {
            sockets.push(Listening { address, role, worker, socket });
        }
        info!(%address, ?role, workers, "listening");
    }
    Ok(sockets)
}

/// Opens anew what a broken proxy shut down: a proxy shares the sockets with the next one, which
/// would accept nothing from them.
pub(super) fn revive(listening: &mut [Listening]) -> Result<(), GuardError> {
    for one in listening {
        if !SockRef::from(&one.socket).is_listener().unwrap_or(false) {
            warn!(address = %one.address, worker = one.worker, "a listening socket was shut down; it is opened anew");
            one.socket = listen(one.address)?;
        }
    }
    Ok(())
}

/// Whether these are of all addresses and workers that the configuration asks for, and of no other.
pub(super) fn complete(config: &Config, handed: &[Handed]) -> bool {
    let wanted = wanted(config);
    let of = |address: SocketAddr, role: ListenerRole| {
        handed.iter().filter(|one| one.address == address && one.role == role).count()
    };
    wanted.iter().all(|(address, role, workers)| of(*address, *role) >= usize::from(*workers))
        && handed.iter().all(|one| {
            wanted.iter().any(|(address, role, _)| one.address == *address && one.role == *role)
        })
}

fn wanted(config: &Config) -> Vec<(SocketAddr, ListenerRole, u16)> {
    let workers = config.proxy.workers.max(1);
    let public =
        config.listeners.iter().map(|listener| (listener.address, ListenerRole::Public, workers));
    let metrics = config.admin.metrics.map(|address| (address, ListenerRole::Metrics, 1));
    let plain = config.acme.iter().filter_map(|acme| acme.http);
    let plain = plain.map(|address| (address, ListenerRole::Plain, 1));
    public.chain(metrics).chain(plain).collect()
}

fn take(handed: &mut Vec<Handed>, address: SocketAddr, role: ListenerRole) -> Vec<OwnedFd> {
    let fits = |one: &mut Handed| one.address == address && one.role == role;
    handed.extract_if(.., fits).map(|one| one.socket).collect()
}

fn listen(address: SocketAddr) -> Result<OwnedFd, GuardError> {
    let socket = bind(address, true)?;
    socket.listen(BACKLOG).map_err(|source| failed(address, source))?;
    Ok(socket.into())
}

fn bind(address: SocketAddr, shared: bool) -> Result<Socket, GuardError> {
    try_bind(address, shared).map_err(|source| failed(address, source))
}

fn try_bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // One family a socket: no mapped addresses, and no surprise who is reachable.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn failed(address: SocketAddr, source: io::Error) -> GuardError {
    if source.kind() == io::ErrorKind::AddrInUse {
        return GuardError::AddressInUse { address };
    }
    if source.kind() == io::ErrorKind::AddrNotAvailable {
        return GuardError::AddressUnknown { address };
    }
    GuardError::Listen { address, source }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{
        config::model::{Certificates, Listener, Tls},
        guard::testing,
    };

    #[test]
    fn an_address_in_use_is_named_also_when_the_other_shares_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = open(&config(address, 2), Vec::new(), true).unwrap_err();
        assert!(matches!(error, GuardError::AddressInUse { address: named } if named == address));

        let free = "127.0.0.1:0".parse().unwrap();
        let shared = try_bind(free, true).unwrap();
        shared.listen(1).unwrap();
        let address = shared.local_addr().unwrap().as_socket().unwrap();
        let error = open(&config(address, 2), Vec::new(), true).unwrap_err();
        assert!(matches!(error, GuardError::AddressInUse { .. }));
    }

    #[test]
    fn there_is_a_socket_a_worker_and_handed_ones_are_used_first() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let first = open(&config(address, 2), Vec::new(), true).unwrap();
        assert_eq!(first.iter().map(|one| one.worker).collect::<Vec<_>>(), [0, 1]);

        let inodes = |sockets: &[Listening]| -> Vec<u64> {
            sockets.iter().map(|one| nix::sys::stat::fstat(one).unwrap().st_ino).collect()
        };
        let before = inodes(&first);
        let handed = first
            .into_iter()
            .map(|one| Handed { address: one.address, role: one.role, socket: one.socket })
            .collect();
        let second = open(&config(address, 3), handed, true).unwrap();
        assert_eq!(inodes(&second)[..2], before);
        assert_eq!(second.len(), 3);
    }

    #[test]
    fn a_socket_that_a_proxy_shut_down_is_opened_anew_and_the_others_stay() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let mut sockets = open(&config(address, 2), Vec::new(), true).unwrap();
        let inode = |one: &Listening| nix::sys::stat::fstat(one).unwrap().st_ino;
        let before: Vec<u64> = sockets.iter().map(inode).collect();
        SockRef::from(&sockets[0].socket).shutdown(std::net::Shutdown::Both).unwrap();
        assert!(!SockRef::from(&sockets[0].socket).is_listener().unwrap());

        revive(&mut sockets).unwrap();
        assert!(sockets.iter().all(|one| SockRef::from(&one.socket).is_listener().unwrap()));
        assert_ne!(inode(&sockets[0]), before[0]);
        assert_eq!(inode(&sockets[1]), before[1]);
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let elsewhere = "192.0.2.1:4430".parse().unwrap();
        let error = open(&config(elsewhere, 1), Vec::new(), true).unwrap_err();
        assert!(matches!(error, GuardError::AddressUnknown { .. }), "{error}");
    }

    fn config(address: SocketAddr, workers: u16) -> Config {
        let mut config = testing::config();
        config.proxy.workers = workers;
        config.listeners = vec![Listener {
            address,
            proxy_protocol: false,
            tls: Tls::of(Certificates::SelfSigned),
        }];
        config
    }
}
