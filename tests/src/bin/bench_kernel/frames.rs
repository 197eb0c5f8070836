//! The packets: a TCP segment without data to the served port, the smallest a flow is made of, and
//! what a flood is made of.

use std::net::{IpAddr, Ipv4Addr};

use gateway_tests::{
    lab::{GATEWAY, GATEWAY_V6},
    packet::{Fragment, Framing, Mark, Transport, Wire, frame},
};

/// Shortest frame on an Ethernet, without its checksum.
const SHORTEST: usize = 60;

/// Where the flags of a TCP header are, from the end of the fixed header.
const TCP_FLAGS: usize = 13;
const ACK: u8 = 0x10;

const PLAIN: Framing = Framing {
    name: "plain",
    v6: false,
    tags: &[],
    transport: Transport::TcpSyn,
    fragment: Fragment::No,
    options: false,
};

const WIRE: Wire = Wire {
    from: [2, 0, 0, 0, 0, 2],
    to: [2, 0, 0, 0, 0, 1],
    v4: GATEWAY,
    v6: GATEWAY_V6,
    port: 443,
};

/// A segment of an open connection from `source`. Its checksum is not the sender's: no XDP program
/// here looks at it, and no stack ever sees this frame.
pub(crate) fn segment(source: IpAddr) -> Vec<u8> {
    let mut bytes = bare(&WIRE, Transport::TcpSyn, source);
    let header = if source.is_ipv6() { 54 } else { 34 };
    if let Some(flags) = bytes.get_mut(header + TCP_FLAGS) {
        *flags = ACK;
    }
    bytes
}

/// The same, asking for a connection.
pub(crate) fn syn(source: IpAddr) -> Vec<u8> {
    bare(&WIRE, Transport::TcpSyn, source)
}

/// A datagram to a port that no service is at: what `source` was asked for, or nothing lawful.
pub(crate) fn answer(source: IpAddr) -> Vec<u8> {
    bare(&WIRE, Transport::Udp, source)
}

/// A frame of a flood, whole and with true checksums; the generator changes the source.
pub(crate) fn flood(wire: &Wire, transport: Transport) -> Vec<u8> {
    bare(wire, transport, Ipv4Addr::UNSPECIFIED.into())
}

fn bare(wire: &Wire, transport: Transport, source: IpAddr) -> Vec<u8> {
    let framing = Framing { v6: source.is_ipv6(), transport, ..PLAIN };
    let mut bytes = frame(wire, &framing, source, Mark { flow: 0, framing: 0, sequence: 0 });
    bytes.resize(bytes.len().max(SHORTEST), 0);
    bytes
}
