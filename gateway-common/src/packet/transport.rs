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
    let port = match packet.protocol {
        TCP => tcp_port(frame, payload),
        UDP => udp_port(frame, payload),
        ICMP => (payload.length >= 8).then_some(0),
        ICMPV6 => (payload.length >= 4).then_some(0),
        _ => Some(0),
    };
    match port {
        Some(destination_port) => Packet { destination_port, ..packet },
        None => Packet { finding: Some(Reason::TransportMalformed), ..packet },
    }
}

/// RFC 9293 section 3.1: the header has 20 bytes at least and ends inside the segment.
#[inline(always)]
fn tcp_port<P: PacketBytes + ?Sized>(frame: &P, payload: &Payload) -> Option<u16> {
    if payload.length < 20 {
        return None;
    }
    // One read for both fields: the verifier follows one bounds check an offset.
    let [_, _, p1, p0, _, _, _, _, _, _, _, _, data_offset] = frame.read(payload.offset)?;
    let header_length = usize::from(data_offset >> 4) * 4;
    if header_length < 20 || header_length > payload.length {
        return None;
    }
    Some(u16::from_be_bytes([p1, p0]))
}

/// RFC 768: the length counts the header and ends inside the packet. Zero is lawful in a
/// jumbogram only (RFC 2675), which no 16-bit frame length carries.
#[inline(always)]
fn udp_port<P: PacketBytes + ?Sized>(frame: &P, payload: &Payload) -> Option<u16> {
    if payload.length < 8 {
        return None;
    }
    let [_, _, p1, p0, l1, l0] = frame.read(payload.offset)?;
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    let fits = length >= 8 && (length <= payload.length || !payload.whole);
    fits.then_some(u16::from_be_bytes([p1, p0]))
}
