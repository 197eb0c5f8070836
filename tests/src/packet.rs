//! Frames made by hand, in every framing the filter must see through, each with a mark in its
//! payload that names its flow, its framing and its number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Starts every mark; nothing else on a lab's wire contains it.
const MAGIC: [u8; 8] = *b"gw-lab\xf0\x9d";

/// Bytes of a mark.
const MARK_BYTES: usize = 8 + 2 + 2 + 8;

/// What a payload says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Who sent it and why: chosen by the case.
    pub flow: u16,
    /// Index into [`FRAMINGS`].
    pub framing: u16,
    pub sequence: u64,
}

impl Mark {
    fn bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        let parts: [&[u8]; 4] = [
            &MAGIC,
            &self.flow.to_be_bytes(),
            &self.framing.to_be_bytes(),
            &self.sequence.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.concat()) {
            *to = from;
        }
        bytes
    }

    /// The mark anywhere in a frame: the reader of a wire need not understand its framing, and a
    /// VLAN tag that the kernel took off before a packet socket changes nothing.
    pub fn find(frame: &[u8]) -> Option<Self> {
        let start = frame.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let mark = frame.get(start + MAGIC.len()..start + MARK_BYTES)?;
        let (flow, rest) = mark.split_first_chunk::<2>()?;
        let (framing, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            flow: u16::from_be_bytes(*flow),
            framing: u16::from_be_bytes(*framing),
            sequence: u64::from_be_bytes(*sequence),
        })
    }
}

/// What carries the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    TcpSyn,
    /// An echo request, of the version's own ICMP.
    Echo,
}

/// Where the datagram was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    No,
    First,
    /// Has no transport header at all.
    Later,
}

/// One way to wrap a packet.
#[derive(Debug, Clone, Copy)]
pub struct Framing {
    pub name: &'static str,
    pub v6: bool,
    /// `EtherType`s of the VLAN tags, outermost first.
    pub tags: &'static [u16],
    pub transport: Transport,
    pub fragment: Fragment,
    /// IPv4 options, or IPv6 hop-by-hop and destination options.
    pub options: bool,
}

const fn framing(name: &'static str, v6: bool, transport: Transport) -> Framing {
    Framing { name, v6, tags: &[], transport, fragment: Fragment::No, options: false }
}

const C: u16 = 0x8100;
const S: u16 = 0x88a8;

/// Every framing, IPv4 first.
pub const FRAMINGS: &[Framing] = &[
    framing("v4 udp", false, Transport::Udp),
    framing("v4 syn", false, Transport::TcpSyn),
    framing("v4 echo", false, Transport::Echo),
    Framing { tags: &[C], ..framing("v4 udp, one tag", false, Transport::Udp) },
    Framing { tags: &[S, C], ..framing("v4 syn, two tags", false, Transport::TcpSyn) },
    Framing { options: true, ..framing("v4 udp, options", false, Transport::Udp) },
    Framing { fragment: Fragment::First, ..framing("v4 first fragment", false, Transport::Udp) },
    Framing { fragment: Fragment::Later, ..framing("v4 later fragment", false, Transport::Udp) },
    framing("v6 udp", true, Transport::Udp),
    framing("v6 syn", true, Transport::TcpSyn),
    framing("v6 echo", true, Transport::Echo),
    Framing { tags: &[C], ..framing("v6 syn, one tag", true, Transport::TcpSyn) },
    Framing { tags: &[S, C], ..framing("v6 udp, two tags", true, Transport::Udp) },
    Framing { options: true, ..framing("v6 udp, extension headers", true, Transport::Udp) },
    Framing { fragment: Fragment::First, ..framing("v6 first fragment", true, Transport::Udp) },
    Framing { fragment: Fragment::Later, ..framing("v6 later fragment", true, Transport::Udp) },
];

/// How many of [`FRAMINGS`] are IPv4.
pub const V4_FRAMINGS: usize = 8;

