//! Real sockets between two addresses of a namespace of their own: connected ones, whose peers a
//! closed policy must let answer, and listening ones, for which SYNs are answered.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use anyhow::{Context, Result};

use crate::{
    netns::{Namespace, command},
    oracle::Flow,
};

const V4: [Ipv4Addr; 2] = [Ipv4Addr::new(45, 33, 7, 1), Ipv4Addr::new(45, 33, 7, 2)];
const V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2a01, 0x7e00, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2a01, 0x7e00, 0, 0, 0, 0, 0, 2),
];

/// Sockets that stay connected as long as this lives, and what they are to the filter.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) flows: Vec<Flow>,
    pub(super) listeners: BTreeSet<SocketAddr>,
    /// Never used again, only kept open.
    tcp: Vec<TcpStream>,
    udp: Vec<UdpSocket>,
    listening: Vec<TcpListener>,
}

/// All addresses of this host.
pub(super) fn own() -> impl Iterator<Item = IpAddr> {
    V4.into_iter().map(IpAddr::V4).chain(V6.into_iter().map(IpAddr::V6))
}

/// Gives the namespace its addresses, and lets its kernel make cookies.
pub(super) fn prepare(namespace: &Namespace) -> Result<()> {
    for address in V4 {
        namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])?;
    }
    for address in V6 {
        namespace.ip(&["address", "add", &format!("{address}/128"), "dev", "lo", "nodad"])?;
    }
    let set = ["-q", "-w", "net.ipv4.tcp_syncookies=2"];
    namespace.run(|| command("sysctl", &set)).map(drop)
}

impl Sockets {
    /// Connects; to be called inside the namespace.
    pub(super) fn connect() -> Result<Self> {
        let mut sockets = Self::default();
        let [a4, b4] = V4.map(IpAddr::V4);
        let [a6, b6] = V6.map(IpAddr::V6);
        for (from, to) in [(a4, b4), (a6, b6)] {
            sockets.join_tcp(to).with_context(|| format!("connecting to {to}"))?;
            sockets.join_udp(from, to).with_context(|| format!("joining {from} and {to}"))?;
        }
        for address in own() {
            let listener = TcpListener::bind((address, 0)).context("listening")?;
            sockets.listeners.insert(listener.local_addr()?);
            sockets.listening.push(listener);
        }
        Ok(sockets)
    }

    /// Both ends are sockets of this host, so each is the other's return traffic.
    fn join_tcp(&mut self, to: IpAddr) -> Result<()> {
        let listener = TcpListener::bind((to, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        self.both(6, near.local_addr()?, far.local_addr()?);
        self.tcp.extend([near, far]);
        Ok(())
    }

    fn join_udp(&mut self, from: IpAddr, to: IpAddr) -> Result<()> {
        let (near, far) = (UdpSocket::bind((from, 0))?, UdpSocket::bind((to, 0))?);
        near.connect(far.local_addr()?)?;
        far.connect(near.local_addr()?)?;
        self.both(17, near.local_addr()?, far.local_addr()?);
        self.udp.extend([near, far]);
        Ok(())
    }

    fn both(&mut self, protocol: u8, near: SocketAddr, far: SocketAddr) {
        self.flows.push(Flow { protocol, remote: far, local: near });
        self.flows.push(Flow { protocol, remote: near, local: far });
    }
}
