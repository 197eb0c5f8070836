//! Questions and answers over UDP and ping, as a host has them with its resolvers and clocks.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{netns::Namespace, wait::until};

/// An answer on its way takes no longer; for what must not come, as long.
pub const PATIENCE: Duration = Duration::from_secs(1);

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Answers every datagram with itself, until dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Echo {
    pub fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let socket = socket(namespace, address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = namespace.spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(Ordering::Acquire) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(buffer.get(..length).unwrap_or_default(), from)?;
                }
            }
            Ok(())
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A datagram socket, connected to nobody.
pub fn socket(namespace: &Namespace, address: SocketAddr) -> Result<UdpSocket> {
    namespace.run(|| {
        let socket = UdpSocket::bind(address).with_context(|| format!("binding {address}"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    })
}

/// Asks until there is an answer: the first question may wait for a neighbour.
pub fn is_answered(socket: &UdpSocket, by: SocketAddr, limit: Duration) -> Result<()> {
    until("an answer", limit, || {
        socket.send_to(b"question", by).ok()?;
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        (from == by && buffer.get(..length)? == b"question").then_some(())
    })
}

/// Pings of one host, by hand.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    identifier: u16,
}

impl Pinger {
    pub fn open(namespace: &Namespace, identifier: u16) -> Result<Self> {
        namespace.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(Self { socket, identifier })
        })
    }

    /// Pings until there is an answer.
    pub fn is_answered(&self, by: Ipv4Addr, limit: Duration) -> Result<()> {
        until("an echo", limit, || {
            self.send(ECHO_REQUEST, by).ok()?;
            self.hears_echo().then_some(())
        })
    }

    /// Sends an answer that nobody asked for.
    pub fn answer_unasked(&self, to: Ipv4Addr) -> Result<()> {
        Ok(self.send(ECHO_REPLY, to)?)
    }

    /// True if an answer with our identifier comes in time.
    pub fn hears_echo(&self) -> bool {
        let mut socket = &self.socket;
        let mut buffer = [0; 256];
        while let Ok(length) = io::Read::read(&mut socket, &mut buffer) {
            let packet = buffer.get(..length).unwrap_or_default();
            let header = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            let Some([kind, _, _, _, i1, i0, ..]) = packet.get(header..) else { continue };
            if *kind == ECHO_REPLY && [*i1, *i0] == self.identifier.to_be_bytes() {
                return true;
            }
        }
        false
    }

    fn send(&self, kind: u8, to: Ipv4Addr) -> io::Result<()> {
        let [i1, i0] = self.identifier.to_be_bytes();
        let sum = u32::from(kind) * 256 + u32::from(self.identifier);
        let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
        let [c1, c0] = (!folded).to_be_bytes();
        let message = [kind, 0, c1, c0, i1, i0, 0, 0];
        self.socket.send_to(&message, &SocketAddrV4::new(to, 0).into()).map(drop)
    }
}