/// Both ends of a link, and the address under attack.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    pub from: [u8; 6],
    pub to: [u8; 6],
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
    pub port: u16,
}

/// The frame of `framing` from `source`, marked. `source` must be of the framing's version.
pub fn frame(wire: &Wire, framing: &Framing, source: IpAddr, mark: Mark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160);
    bytes.extend(wire.to);
    bytes.extend(wire.from);
    for (number, tag) in framing.tags.iter().enumerate() {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 10 + u8::try_from(number).unwrap_or(0)]);
    }
    match source {
        IpAddr::V4(source) => ipv4(&mut bytes, wire, framing, source, mark),
        IpAddr::V6(source) => ipv6(&mut bytes, wire, framing, source, mark),
    }
    bytes
}

fn ipv4(bytes: &mut Vec<u8>, wire: &Wire, framing: &Framing, source: Ipv4Addr, mark: Mark) {
    bytes.extend(0x0800_u16.to_be_bytes());
    let addresses = [source.octets(), wire.v4.octets()].concat();
    let protocol = protocol_number(framing);
    let payload = payload(wire, framing, &addresses, mark);
    // Record route (7) of 7 bytes and one end-of-options.
    let options: &[u8] = if framing.options { &[7, 7, 4, 0, 0, 0, 0, 0] } else { &[] };
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(5);
    let total = u16::try_from(usize::from(words) * 4 + payload.len()).unwrap_or(u16::MAX);
    let fragment: u16 = match framing.fragment {
        Fragment::No => 0x4000,
        Fragment::First => 0x2000,
        Fragment::Later => 0x0040,
    };
    let mut header = vec![0x40 | words, 0];
    header.extend(total.to_be_bytes());
    header.extend(low_half(mark.sequence).to_be_bytes());
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(addresses);
    header.extend(options);
    let sum = checksum(&header);
    put(&mut header, 10, sum);
    bytes.extend(header);
    bytes.extend(payload);
}

