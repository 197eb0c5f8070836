//! From a frame to its source, its fields and the rows it meets: Ethernet → VLAN tags → IPv4 or
//! IPv6 → transport. `docs/packet-policy.md` is the norm.
//!
//! A parser that gives up says why in [`Packet::findings`], and keeps the source if it could still
//! be read: allow and ban are asked before any finding counts.

pub mod address;
pub mod arp;
pub mod eth;
mod extent;
mod findings;
pub mod ipv4;
pub mod ipv6;
mod neighbour;
mod plain;
pub mod transport;
pub mod vlan;

pub(crate) use self::neighbour::{is_link_local as link_local, is_unspecified as unspecified};
pub use self::{
    extent::headers_end,
    findings::{Findings, ROWS},
};
use crate::Reason;

/// Bounds-checked reads of a frame: the only way in to its bytes.
pub trait PacketBytes {
    /// Bytes in the frame.
    fn length(&self) -> usize;
    /// `N` bytes from `offset`; `None` if the frame ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
    /// So many words, as they stand in memory: in one check, and an instruction each.
    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (at, word) in (offset..).step_by(4).zip(&mut words) {
            *word = u32::from_ne_bytes(self.read(at)?);
        }
        Some(words)
    }
    /// Does nothing. In the kernel the verifier forgets here what it knew of the packet: the many
    /// ways there are then one for all that follows, or it would walk each to its end.
    #[inline(always)]
    fn settle(&self) {}
    /// Nothing is known of the packet. The kernel program has a way of its own: what the compiler
    /// makes of it there is a loop over bytes.
    #[inline(always)]
    fn forget(&self, packet: &mut Packet) {
        *packet = Packet::unknown();
    }
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

/// The protocols whose headers are read, by their numbers.
pub mod protocol {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// IGMP
    pub const IGMP: u8 = 2;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// `ICMPv6`
    pub const ICMPV6: u8 = 58;
}

/// Flags of a TCP header, as they stand in its byte 13 (RFC 9293 section 3.1).
pub mod tcp {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronizes sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Resets the connection.
    pub const RST: u8 = 0x04;
    /// Pushes.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// An address, in words as they stand in memory; one of IPv4 is the first of them.
pub type Address = [u32; 4];

/// What the verdict needs to know of a frame. All zeroes is a packet of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// Where it says it comes from: what of it [`Packet::family`] says.
    pub from: Address,
    /// To whom. Zeroes where it could not be read.
    pub to: Address,
    /// Where what the type names begins; zero where that is not known.
    pub network: usize,
    /// The rows it meets. Not beside an address: for twenty bytes of zeroes on end the compiler
    /// calls a loop.
    pub findings: Findings,
    /// Where the transport header begins; zero where none was read whole.
    pub transport: usize,
    /// Where the payload of the IP headers begins.
    pub payload: usize,
    /// Its bytes by the IP header; padding of the frame is not among them.
    pub payload_length: usize,
    /// Family of the source, 4 or 6, or zero where none could be read. An IPv4-mapped IPv6 source
    /// is one of IPv4.
    pub family: u8,
    /// 4 or 6 where a whole IP header was read, else zero.
    pub version: u8,
    /// Protocol of the payload; zero where it could not be read.
    pub protocol: u8,
    /// Flags of a TCP header, as they stand in it (RFC 9293 section 3.1).
    pub tcp_flags: u8,
    /// Hop limit of IPv6.
    pub hop_limit: u8,
    /// TCP or UDP; ICMP: the identifier, where the type has one. Zero where there is none.
    pub source_port: u16,
    /// TCP or UDP; zero where there is none. ICMP: type and code.
    pub destination_port: u16,
    /// Type behind the VLAN tags.
    pub ether_type: u16,
    /// 1 if the payload can be read.
    pub has_payload: u8,
    /// 1 if it came behind a fragment header, whole or not.
    pub fragmented: u8,
}

