//! What is in a frame: its framing, its source, the rows it meets and what a policy asks about.

use std::net::IpAddr;

use etherparse::{
    ArpHardwareId, ArpPacketSlice, EtherType, Ethernet2HeaderSlice, Icmpv6Slice, IpNumber,
    SingleVlanHeaderSlice, TcpHeaderSlice, UdpHeaderSlice,
};

use super::{
    Numbers,
    addresses::{
        LINK_LOCAL, SOLICITED_NODE, as_listed, is_mapped, is_martian, is_private, is_reserved,
    },
    framing::{Framing, Network},
    ip::{self, Ip},
    syn::{self, Form},
};

const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

const ENCAPSULATED: [u16; 10] =
    [0x8847, 0x8848, 0x8863, 0x8864, 0x88e5, 0x88e7, 0x22f3, 0x894f, 0x9200, 0x9300];

pub(super) const ICMP: u8 = IpNumber::ICMP.0;
pub(super) const TCP: u8 = IpNumber::TCP.0;
pub(super) const UDP: u8 = IpNumber::UDP.0;
pub(super) const ICMPV6: u8 = IpNumber::IPV6_ICMP.0;

/// A frame, read.
#[derive(Debug)]
pub struct Reading {
    pub framing: Framing,
    /// As allow, ban and limits know it.
    pub source: Option<IpAddr>,
    /// All rows that do not depend on a configuration: opt-in ones as if they were asked for.
    pub rows: Numbers,
    /// What a policy judges, of a packet whose ports or protocol could be read.
    pub packet: Option<Packet>,
    /// What it is as a SYN, if it is one.
    pub syn: Option<Form>,
}

/// The fields a policy asks about.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    pub protocol: u8,
    pub transport: Transport,
}

/// A transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        from: u16,
        to: u16,
        flags: u8,
    },
    Udp {
        from: u16,
        to: u16,
    },
    /// ICMP or `ICMPv6`, in either version of IP.
    Icmp {
        kind: u8,
        code: u8,
        /// Of an echo.
        identifier: u16,
    },
    Other,
}

/// TCP flags, from the lowest bit.
pub(super) mod flag {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
    pub(crate) const URG: u8 = 32;
}

/// Reads a frame.
pub fn read(frame: &[u8]) -> Reading {
    let Ok(ethernet) = Ethernet2HeaderSlice::from_slice(frame) else {
        return finding(0, Network::Truncated, 20);
    };
    let mut kind = ethernet.ether_type().0;
    let mut rest = frame.get(14..).unwrap_or_default();
    let mut tags = 0;
    while TAGS.contains(&kind) {
        let Some(tag) = SingleVlanHeaderSlice::from_slice(rest).ok().filter(|_| tags < 2) else {
            return finding(tags, Network::Tags, 21);
        };
        kind = tag.ether_type().0;
        rest = rest.get(4..).unwrap_or_default();
        tags += 1;
    }
    let reading = network(tags, kind, rest);
    let syn = reading.packet.as_ref().and_then(|packet| syn::form(&ethernet, rest, packet));
    Reading { syn, ..reading }
}

/// What stands behind the tags.
fn network(tags: u8, kind: u16, rest: &[u8]) -> Reading {
    match EtherType(kind) {
        EtherType::IPV4 => v4(tags, rest),
        EtherType::IPV6 => v6(tags, rest),
        EtherType::ARP => finding(tags, Network::Arp, if is_sound_arp(rest) { 2 } else { 31 }),
        EtherType(kind) if ENCAPSULATED.contains(&kind) => finding(tags, Network::Encapsulated, 30),
        _ => finding(tags, Network::Unknown, 22),
    }
}

/// A frame of which nothing more than one row can be said.
fn finding(tags: u8, network: Network, row: u8) -> Reading {
    Reading {
        framing: Framing { tags, network },
        source: None,
        rows: Numbers::default().with(row),
        packet: None,
        syn: None,
    }
}

/// RFC 826, for IPv4 over Ethernet.
fn is_sound_arp(bytes: &[u8]) -> bool {
    ArpPacketSlice::from_slice(bytes).is_ok_and(|arp| {
        arp.hw_addr_type() == ArpHardwareId::ETHERNET
            && arp.proto_addr_type() == EtherType::IPV4
            && (arp.hw_addr_size(), arp.proto_addr_size()) == (6, 4)
            && (1..=2).contains(&arp.operation().0)
    })
}

fn v4(tags: u8, bytes: &[u8]) -> Reading {
    let ip = match ip::v4(bytes) {
        Ok(ip) => ip,
        Err(source) => return Reading { source, ..finding(tags, Network::V4Unread, 23) },
    };
    let network = match () {
        () if ip.rows.has(27) => Network::V4Later,
        () if ip.rows.has(39) => Network::V4First,
        () if ip.has_options => Network::V4Options,
        () => Network::V4,
    };
    behind(Framing { tags, network }, &ip)
}

fn v6(tags: u8, bytes: &[u8]) -> Reading {
    let ip = match ip::v6(bytes) {
        Ok(ip) => ip,
        Err(source) => {
            let source = source.map(as_listed);
            return Reading { source, ..finding(tags, Network::V6Unread, 24) };
        }
    };
    let network = match () {
        () if is_mapped(ip.source) => Network::V6Mapped,
        () if ip.rows.has(27) => Network::V6Later,
        () if ip.rows.has(39) => Network::V6First,
        () if ip.has_fragment_header => Network::V6Atomic,
        () if ip.has_extensions => Network::V6Extended,
        () => Network::V6,
    };
    behind(Framing { tags, network }, &ip)
}

/// Rows 25 to 28: nothing is known of the transport, and no exception is granted.
const UNREAD: Numbers = Numbers(0b1111 << 25);