fn ipv6(bytes: &mut Vec<u8>, wire: &Wire, framing: &Framing, source: Ipv6Addr, mark: Mark) {
    bytes.extend(0x86dd_u16.to_be_bytes());
    let addresses = [source.octets(), wire.v6.octets()].concat();
    let transport = protocol_number(framing);
    let (first, extensions) = extensions(framing, transport, mark);
    let payload = payload(wire, framing, &addresses, mark);
    let length = u16::try_from(extensions.len() + payload.len()).unwrap_or(u16::MAX);
    bytes.extend([0x60, 0, 0, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend([first, 64]);
    bytes.extend(addresses);
    bytes.extend(extensions);
    bytes.extend(payload);
}

/// The first next-header value and the headers between IPv6 and the transport.
fn extensions(framing: &Framing, transport: u8, mark: Mark) -> (u8, Vec<u8>) {
    if framing.options {
        // Hop-by-hop, then destination options, each eight bytes of padding.
        let padding = [0, 1, 4, 0, 0, 0, 0];
        let chain = [&[60][..], &padding, &[transport], &padding].concat();
        return (0, chain);
    }
    let offset: u16 = match framing.fragment {
        Fragment::No => return (transport, Vec::new()),
        Fragment::First => 1,
        Fragment::Later => 64 << 3,
    };
    let mut header = vec![transport, 0];
    header.extend(offset.to_be_bytes());
    header.extend((mark.sequence & 0xffff_ffff).to_be_bytes().split_at(4).1);
    (44, header)
}

/// Transport header and mark, or the mark alone in a later fragment.
fn payload(wire: &Wire, framing: &Framing, addresses: &[u8], mark: Mark) -> Vec<u8> {
    let mut data = mark.bytes().to_vec();
    if framing.fragment == Fragment::First {
        // Fragments are cut at multiples of eight.
        data.extend([0; 4]);
    }
    if framing.fragment == Fragment::Later {
        return data;
    }
    // Ephemeral ones: none that amplifiers answer from.
    let source_port = 0xc000 | (low_half(mark.sequence) & 0x3fff);
    let mut segment = Vec::with_capacity(48);
    let place = match framing.transport {
        Transport::Udp => {
            let length = u16::try_from(8 + data.len()).unwrap_or(u16::MAX);
            for word in [source_port, wire.port, length, 0] {
                segment.extend(word.to_be_bytes());
            }
            6
        }
        Transport::TcpSyn => {
            segment.extend(source_port.to_be_bytes());
            segment.extend(wire.port.to_be_bytes());
            segment.extend(mark.sequence.to_be_bytes());
            segment.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
            16
        }
        Transport::Echo => {
            segment.extend([if framing.v6 { 128 } else { 8 }, 0, 0, 0]);
            segment.extend(source_port.to_be_bytes());
            segment.extend(low_half(mark.sequence).to_be_bytes());
            2
        }
    };
    segment.extend(&data);
    let sum = transport_checksum(framing, addresses, &segment);
    put(&mut segment, place, sum);
    segment
}

fn protocol_number(framing: &Framing) -> u8 {
    match (framing.transport, framing.v6) {
        (Transport::Udp, _) => 17,
        (Transport::TcpSyn, _) => 6,
        (Transport::Echo, false) => 1,
        (Transport::Echo, true) => 58,
    }
}

/// With the pseudo header of RFC 9293 or RFC 8200, which ICMP for IPv4 does not have.
fn transport_checksum(framing: &Framing, addresses: &[u8], segment: &[u8]) -> u16 {
    let mut covered = Vec::with_capacity(96);
    if framing.v6 || framing.transport != Transport::Echo {
        covered.extend(addresses);
        covered.extend([0, protocol_number(framing)]);
        covered.extend(u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    covered.extend(segment);
    checksum(&covered)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let high = u32::from(pair.first().copied().unwrap_or(0)) << 8;
        high | u32::from(pair.get(1).copied().unwrap_or(0))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn low_half(sequence: u64) -> u16 {
    u16::try_from(sequence & 0xffff).unwrap_or(0)
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use etherparse::SlicedPacket;

    use super::*;

    const WIRE: Wire = Wire {
        from: [2, 0, 0, 0, 0, 1],
        to: [2, 0, 0, 0, 0, 2],
        v4: Ipv4Addr::new(10, 77, 0, 1),
        v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1),
        port: 443,
    };

    #[test]
    fn every_framing_parses_and_carries_its_mark() {
        for (index, framing) in FRAMINGS.iter().enumerate() {
            let source: IpAddr =
                if framing.v6 { "2001:db8::7" } else { "198.51.100.7" }.parse().unwrap();
            let mark =
                Mark { flow: 3, framing: u16::try_from(index).unwrap(), sequence: 0x1_0000_0007 };
            let bytes = frame(&WIRE, framing, source, mark);
            assert_eq!(Mark::find(&bytes), Some(mark), "{}", framing.name);
            let packet = SlicedPacket::from_ethernet(&bytes).expect(framing.name);
            assert_eq!(packet.link_exts.len(), framing.tags.len(), "{}", framing.name);
            assert_eq!(framing.v6, index >= V4_FRAMINGS);
        }
    }

    #[test]
    fn checksums_are_right() {
        let mark = Mark { flow: 1, framing: 0, sequence: 9 };
        let source = "198.51.100.7".parse().unwrap();
        let bytes = frame(&WIRE, &FRAMINGS[0], source, mark);
        let packet = etherparse::PacketHeaders::from_ethernet_slice(&bytes).unwrap();
        let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else { panic!("no IPv4") };
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let udp = packet.transport.unwrap().udp().unwrap();
        let wanted = udp.calc_checksum_ipv4(&ip, packet.payload.slice()).unwrap();
        assert_eq!(udp.checksum, wanted);
    }
}