impl Packet {
    /// A packet of which nothing is known.
    #[inline(always)]
    pub const fn unknown() -> Self {
        Self {
            from: [0; 4],
            to: [0; 4],
            findings: Findings::NONE,
            network: 0,
            transport: 0,
            payload: 0,
            payload_length: 0,
            family: 0,
            version: 0,
            protocol: 0,
            tcp_flags: 0,
            hop_limit: 0,
            source_port: 0,
            destination_port: 0,
            ether_type: 0,
            has_payload: 0,
            fragmented: 0,
        }
    }

    /// A packet of which nothing but the source is known.
    pub fn of(source: Source) -> Self {
        let (family, bytes) = match source {
            Source::Unknown => (0, [0; 16]),
            Source::V4([a, b, c, d]) => (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Source::V6(address) => (6, address),
        };
        let words = u128::from_be_bytes(bytes);
        let from = [96, 64, 32, 0].map(|shift| ((words >> shift) as u32).to_be());
        Self { from, family, ..Self::unknown() }
    }

    /// Who sent it.
    #[inline(always)]
    pub fn source(&self) -> Source {
        let [first, ..] = self.from;
        match self.family {
            4 => Source::V4(first.to_ne_bytes()),
            6 => Source::V6(bytes(self.from)),
            _ => Source::Unknown,
        }
    }

    /// Asks for a connection: SYN without ACK (RFC 9293 section 3.5). Flags are zero but in TCP.
    #[inline(always)]
    pub const fn asks_for_connection(&self) -> bool {
        self.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
    }

    /// ICMP type, where the protocol is ICMP or `ICMPv6`.
    #[inline(always)]
    pub const fn icmp_type(&self) -> u8 {
        (self.destination_port >> 8) as u8
    }

    /// True if the headers down to the transport are understood.
    #[inline(always)]
    pub const fn is_readable(&self) -> bool {
        !self.findings.meets(Findings::BLIND)
    }
}

/// The bytes of an address.
#[inline(always)]
pub(crate) fn bytes(address: Address) -> [u8; 16] {
    let [a, b, c, d] = address.map(|word| u128::from(u32::from_be(word)));
    (a << 96 | b << 64 | c << 32 | d).to_be_bytes()
}

/// Reads a frame.
#[inline(always)]
pub fn parse<P: PacketBytes + ?Sized>(frame: &P) -> Packet {
    let mut packet = Packet::unknown();
    parse_into(frame, &mut packet);
    packet
}

/// Reads a frame, over whatever was there.
#[inline(always)]
pub fn read_into<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) {
    if !plain::read(frame, packet) {
        frame.forget(packet);
        parse_into(frame, packet);
    }
    frame.settle();
}

/// Reads a frame into a packet of which nothing is known.
#[inline(always)]
pub fn parse_into<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) {
    let has_payload = network(frame, packet);
    packet.has_payload = u8::from(has_payload);
    frame.settle();
    if packet.has_payload != 0 {
        transport::parse(frame, packet);
    }
    if packet.version != 0 {
        address::check(packet);
    }
    frame.settle();
}

/// All headers before the transport; true if one follows that can be read.
#[inline(always)]
fn network<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    let Some(ether_type) = eth::ether_type(frame) else {
        packet.findings.meet(Reason::EthernetTruncated);
        return false;
    };
    let Some((ether_type, offset)) = vlan::skip(frame, ether_type, eth::LENGTH) else {
        packet.findings.meet(Reason::VlanDepth);
        return false;
    };
    packet.network = offset;
    packet.ether_type = ether_type;
    frame.settle();
    let finding = match packet.ether_type {
        eth::IPV4 => return ipv4::parse(frame, packet),
        eth::IPV6 => return ipv6::parse(frame, packet),
        eth::ARP => arp::finding(frame, packet.network),
        other if eth::is_encapsulation(other) => Reason::Encapsulated,
        _ => Reason::EtherTypeUnknown,
    };
    packet.findings.meet(finding);
    false
}

#[cfg(test)]
mod tests;
