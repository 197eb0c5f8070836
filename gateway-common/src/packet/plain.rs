//! What nearly all packets are: Ethernet, an IP header without options, extensions or fragments,
//! TCP or UDP, and no row met. Read in one check of bounds and without a detour; everything else is
//! left to the parser, and so is every rule: the two say the same of every packet that is plain.

use super::{Address, Findings, Packet, PacketBytes, eth, protocol, transport};

/// Bytes of the IP headers.
const IPV4: usize = 20;
const IPV6: usize = 40;

/// Type of service aside: version 4, a header of five words.
const VERSION4: u32 = 0x45;
const VERSION6: u32 = 6;

/// "More fragments", and the offset.
const FRAGMENTED: u32 = 0x3fff;

/// What an IP header says of the packet behind it.
struct Headers {
    version: u8,
    from: Address,
    to: Address,
    protocol: u8,
    hop_limit: u8,
    /// Bytes of the IP header.
    length: usize,
    payload_length: usize,
}

/// Reads a plain packet, over whatever was there; false if it is another, and nothing is written.
#[inline(always)]
pub(super) fn read<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    match eth::ether_type(frame) {
        Some(eth::IPV4) => ipv4(frame, packet),
        Some(eth::IPV6) => ipv6(frame, packet),
        _ => false,
    }
}

#[inline(always)]
fn ipv4<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    let Some([first, second, third, source, destination, ports, length, _, flags]) =
        frame.words(eth::LENGTH)
    else {
        return false;
    };
    let [first, second, third] = [first, second, third].map(u32::from_be);
    let total_length = (first & 0xffff) as usize;
    if first >> 24 != VERSION4
        || second & FRAGMENTED != 0
        || total_length < IPV4
        || total_length > frame.length() - eth::LENGTH
        || !is_plain4(u32::from_be(source))
        || source == destination
    {
        return false;
    }
    let headers = Headers {
        version: 4,
        from: [source, 0, 0, 0],
        to: [destination, 0, 0, 0],
        protocol: (third >> 16) as u8,
        hop_limit: 0,
        length: IPV4,
        payload_length: total_length - IPV4,
    };
    behind(&headers, [ports, length, flags], packet)
}

#[inline(always)]
fn ipv6<P: PacketBytes + ?Sized>(frame: &P, packet: &mut Packet) -> bool {
    let Some([first, second, s0, s1, s2, s3, d0, d1, d2, d3, ports, length, _, flags]) =
        frame.words(eth::LENGTH)
    else {
        return false;
    };
    let [first, second] = [first, second].map(u32::from_be);
    let payload_length = (second >> 16) as usize;
    let differs = (s0 ^ d0) | (s1 ^ d1) | (s2 ^ d2) | (s3 ^ d3) != 0;
    if first >> 28 != VERSION6
        || payload_length > frame.length() - eth::LENGTH - IPV6
        || !is_plain6(u32::from_be(s0))
        || !differs
    {
        return false;
    }
    let headers = Headers {
        version: 6,
        from: [s0, s1, s2, s3],
        to: [d0, d1, d2, d3],
        protocol: (second >> 8) as u8,
        hop_limit: second as u8,
        length: IPV6,
        payload_length,
    };
    behind(&headers, [ports, length, flags], packet)
}

/// Unspecified, loopback, multicast and what is reserved are looked at more closely.
#[inline(always)]
const fn is_plain4(source: u32) -> bool {
    let first = source >> 24;
    first != 0 && first != 127 && first < 224
}

/// Below `::/8` are the addresses that stand for others, in `ff00::/8` groups.
#[inline(always)]
const fn is_plain6(first: u32) -> bool {
    let first = first >> 24;
    first != 0 && first != 0xff
}

#[inline(always)]
fn behind(headers: &Headers, [ports, second, last]: [u32; 3], packet: &mut Packet) -> bool {
    let [ports, second, last] = [ports, second, last].map(u32::from_be);
    let (source_port, destination_port) = ((ports >> 16) as u16, ports as u16);
    let tcp_flags = match headers.protocol {
        protocol::TCP => tcp(last, headers.payload_length),
        protocol::UDP => udp(second, headers.payload_length),
        _ => None,
    };
    let Some(tcp_flags) = tcp_flags else { return false };
    if source_port == 0 || destination_port == 0 {
        return false;
    }
    let payload = eth::LENGTH + headers.length;
    *packet = Packet {
        from: headers.from,
        to: headers.to,
        findings: Findings::NONE,
        network: eth::LENGTH,
        transport: payload,
        payload,
        payload_length: headers.payload_length,
        family: headers.version,
        version: headers.version,
        protocol: headers.protocol,
        tcp_flags,
        hop_limit: headers.hop_limit,
        source_port,
        destination_port,
        ether_type: if headers.version == 4 { eth::IPV4 } else { eth::IPV6 },
        has_payload: 1,
        fragmented: 0,
    };
    true
}

