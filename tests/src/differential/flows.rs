//! Real connected sockets between two addresses of a namespace of their own: what a closed policy
//! must let their peers answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result};

use crate::{netns::Namespace, oracle::Flow};

const V4: [Ipv4Addr; 2] = [Ipv4Addr::new(45, 33, 7, 1), Ipv4Addr::new(45, 33, 7, 2)];
const V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2a01, 0x7e00, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2a01, 0x7e00, 0, 0, 0, 0, 0, 2),
];

/// Sockets that stay connected as long as this lives, and what they are to the filter.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) flows: Vec<Flow>,
    /// Never used again, only kept open.
    tcp: Vec<TcpStream>,
    udp: Vec<UdpSocket>,
}

/// Gives the namespace its addresses.
pub(super) fn prepare(namespace: &Namespace) -> Result<()> {
    for address in V4 {
        namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])?;
    }
    for address in V6 {
        namespace.ip(&["address", "add", &format!("{address}/128"), "dev", "lo", "nodad"])?;
    }
    Ok(())
}

impl Sockets {
    /// Connects; to be called inside the namespace.
    pub(super) fn connect() -> Result<Self> {
        let mut sockets = Self { flows: Vec::new(), tcp: Vec::new(), udp: Vec::new() };
        let [a4, b4] = V4.map(IpAddr::V4);
        let [a6, b6] = V6.map(IpAddr::V6);
        for (from, to) in [(a4, b4), (a6, b6)] {
            sockets.join_tcp(to).with_context(|| format!("connecting to {to}"))?;
            sockets.join_udp(from, to).with_context(|| format!("joining {from} and {to}"))?;
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
