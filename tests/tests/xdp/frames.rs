//! Every framing the parser knows, built by etherparse as an independent hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FragmentHeader, Ipv6Header,
    PacketBuilder, TransportHeader,
};
use gateway_common::Reason;

pub(crate) const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
pub(crate) const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 9);
const TO_V4: [u8; 4] = [198, 51, 100, 1];
const TO_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A frame and what is to be found in it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) finding: Option<Reason>,
}

impl Sample {
    pub(crate) fn passed(&self) -> Reason {
        self.finding.unwrap_or(Reason::Passed)
    }
}

/// A plain UDP packet from `source`.
pub(crate) fn udp4(source: Ipv4Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.octets(), TO_V4, 64)
        .udp(40_000, 53)
        .write(&mut bytes, &[0; 26])
        .unwrap();
    bytes
}

/// A SYN from `source`.
pub(crate) fn syn4(source: Ipv4Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.octets(), TO_V4, 64)
        .tcp(40_000, 443, 1, 1024)
        .syn()
        .write(&mut bytes, &[])
        .unwrap();
    bytes
}

/// The same for IPv6.
pub(crate) fn syn6(source: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(source.octets(), TO_V6, 64)
        .tcp(40_000, 443, 1, 1024)
        .syn()
        .write(&mut bytes, &[])
        .unwrap();
    bytes
}

/// A plain UDP packet over IPv6.
pub(crate) fn udp6(source: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(source.octets(), TO_V6, 64)
        .udp(40_000, 53)
        .write(&mut bytes, &[0; 26])
        .unwrap();
    bytes
}

/// Tags × network headers × transports.
pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100], &[0x9100, 0x8100]] {
        for (kind, protocol, transport) in transports() {
            // Fragments are cut at multiples of eight.
            let padding = 48 - transport.len();
            let payload = [transport, vec![7; padding]].concat();
            for (network, packet, finding) in networks4(protocol, &payload) {
                let name = format!("{tags:04x?} {network} {kind}");
                let bytes = frame(tags, EtherType::IPV4, &packet);
                samples.push(Sample { name, bytes, finding });
            }
            // ICMP over IPv6 is another protocol number.
            let protocol = if protocol == IpNumber::ICMP { IpNumber::IPV6_ICMP } else { protocol };
            for (network, packet, finding) in networks6(protocol, &payload) {
                let name = format!("{tags:04x?} {network} {kind}");
                let bytes = frame(tags, EtherType::IPV6, &packet);
                samples.push(Sample { name, bytes, finding });
            }
        }
    }
    samples
}

fn frame(tags: &[u16], ether_type: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 7]);
    }
    bytes.extend(ether_type.0.to_be_bytes());
    bytes.extend(packet);
    bytes
}

fn transports() -> Vec<(&'static str, IpNumber, Vec<u8>)> {
    let mut tcp = etherparse::TcpHeader::new(40_000, 443, 1, 1024);
    tcp.ack = true;
    tcp.set_options_raw(&[1; 8]).unwrap();
    let udp = etherparse::UdpHeader {
        source_port: 40_000,
        destination_port: 53,
        length: 48,
        checksum: 0,
    };
    let icmp = etherparse::Icmpv4Header::new(etherparse::Icmpv4Type::EchoRequest(
        etherparse::IcmpEchoHeader { id: 1, seq: 1 },
    ));
    let bytes = |header: TransportHeader| {
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        bytes
    };
    vec![
        ("tcp", IpNumber::TCP, bytes(TransportHeader::Tcp(tcp))),
        ("udp", IpNumber::UDP, bytes(TransportHeader::Udp(udp))),
        ("icmp", IpNumber::ICMP, bytes(TransportHeader::Icmpv4(icmp))),
    ]
}

type Network = (&'static str, Vec<u8>, Option<Reason>);

fn ipv4(protocol: IpNumber, payload: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = Ipv4Header::new(length, 64, protocol, V4.octets(), TO_V4).unwrap();
    change(&mut header);
    header.set_payload_len(payload.len()).unwrap();
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend(payload);
    bytes
}

fn networks4(protocol: IpNumber, payload: &[u8]) -> Vec<Network> {
    let options = |header: &mut Ipv4Header| {
        header.options = Ipv4Options::try_from(&[1_u8; 40][..]).unwrap();
    };
    let first = |header: &mut Ipv4Header| header.more_fragments = true;
    let later = |header: &mut Ipv4Header| {
        header.fragment_offset = IpFragOffset::try_new(185).unwrap();
    };
    // The first fragment's UDP length tells of the whole datagram.
    vec![
        ("ipv4", ipv4(protocol, payload, |_| ()), None),
        ("ipv4 with options", ipv4(protocol, payload, options), Some(Reason::Ipv4Options)),
        ("ipv4 first fragment", ipv4(protocol, payload, first), Some(Reason::FirstFragment)),
        ("ipv4 later fragment", ipv4(protocol, payload, later), Some(Reason::LaterFragment)),
    ]
}

fn ipv6(next: IpNumber, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: u16::try_from(payload.len()).unwrap(),
        next_header: next,
        hop_limit: 64,
        source: V6.octets(),
        destination: TO_V6,
        ..Ipv6Header::default()
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    bytes.extend(payload);
    bytes
}

/// Hop-by-hop (8 bytes), routing (24), authentication (24), destination options (16).
fn chain(last: IpNumber) -> Vec<u8> {
    let mut bytes = vec![IpNumber::IPV6_ROUTE_HEADER.0, 0, 1, 4, 0, 0, 0, 0];
    bytes.extend([IpNumber::AUTHENTICATION_HEADER.0, 2, 4]);
    bytes.extend([0; 21]);
    bytes.extend([IpNumber::IPV6_DESTINATION_OPTIONS.0, 4]);
    bytes.extend([0; 22]);
    bytes.extend([last.0, 1]);
    bytes.extend([0; 14]);
    bytes
}

fn fragment(next: IpNumber, offset: u16, more: bool) -> Vec<u8> {
    let offset = IpFragOffset::try_new(offset).unwrap();
    Ipv6FragmentHeader::new(next, offset, more, 77).to_bytes().to_vec()
}

fn networks6(protocol: IpNumber, payload: &[u8]) -> Vec<Network> {
    let with =
        |first: IpNumber, headers: Vec<u8>| ipv6(first, &[headers, payload.to_vec()].concat());
    let hop = IpNumber::IPV6_HEADER_HOP_BY_HOP;
    let frag = IpNumber::IPV6_FRAGMENTATION_HEADER;
    let chained = [chain(frag), fragment(protocol, 0, false)].concat();
    let deep = [[60, 0, 1, 4, 0, 0, 0, 0].repeat(8), vec![protocol.0, 0, 1, 4, 0, 0, 0, 0]];
    vec![
        ("ipv6", ipv6(protocol, payload), None),
        ("ipv6 with a chain", with(hop, chain(protocol)), None),
        ("ipv6 atomic fragment", with(frag, fragment(protocol, 0, false)), None),
        ("ipv6 chain and atomic fragment", with(hop, chained), None),
        (
            "ipv6 first fragment",
            with(frag, fragment(protocol, 0, true)),
            Some(Reason::FirstFragment),
        ),
        (
            "ipv6 later fragment",
            with(frag, fragment(protocol, 185, false)),
            Some(Reason::LaterFragment),
        ),
        (
            "ipv6 nine headers",
            with(IpNumber::IPV6_DESTINATION_OPTIONS, deep.concat()),
            Some(Reason::ExtensionDepth),
        ),
    ]
}