/// The flags of a TCP header whose fourth word this is.
#[inline(always)]
fn tcp(word: u32, payload_length: usize) -> Option<u8> {
    let (length, flags) = ((word >> 28) as usize * 4, (word >> 16) as u8);
    let fits = length >= transport::TCP_LENGTH && length <= payload_length;
    (fits && !transport::are_impossible(flags)).then_some(flags)
}

/// None has UDP, whose length is in its second word.
#[inline(always)]
fn udp(word: u32, payload_length: usize) -> Option<u8> {
    let length = (word >> 16) as usize;
    (length >= 8 && length <= payload_length).then_some(0)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::{parse, read_into};

    const TCP: [u8; 20] =
        [0x9c, 0x40, 1, 0xbb, 0, 0, 0, 9, 0, 0, 0, 7, 0x50, 0x10, 1, 0, 0, 0, 0, 0];
    const UDP: [u8; 20] = [0x9c, 0x40, 0, 0x35, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn v4(protocol: u8, payload: &[u8; 20]) -> Vec<u8> {
        let head = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7];
        [[2; 12].as_slice(), &[8, 0], head.as_slice(), payload, &[0; 6]].concat()
    }

    fn v6(protocol: u8, payload: &[u8; 20]) -> Vec<u8> {
        let head = [0x60, 0, 0, 0, 0, 20, protocol, 64];
        let (mut from, mut to) = ([0x20; 16], [0x2a; 16]);
        (from[15], to[15]) = (1, 2);
        [[2; 12].as_slice(), &[0x86, 0xdd], head.as_slice(), &from, &to, payload].concat()
    }

    fn frames() -> [Vec<u8>; 4] {
        [v4(6, &TCP), v4(17, &UDP), v6(6, &TCP), v6(17, &UDP)]
    }

    /// What lies on the desk from the packet before.
    fn left() -> Packet {
        Packet {
            from: [7; 4],
            to: [8; 4],
            findings: Findings::BLIND,
            network: 1,
            transport: 2,
            payload: 3,
            payload_length: 4,
            family: 6,
            version: 6,
            protocol: 7,
            tcp_flags: 8,
            hop_limit: 9,
            source_port: 10,
            destination_port: 11,
            ether_type: 12,
            has_payload: 1,
            fragmented: 1,
        }
    }

    #[test]
    fn what_most_packets_are_is_plain() {
        for frame in frames() {
            let mut packet = left();
            assert!(read(frame.as_slice(), &mut packet), "{frame:02x?}");
            assert_eq!(packet, parse(frame.as_slice()));
            assert!(packet.findings.is_empty() && packet.transport != 0);
        }
    }

    #[test]
    fn whatever_one_byte_becomes_both_say_the_same() {
        for frame in frames() {
            for at in 12..frame.len() {
                for value in 0..=255 {
                    let mut frame = frame.clone();
                    frame[at] = value;
                    let mut packet = left();
                    read_into(frame.as_slice(), &mut packet);
                    assert_eq!(packet, parse(frame.as_slice()), "{at}: {frame:02x?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        /// What is plain is read as the parser reads it; what is not leaves the packet alone.
        #[test]
        fn no_packet_is_read_in_two_ways(
            which in 0..4usize,
            changes in proptest::collection::vec((12..74usize, any::<u8>()), 0..6),
            length in 0..90usize,
        ) {
            let mut frame = frames()[which].clone();
            frame.resize(length.max(20), 0);
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            let mut packet = left();
            if read(frame.as_slice(), &mut packet) {
                prop_assert!(packet.findings.is_empty());
                prop_assert_eq!(packet, parse(frame.as_slice()));
            } else {
                prop_assert_eq!(packet, left());
            }
        }
    }
}
