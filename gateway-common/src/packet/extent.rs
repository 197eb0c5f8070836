//! Where the headers of a frame end, for those who may see headers and nothing behind them.

use super::{Packet, PacketBytes, eth, protocol};
use crate::Reason;

/// Bytes of an ARP packet for IPv4 over Ethernet (RFC 826): all of it is header.
const ARP: usize = 28;
/// Bytes of the header of UDP, and of what every ICMP message begins with.
const EIGHT: usize = 8;
/// Where a TCP header tells its length.
const TCP_LENGTH: usize = 12;
/// Bytes of fixed IP headers.
const IPV4: usize = 20;
const IPV6: usize = 40;

/// The offset behind the last header that was understood, inside the frame. What is not
/// understood counts as payload.
#[inline(always)]
pub fn headers_end<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> usize {
    let end = end(frame, packet);
    let length = frame.length();
    if end < length { end } else { length }
}

#[inline(always)]
fn end<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> usize {
    if packet.network == 0 {
        // Tags beyond those that are read, or no Ethernet header at all.
        return eth::LENGTH;
    }
    if packet.version == 0 {
        return packet.network + malformed(packet);
    }
    if packet.transport == 0 {
        return packet.payload;
    }
    match packet.protocol {
        protocol::TCP => packet.transport + tcp(frame, packet),
        _ => packet.transport + EIGHT,
    }
}

/// Behind Ethernet where there is no IP header, or none that is whole: its fixed part says why.
#[inline(always)]
fn malformed(packet: &Packet) -> usize {
    match packet.ether_type {
        eth::IPV4 => IPV4,
        eth::IPV6 => IPV6,
        eth::ARP if !packet.findings.has(Reason::ArpMalformed) => ARP,
        _ => 0,
    }
}

/// Options are header too.
#[inline(always)]
fn tcp<P: PacketBytes + ?Sized>(frame: &P, packet: &Packet) -> usize {
    let words = frame.read(packet.transport + TCP_LENGTH).map_or(0, |[byte]: [u8; 1]| byte >> 4);
    usize::from(words) * 4
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::packet;

    fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
        [&[2; 12], kind.to_be_bytes().as_slice(), rest].concat()
    }

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = 20 + u8::try_from(payload.len()).unwrap();
        let head = [0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1];
        ethernet(0x0800, &[&head, payload].concat())
    }

    fn end_of(frame: &[u8]) -> usize {
        headers_end(frame, &packet::parse(frame))
    }

    #[test]
    fn ends_behind_the_options_of_tcp() {
        let mut tcp = [0; 60];
        (tcp[1], tcp[3], tcp[12], tcp[13]) = (1, 2, 8 << 4, 0x18);
        assert_eq!(end_of(&ipv4(6, &tcp)), 14 + 20 + 32);
    }

    #[test]
    fn ends_before_what_is_not_understood() {
        // GRE: a whole packet is inside.
        assert_eq!(end_of(&ipv4(47, &[1; 40])), 34);
        // A datagram that says it is longer than its packet.
        assert_eq!(end_of(&ipv4(17, &[0, 1, 0, 2, 0, 99, 0, 0, 0x55, 0x55])), 34);
        // An unknown type, and 802.2.
        assert_eq!(end_of(&ethernet(0x88b5, &[0x55; 60])), 14);
        assert_eq!(end_of(&ethernet(0x8847, &[0x55; 60])), 14);
        // Three tags.
        let tagged = [0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x08, 0, 0x45, 0x55, 0x55];
        assert_eq!(end_of(&ethernet(0x8100, &tagged)), 14);
    }

    #[test]
    fn a_later_fragment_is_all_payload_behind_ip() {
        let mut frame = ipv4(17, &[0x55; 16]);
        frame[14 + 7] = 3;
        assert_eq!(end_of(&frame), 34);
    }

    #[test]
    fn icmp_errors_show_no_quotation() {
        let mut message = [0x55; 40];
        (message[0], message[1]) = (3, 3);
        assert_eq!(end_of(&ipv4(1, &message)), 34 + 8);
    }

    #[test]
    fn never_beyond_the_frame() {
        for length in 0..60 {
            let frame = ipv4(17, &[0, 1, 0, 2, 0, 8, 0, 0]);
            let cut = &frame[..length.min(frame.len())];
            assert!(end_of(cut) <= cut.len(), "{length}");
        }
        assert_eq!(end_of(&ethernet(0x0806, &[0; 60])), 14, "not ARP that is understood");
    }
}
