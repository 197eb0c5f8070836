//! What should happen to a packet, by docs/packet-policy.md and the RFCs alone: a second reading of
//! the rules, on etherparse. It shares no code with the filter and knows reasons by number only.
//!
//! [`reading`] says what is in a frame (IP headers: [`ip`], addresses: [`addresses`], SYNs: [`syn`]),
//! [`judge`] what a [`World`] makes of it, [`framing`] in which wrapping it came.

mod addresses;
pub mod framing;
mod ip;
pub mod judge;
pub mod reading;
pub mod syn;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

/// Everything a packet is judged by besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Everything passes by operator's order.
    pub panic: bool,
    pub closed: bool,
    /// Rows that are answered with `drop`, and reasons in shadow mode.
    pub drops: Numbers,
    pub shadow: Numbers,
    pub tcp: BTreeSet<u16>,
    pub udp: BTreeSet<u16>,
    pub protocols: BTreeSet<u8>,
    pub amplifiers: BTreeSet<u16>,
    pub allowed: Vec<IpNet>,
    /// The aggregate limit of allowed sources is used up.
    pub allow_is_over: bool,
    pub bans: Vec<Ban>,
    pub limit: Option<Exhausted>,
    /// What sockets of this host are connected to, and what it sent.
    pub flows: Vec<Flow>,
    /// SYNs flood in, and are answered with cookies.
    pub cookies: Option<Cookies>,
}

/// A ban, of whatever layer.
#[derive(Debug, Clone, Copy)]
pub struct Ban {
    pub net: IpNet,
    /// False when its time is over.
    pub is_live: bool,
    /// Of a list, not a single ban.
    pub in_bulk: bool,
}

/// A limit that a set of sources have used up and nobody else has touched.
#[derive(Debug, Clone)]
pub struct Exhausted {
    pub reason: u8,
    pub sources: BTreeSet<IpAddr>,
}

/// For whom SYNs are answered.
#[derive(Debug, Clone, Default)]
pub struct Cookies {
    /// Addresses of this machine.
    pub own: BTreeSet<IpAddr>,
    pub listeners: BTreeSet<SocketAddr>,
    /// No more answers are granted.
    pub is_capped: bool,
}

/// A connected socket, or something sent, from the filter's side. Of an echo request the identifier
/// is the local port, and the remote port is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    pub protocol: u8,
    pub remote: SocketAddr,
    pub local: SocketAddr,
}

/// A set of reasons, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The same with one more.
    pub const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << (number & 63))
    }

    pub const fn has(self, number: u8) -> bool {
        self.0 >> (number & 63) & 1 == 1
    }

    pub const fn has_any_of(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Those that are in both.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are not in the other.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The lowest.
    pub fn first(self) -> Option<u8> {
        (0..64).find(|number| self.has(*number))
    }

    /// Those from one number to another, both included.
    pub fn between(low: u8, high: u8) -> Self {
        (low..=high).fold(Self(0), Self::with)
    }
}
