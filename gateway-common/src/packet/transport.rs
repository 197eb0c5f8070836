//! Fragments, TCP, UDP, ICMP and `ICMPv6`: enough of the header to know that it is one, and where
//! it goes. Other protocols carry nothing that is judged here.

use super::{Packet, PacketBytes, neighbour, protocol};
use crate::Reason;

/// Longest packet that fragments may add up to.
const LONGEST: usize = 65_535;
/// Bytes of a TCP header without options.
pub(super) const TCP_LENGTH: usize = 20;

/// Names a fragment of several; true for the first, which has a transport header to read.
#[inline(always)]
pub(super) fn fragment(offset: usize, more: bool, packet: &mut Packet) -> bool {
    packet.fragmented = 1;
    let invalid = is_invalid(offset, more, packet);
    packet.findings.meet_if(invalid, Reason::FragmentInvalid);
    let is_first = offset == 0;
    packet.findings.meet(if is_first { Reason::FirstFragment } else { Reason::LaterFragment });
    is_first
}

/// What only an attack on reassembly sends: a gap (RFC 791: fragments are cut at multiples of
/// eight), a header overwritten (RFC 3128), a packet overrun ("ping of death").
#[inline(always)]
fn is_invalid(offset: usize, more: bool, packet: &Packet) -> bool {
    let length = packet.payload_length;
    let gap = more && (length == 0 || !length.is_multiple_of(8));
    let overwrites = offset > 0 && offset < TCP_LENGTH && packet.protocol == protocol::TCP;
    gap || overwrites || offset + length > LONGEST
}

/// Completes `packet` by the transport header at the start of its payload. The header must be
/// whole also in a first fragment (RFC 7112; RFC 1858 tells what tiny ones are for).
#[inline(always)]
pub(super) fn parse<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) {
    let header = match packet.protocol {
        protocol::TCP => tcp(frame, packet),
        protocol::UDP => udp(frame, packet),
        protocol::ICMP | protocol::ICMPV6 => icmp(frame, packet),
        _ => return,
    };
    let Some(header) = header else {
        packet.findings.meet(Reason::TransportMalformed);
        return;
    };
    packet.transport = packet.payload;
    packet.source_port = header.source_port;
    packet.destination_port = header.destination_port;
    packet.tcp_flags = header.flags;
    judge(packet);
}

/// The rows of a header that was read.
#[inline(always)]
fn judge(packet: &mut Packet) {
    match packet.protocol {
        protocol::TCP => {
            packet.findings.meet_if(are_impossible(packet.tcp_flags), Reason::TcpFlags);
            zero(packet);
        }
        protocol::UDP => zero(packet),
        protocol::ICMPV6 if packet.version == 6 => {
            packet.findings.meet_if(neighbour::is_invalid(packet), Reason::NeighbourInvalid);
        }
        _ => {}
    }
}

#[inline(always)]
fn zero(packet: &mut Packet) {
    let zero = packet.source_port == 0 || packet.destination_port == 0;
    packet.findings.meet_if(zero, Reason::PortZero);
}

/// One bit for each combination of the six flags that no stack sends.
const IMPOSSIBLE: u64 = impossible();

const fn impossible() -> u64 {
    use super::tcp::{ACK, FIN, PSH, RST, SYN, URG};
    let (mut set, mut flags) = (0, 0_u8);
    while flags < 64 {
        let opens_and_ends = flags & SYN != 0 && flags & (FIN | RST) != 0;
        let ends_twice = flags & FIN != 0 && flags & RST != 0;
        let unacknowledged = flags & (FIN | PSH | URG) != 0 && flags & ACK == 0;
        if flags == 0 || opens_and_ends || ends_twice || unacknowledged {
            set |= 1 << flags;
        }
        flags += 1;
    }
    set
}

#[inline(always)]
pub(super) const fn are_impossible(flags: u8) -> bool {
    (IMPOSSIBLE >> (flags & 0x3f)) & 1 == 1
}

struct Header {
    source_port: u16,
    destination_port: u16,
    flags: u8,
}

impl Header {
    /// Of a word with both ports.
    #[inline(always)]
    const fn new(ports: u32, flags: u8) -> Self {
        Self { source_port: (ports >> 16) as u16, destination_port: ports as u16, flags }
    }
}

/// RFC 9293 section 3.1: the header has 20 bytes at least and ends inside the segment.
#[inline(always)]
fn tcp<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> Option<Header> {
    if packet.payload_length < TCP_LENGTH {
        return None;
    }
    let [ports, _, _, last] = frame.words(packet.payload)?.map(u32::from_be);
    let header_length = (last >> 28) as usize * 4;
    let fits = header_length >= TCP_LENGTH && header_length <= packet.payload_length;
    fits.then_some(Header::new(ports, (last >> 16) as u8))
}

/// RFC 768: the length counts the header and ends inside the packet. Zero is lawful in a
/// jumbogram only (RFC 2675), which no 16-bit frame length carries.
#[inline(always)]
fn udp<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> Option<Header> {
    if packet.payload_length < 8 {
        return None;
    }
    let [ports, second] = frame.words(packet.payload)?.map(u32::from_be);
    let length = (second >> 16) as usize;
    let whole = !packet.findings.has(Reason::FirstFragment);
    let fits = length >= 8 && (length <= packet.payload_length || !whole);
    fits.then_some(Header::new(ports, 0))
}

/// RFC 792 and RFC 4443: type and code come first; every message has eight bytes. Bytes 4 and 5
/// are the identifier of an echo.
#[inline(always)]
fn icmp<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> Option<Header> {
    if packet.payload_length < 8 {
        return None;
    }
    let [first, second] = frame.words(packet.payload)?.map(u32::from_be);
    Some(Header::new((second & 0xffff_0000) | first >> 16, 0))
}
