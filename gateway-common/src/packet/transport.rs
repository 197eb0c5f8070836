//! TCP, UDP, ICMP and `ICMPv6`: enough of the header to know that it is one, and where it goes.
//! Other protocols carry nothing that is judged here.

use super::{Packet, PacketBytes};
use crate::Reason;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What an IP header says about its payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    /// Where it begins.
    pub(super) offset: usize,
    /// Its bytes by the IP header; padding of the frame is not among them.
    pub(super) length: usize,
    /// False in a first fragment, whose payload goes on elsewhere.
    pub(super) whole: bool,
}

/// Completes `packet` by the transport header at the start of `payload`. The header must be whole
/// also in a first fragment (RFC 7112; RFC 1858 tells what tiny ones are for).
#[inline(always)]
pub(super) fn parse<P: PacketBytes + ?Sized>(
    frame: &P,
    payload: &Payload,
    packet: Packet,
) -> Packet {
    let header = match packet.protocol {
        TCP => tcp(frame, payload),
        UDP => udp(frame, payload),
        ICMP => icmp(frame, payload, 8),
        ICMPV6 => icmp(frame, payload, 4),
        _ => return packet,
    };
    match header {
        Some(header) => Packet {
            source_port: header.source_port,
            destination_port: header.destination_port,
            tcp_flags: header.flags,
            transport: payload.offset,
            ..packet
        },
        None => Packet { finding: Some(Reason::TransportMalformed), ..packet },
    }
}

struct Header {
    source_port: u16,
    destination_port: u16,
    flags: u8,
}

/// RFC 9293 section 3.1: the header has 20 bytes at least and ends inside the segment.
#[inline(always)]
fn tcp<P: PacketBytes + ?Sized>(frame: &P, payload: &Payload) -> Option<Header> {
    if payload.length < 20 {
        return None;
    }
    // One read for all fields: the verifier follows one bounds check an offset.
    let [s1, s0, d1, d0, _, _, _, _, _, _, _, _, data_offset, flags] =
        frame.read(payload.offset)?;
    let header_length = usize::from(data_offset >> 4) * 4;
    let fits = header_length >= 20 && header_length <= payload.length;
    fits.then_some(Header {
        source_port: u16::from_be_bytes([s1, s0]),
        destination_port: u16::from_be_bytes([d1, d0]),
        flags,
    })
}

/// RFC 768: the length counts the header and ends inside the packet. Zero is lawful in a
/// jumbogram only (RFC 2675), which no 16-bit frame length carries.
#[inline(always)]
fn udp<P: PacketBytes + ?Sized>(frame: &P, payload: &Payload) -> Option<Header> {
    if payload.length < 8 {
        return None;
    }
    let [s1, s0, d1, d0, l1, l0] = frame.read(payload.offset)?;
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    let fits = length >= 8 && (length <= payload.length || !payload.whole);
    fits.then_some(Header {
        source_port: u16::from_be_bytes([s1, s0]),
        destination_port: u16::from_be_bytes([d1, d0]),
        flags: 0,
    })
}

/// RFC 792 and RFC 4443: type and code come first.
#[inline(always)]
fn icmp<P: PacketBytes + ?Sized>(frame: &P, payload: &Payload, least: usize) -> Option<Header> {
    if payload.length < least {
        return None;
    }
    let kind = frame.read(payload.offset)?;
    Some(Header { source_port: 0, destination_port: u16::from_be_bytes(kind), flags: 0 })
}