fn behind(framing: Framing, ip: &Ip<'_>) -> Reading {
    let mut rows = ip.rows;
    let mut packet = None;
    if !rows.has_any_of(UNREAD) {
        match transport(ip) {
            Some(transport) => packet = Some(packet_of(ip, transport)),
            None => rows = rows.with(28),
        }
    }
    rows = Numbers(rows.0 | address_rows(ip, packet.as_ref()).0);
    if let Some(packet) = &packet {
        rows = Numbers(rows.0 | transport_rows(ip, packet).0);
    }
    Reading { framing, source: Some(as_listed(ip.source)), rows, packet, syn: None }
}

fn packet_of(ip: &Ip<'_>, transport: Transport) -> Packet {
    let Ip { source, destination, hop_limit, protocol, .. } = *ip;
    Packet { source, destination, hop_limit, protocol, transport }
}

/// `None` is row 28.
fn transport(ip: &Ip<'_>) -> Option<Transport> {
    match ip.protocol {
        TCP => {
            let tcp = TcpHeaderSlice::from_slice(ip.payload).ok()?;
            let flags = tcp.slice().get(13)? & 0x3f;
            Some(Transport::Tcp { from: tcp.source_port(), to: tcp.destination_port(), flags })
        }
        UDP => {
            let udp = UdpHeaderSlice::from_slice(ip.payload).ok()?;
            let length = usize::from(udp.length());
            // The first of several fragments tells the length of all.
            let fits = length <= ip.payload.len() || ip.rows.has(39);
            let header = Transport::Udp { from: udp.source_port(), to: udp.destination_port() };
            (length >= 8 && fits).then_some(header)
        }
        // Both begin with type and code and have eight bytes.
        ICMP | ICMPV6 => {
            let icmp = Icmpv6Slice::from_slice(ip.payload).ok()?;
            let [high, low, ..] = icmp.bytes5to8();
            let identifier = u16::from_be_bytes([high, low]);
            Some(Transport::Icmp { kind: icmp.type_u8(), code: icmp.code_u8(), identifier })
        }
        _ => Some(Transport::Other),
    }
}

/// Rows 32 to 35.
fn address_rows(ip: &Ip<'_>, packet: Option<&Packet>) -> Numbers {
    let mut rows = Numbers::default();
    if is_martian(ip.source) && !packet.is_some_and(may_be_unspecified) {
        rows = rows.with(32);
    }
    if ip.source == ip.destination {
        rows = rows.with(33);
    }
    let from_dhcp_server = packet.is_some_and(|packet| {
        packet.source.is_ipv4() && packet.transport == Transport::Udp { from: 67, to: 68 }
    });
    if is_private(ip.source) && !from_dhcp_server {
        rows = rows.with(34);
    }
    if is_reserved(ip.source) { rows.with(35) } else { rows }
}

/// Who has no address yet asks for one.
fn may_be_unspecified(packet: &Packet) -> bool {
    if !packet.source.is_unspecified() {
        return false;
    }
    match (packet.source, packet.transport) {
        (IpAddr::V4(_), Transport::Udp { from: 68, to: 67 }) => true,
        (IpAddr::V4(_), _) => packet.protocol == IpNumber::IGMP.0,
        (IpAddr::V6(_), Transport::Icmp { kind, .. }) => {
            packet.protocol == ICMPV6 && matches!(kind, 131 | 132 | 133 | 135 | 143)
        }
        (IpAddr::V6(_), _) => false,
    }
}

/// Rows 42 to 45.
fn transport_rows(ip: &Ip<'_>, packet: &Packet) -> Numbers {
    let rows = Numbers::default();
    match packet.transport {
        Transport::Tcp { from, to, flags } => {
            let rows = if is_sane(flags) { rows } else { rows.with(42) };
            if from == 0 || to == 0 { rows.with(43) } else { rows }
        }
        Transport::Udp { from: 0, .. } | Transport::Udp { to: 0, .. } => rows.with(43),
        Transport::Icmp { kind, code, .. } => match (packet.source, packet.protocol) {
            (IpAddr::V4(_), ICMP) if kind == 8 => rows.with(45),
            (IpAddr::V6(_), ICMPV6) if kind == 128 => rows.with(45),
            (IpAddr::V6(_), ICMPV6) if is_invalid_discovery(ip, kind, code) => rows.with(44),
            _ => rows,
        },
        Transport::Udp { .. } | Transport::Other => rows,
    }
}

/// RFC 9293: what a stack may send.
fn is_sane(flags: u8) -> bool {
    use flag::{ACK, FIN, PSH, RST, SYN, URG};
    let has = |flag| flags & flag != 0;
    if has(SYN) && (has(FIN) || has(RST)) {
        return false;
    }
    if has(FIN) && has(RST) {
        return false;
    }
    if has(FIN) || has(PSH) || has(URG) {
        return has(ACK);
    }
    flags != 0
}

/// RFC 4861 sections 6.1, 7.1 and 8.1, RFC 6980.
fn is_invalid_discovery(ip: &Ip<'_>, kind: u8, code: u8) -> bool {
    let shortest = match kind {
        133 => 8,
        134 => 16,
        135 | 136 => 24,
        137 => 40,
        _ => return false,
    };
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return false;
    };
    let wrong_source = match kind {
        134 | 137 => !LINK_LOCAL.contains(&source),
        135 => source.is_unspecified() && !SOLICITED_NODE.contains(&destination),
        136 => source.is_unspecified(),
        _ => false,
    };
    let wrong_form = ip.hop_limit != 255 || code != 0 || ip.has_fragment_header;
    wrong_form || ip.payload.len() < shortest || wrong_source
}
