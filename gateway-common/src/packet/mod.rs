//! From a frame to its source: Ethernet → VLAN tags → IPv4 or IPv6 → transport.
//!
//! A parser that gives up says why ([`Packet::finding`]), and keeps the source if it could still
//! be read: allow and ban are asked before any finding counts.

pub mod eth;
pub mod ipv4;
pub mod ipv6;
pub mod transport;
pub mod vlan;

use crate::Reason;

/// Bounds-checked reads of a frame: the only way in to its bytes.
pub trait PacketBytes {
    /// Bytes in the frame.
    fn length(&self) -> usize;
    /// `N` bytes from `offset`; `None` if the frame ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl PacketBytes for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// Who sent a packet, as far as the frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// No address could be read.
    Unknown,
    /// IPv4, network order. An IPv4-mapped IPv6 source is read as this: one ban meets both.
    V4([u8; 4]),
    /// IPv6, network order.
    V6([u8; 16]),
}

/// What the verdict needs to know of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub source: Source,
    /// Protocol of the payload; zero where it could not be read.
    pub protocol: u8,
    /// Flags of a TCP header, as they stand in it (RFC 9293 section 3.1).
    pub tcp_flags: u8,
    /// TCP or UDP; zero where there is none.
    pub source_port: u16,
    /// TCP or UDP; zero where there is none. ICMP: type and code.
    pub destination_port: u16,
    /// Where the IP header begins; zero where there is none.
    pub network: usize,
    /// Where the transport header begins; zero where none was read whole.
    pub transport: usize,
    /// What the configured answer is asked about: a fault, ARP, or nothing.
    pub finding: Option<Reason>,
}

impl Packet {
    /// A packet of which nothing but the source is known.
    #[inline(always)]
    pub const fn of(source: Source) -> Self {
        Self {
            source,
            protocol: 0,
            tcp_flags: 0,
            source_port: 0,
            destination_port: 0,
            network: 0,
            transport: 0,
            finding: None,
        }
    }

    /// A frame whose source could not be read.
    #[inline(always)]
    pub(crate) const fn without_source(finding: Reason) -> Self {
        Self { finding: Some(finding), ..Self::of(Source::Unknown) }
    }
}

/// Reads a frame.
#[inline(always)]
pub fn parse<P: PacketBytes + ?Sized>(frame: &P) -> Packet {
    let Some(ether_type) = eth::ether_type(frame) else {
        return Packet::without_source(Reason::EthernetTruncated);
    };
    let Some((ether_type, offset)) = vlan::skip(frame, ether_type, eth::LENGTH) else {
        return Packet::without_source(Reason::VlanDepth);
    };
    match ether_type {
        eth::IPV4 => ipv4::parse(frame, offset),
        eth::IPV6 => ipv6::parse(frame, offset),
        eth::ARP => Packet::without_source(Reason::Arp),
        _ => Packet::without_source(Reason::EtherTypeUnknown),
    }
}

#[cfg(test)]
mod tests;
