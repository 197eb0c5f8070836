//! What a SYN is while SYNs are answered with cookies: section 5 of the policy, on etherparse and
//! its sums.

use std::net::IpAddr;

use etherparse::{
    Ethernet2HeaderSlice, Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, checksum::Sum16BitWords,
};

use super::{
    addresses::is_mapped,
    reading::{Packet, TCP, Transport, flag},
};

/// A SYN, by the first that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// To or from a group, or with more in its IP header than has to be there.
    Strange,
    /// From no host.
    Forged,
    /// A checksum is wrong.
    Damaged,
    /// With data.
    Loaded,
    Sound,
}

/// `None` if it opens no connection. `bytes` begin with the IP header.
pub(super) fn form(
    ethernet: &Ethernet2HeaderSlice<'_>,
    bytes: &[u8],
    packet: &Packet,
) -> Option<Form> {
    let Transport::Tcp { flags, .. } = packet.transport else { return None };
    if flags & (flag::FIN | flag::SYN | flag::RST | flag::ACK) != flag::SYN {
        return None;
    }
    let is_group = [ethernet.source(), ethernet.destination()].iter().any(|to| to[0] & 1 == 1);
    let Some((is_damaged, segment)) = plain(bytes).filter(|_| !is_group) else {
        return Some(Form::Strange);
    };
    let header = TcpHeaderSlice::from_slice(segment).ok()?;
    Some(match () {
        () if is_damaged => Form::Damaged,
        () if !is_host(packet) => Form::Forged,
        () if header.slice().len() < segment.len() => Form::Loaded,
        () if !is_whole(packet, segment) => Form::Damaged,
        () => Form::Sound,
    })
}

/// The segment in a packet without options, fragments or extension headers, and whether the
/// header's own checksum is wrong.
fn plain(bytes: &[u8]) -> Option<(bool, &[u8])> {
    if let Ok(header) = Ipv4HeaderSlice::from_slice(bytes) {
        let is_plain = header.options().is_empty() && !header.is_fragmenting_payload();
        let segment = bytes.get(20..usize::from(header.total_len()))?;
        let sum = Sum16BitWords::new().add_slice(header.slice()).ones_complement();
        return is_plain.then_some((sum != 0, segment));
    }
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let segment = bytes.get(40..)?.get(..usize::from(header.payload_length()))?;
    (header.next_header().0 == TCP).then_some((false, segment))
}

/// RFC 1122 section 3.2.1.3, RFC 4291: who may ask for an answer.
fn is_host(packet: &Packet) -> bool {
    let is_one = match packet.source {
        IpAddr::V4(source) => {
            let [top, ..] = source.octets();
            top != 0 && !source.is_loopback() && top < 224
        }
        IpAddr::V6(source) => {
            !(source.is_unspecified()
                || source.is_loopback()
                || source.is_multicast()
                || is_mapped(packet.source))
        }
    };
    is_one && packet.source != packet.destination
}

/// RFC 9293 section 3.1: the sum over the segment and the pseudo header.
fn is_whole(packet: &Packet, segment: &[u8]) -> bool {
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut sum = Sum16BitWords::new().add_slice(segment).add_2bytes(length).add_2bytes([0, TCP]);
    let sum = match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            sum = sum.add_4bytes(from.octets());
            sum.add_4bytes(to.octets())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            sum = sum.add_16bytes(from.octets());
            sum.add_16bytes(to.octets())
        }
        _ => return false,
    };
    sum.ones_complement() == 0
}
