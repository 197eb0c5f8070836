//! The usual arrangement: a client's namespace and a gateway's, joined by veth, with a supplier
//! behind the gateway and a packet socket of our own behind its filter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};

use crate::{
    certs::Certificates,
    client::{Client, Version},
    gateway::Gateway,
    inject::{Bound, Flood, Injector},
    netns::{Namespace, remove, unique},
    origin::Origin,
    packet::{FRAMINGS, Mark, V4_FRAMINGS, Wire, frame},
    receiver::Receiver,
    settings::{Settings, services},
    veth::{End, Pair, connect},
};

/// The interface the filter is attached to.
pub const INTERFACE: &str = "edge0";
/// The other end of its link, outside.
pub const PEER: &str = "world0";

pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// Behaves.
pub const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// Behaves, and speaks h2.
pub const HONEST_H2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 3));
/// Tries keys that are not its own.
pub const STUFFER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 6, 66));
/// Sources of floods; on no link, as forged ones are.
pub const FLOOD_V4: &str = "198.51.100.0/24";
pub const FLOOD_V6: &str = "2001:db8:bad::/48";

/// Namespaces, origin, certificates and the receiver.
#[derive(Debug)]
pub struct Lab {
    pub receiver: Receiver,
    pub origin: Origin,
    pub certificates: Certificates,
    pub inside: Namespace,
    pub outside: Namespace,
    pub pair: Pair,
    folder: std::path::PathBuf,
}

impl Lab {
    pub fn build() -> Result<Self> {
        let (inside, outside) = (Namespace::create("edge")?, Namespace::create("world")?);
        let near = End {
            namespace: &inside,
            interface: INTERFACE,
            addresses: &["10.77.0.1/16", "fd77::1/64"],
        };
        let far = End {
            namespace: &outside,
            interface: PEER,
            addresses: &["10.77.0.2/16", "10.77.0.3/16", "10.77.6.66/16", "fd77::2/64"],
        };
        let pair = connect(near, far)?;
        let folder = std::path::Path::new("/tmp").join(unique());
        std::fs::create_dir(&folder).context("creating a folder for certificates")?;
        let addresses = [IpAddr::V4(GATEWAY), IpAddr::V6(GATEWAY_V6)];
        Ok(Self {
            receiver: Receiver::open(&inside, INTERFACE)?,
            origin: Origin::start(&inside, "127.0.0.1")?,
            certificates: Certificates::create(&folder, &addresses)?,
            inside,
            outside,
            pair,
            folder,
        })
    }

    /// Where clients connect.
    pub fn server() -> SocketAddr {
        SocketAddr::from((GATEWAY, 443))
    }

    /// The usual configuration: the filter on, small tables, every route.
    pub fn settings(&self) -> Settings {
        Settings {
            interface: Some(INTERFACE.to_owned()),
            kernel: "attach = \"native\"\n\
                     capacity = { hosts = 10000, prefixes = 1000, allow = 100, limits = 4096 }"
                .to_owned(),
            bans: "threshold = 100\nfirst = \"1m\"".to_owned(),
            guard: String::new(),
            watch: false,
            proxy: "workers = 2".to_owned(),
            listener: Self::server(),
            metrics: SocketAddr::from(([127, 0, 0, 1], 9100)),
            certificate: self.certificates.certificate.clone(),
            key: self.certificates.key.clone(),
            services: services(self.origin.http1, self.origin.h2c),
        }
    }

    /// Another certificate under the same name.
    pub fn renew_certificate(&self) -> Result<()> {
        self.certificates.renew(&[IpAddr::V4(GATEWAY), IpAddr::V6(GATEWAY_V6)])
    }

    /// A gateway with these settings, not yet started.
    pub fn gateway(&self, settings: &Settings) -> Result<Gateway<'_>> {
        Gateway::prepare(&self.inside, settings)
    }

    /// A client from one of the outside's addresses.
    pub fn client(&self, source: IpAddr, version: Version) -> Result<Client> {
        Ok(Client::new(Self::server(), version, &self.certificates)?.from(source))
    }

    pub fn wire(&self) -> Wire {
        Wire { from: self.pair.far, to: self.pair.near, v4: GATEWAY, v6: GATEWAY_V6, port: 443 }
    }

    /// A sender on the outside's end.
    pub fn injector(&self) -> Result<Injector> {
        Injector::open(&self.outside, PEER)
    }

    /// A flood in every framing, from many addresses of [`FLOOD_V4`] and [`FLOOD_V6`].
    pub fn flood(&self, flow: u16, bound: Bound) -> Result<Flood> {
        let wire = self.wire();
        Ok(Flood::start(self.injector()?, bound, move |sequence| {
            flood_frame(&wire, flow, sequence)
        }))
    }

    /// One frame of each framing, as the flood sends them.
    pub fn send_each_framing(&self, flow: u16) -> Result<usize> {
        let (injector, wire) = (self.injector()?, self.wire());
        for sequence in 0..FRAMINGS.len() {
            injector.send(&flood_frame(&wire, flow, u64::try_from(sequence)?))?;
        }
        Ok(FRAMINGS.len())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(remove(&self.folder));
    }
}

/// Number `sequence` of a flood: framings in turn, addresses in turn.
pub fn flood_frame(wire: &Wire, flow: u16, sequence: u64) -> Vec<u8> {
    let count = u64::try_from(FRAMINGS.len()).unwrap_or(1);
    let index = usize::try_from(sequence % count).unwrap_or(0);
    let Some(framing) = FRAMINGS.get(index) else { return Vec::new() };
    let host = u8::try_from((sequence / count) % 254).unwrap_or(0) + 1;
    let source = if index < V4_FRAMINGS {
        IpAddr::from([198, 51, 100, host])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0xbad, u16::from(host), 0, 0, 0, u16::from(host)])
    };
    let mark = Mark { flow, framing: u16::try_from(index).unwrap_or(0), sequence };
    frame(wire, framing, source, mark)
}
