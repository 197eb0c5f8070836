//! The SYN-ACK: the SYN's frame turned round, VLAN tags and all, with a cookie for a sequence
//! number. It is one frame for one, and at most 20 bytes longer.

use super::{
    checksum,
    options::Stamp,
    request::{Family, Syn, Words},
};
use crate::packet::{protocol::TCP, tcp};

/// A frame that can be written to.
pub trait PacketSpace {
    /// Writes `bytes` at `offset`; false, and nothing written, if the frame ends before.
    fn write<const N: usize>(&mut self, offset: usize, bytes: &[u8; N]) -> bool;
}

/// Hops of the answer, as the stack sends.
const HOPS: u8 = 64;
const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
/// Don't fragment (RFC 791): the answer fits every link.
const DONT_FRAGMENT: u8 = 0x40;

/// The window of the answer. What the stack will really take is known to it alone, and is more with
/// any buffer but one made smaller by hand; a client sends less before it hears from the stack.
const WINDOW: u16 = 1 << 15;

/// An Ethernet frame without its checksum is no shorter.
const SHORTEST: usize = 60;

/// Bytes of a TCP header with the segment size, and with all options.
const BARE: usize = 24;
const STAMPED: usize = 40;

/// The answer to a SYN: both headers, in words of network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct SynAck {
    ip: Words<10>,
    tcp: Words<10>,
    tcp_length: usize,
}

impl SynAck {
    /// Answers `syn` with `cookie`, taking segments of up to `mss` bytes.
    #[inline(always)]
    pub fn answer(&mut self, syn: &Syn, cookie: u32, mss: u16, stamp: Option<&Stamp>) {
        self.tcp = tcp(syn, cookie, mss, stamp);
        self.tcp_length = if stamp.is_some() { STAMPED } else { BARE };
        // Options that are not sent are zero, and sum to nothing.
        let sum = checksum::pseudo(&syn.source, &syn.destination, self.tcp_length);
        let [high, low] = checksum::complement(checksum::add(sum, &self.tcp)).to_be_bytes();
        let [_, _, _, _, checksum, ..] = &mut self.tcp;
        *checksum = [high, low, 0, 0];
        self.ip = match syn.family() {
            Family::V4 => ipv4(syn, self.tcp_length),
            Family::V6 => ipv6(syn, self.tcp_length),
        };
    }

    /// Bytes of the frame to write it to, if it had `length` bytes: never shorter than Ethernet's
    /// shortest, unless it was.
    #[inline(always)]
    pub fn frame_length(&self, syn: &Syn, length: usize) -> usize {
        let needed = syn.network + syn.ip_length() + self.tcp_length;
        needed.max(length.min(SHORTEST))
    }

    /// Writes the answer over the SYN, in a frame of [`Self::frame_length`]; false if it has no
    /// room. VLAN tags and the type stay as they are.
    #[inline(always)]
    pub fn write<P: PacketSpace + ?Sized>(&self, syn: &Syn, frame: &mut P) -> bool {
        let network = syn.network;
        let transport = network + syn.ip_length();
        let [t5, t4, t3, t2, t1, t0, f5, f4, f3, f2, f1, f0] = syn.link;
        let link = [f5, f4, f3, f2, f1, f0, t5, t4, t3, t2, t1, t0];
        let wrote_ip = match syn.family() {
            Family::V4 => write_first::<20, P>(frame, network, &self.ip),
            Family::V6 => write_first::<40, P>(frame, network, &self.ip),
        };
        let wrote_tcp = if self.tcp_length == STAMPED {
            write_first::<STAMPED, P>(frame, transport, &self.tcp)
        } else {
            write_first::<BARE, P>(frame, transport, &self.tcp)
        };
        wrote_ip && wrote_tcp && frame.write(0, &link)
    }
}

/// Writes the first `N` bytes of a header.
#[inline(always)]
fn write_first<const N: usize, P: PacketSpace + ?Sized>(
    frame: &mut P,
    offset: usize,
    words: &Words<10>,
) -> bool {
    words.as_flattened().first_chunk::<N>().is_some_and(|bytes| frame.write(offset, bytes))
}

/// The header with all options, its checksum zero.
#[inline(always)]
fn tcp(syn: &Syn, cookie: u32, mss: u16, stamp: Option<&Stamp>) -> Words<10> {
    let ([s1, s0], [d1, d0]) = syn.ports();
    let length = if stamp.is_some() { STAMPED } else { BARE };
    // In words of four bytes, in the upper half.
    let [.., offset] = ((length / 4) << 4).to_be_bytes();
    let [window1, window0] = WINDOW.to_be_bytes();
    let [mss1, mss0] = mss.to_be_bytes();
    let [first, value, echo, scale] = stamp.map_or([[0; 4]; 4], options);
    [
        [d1, d0, s1, s0],
        cookie.to_be_bytes(),
        syn.sequence().wrapping_add(1).to_be_bytes(),
        [offset, SYN_ACK, window1, window0],
        [0; 4],
        [2, 4, mss1, mss0],
        first,
        value,
        echo,
        scale,
    ]
}

/// The options behind the segment size, padded by no-operations.
#[inline(always)]
fn options(stamp: &Stamp) -> Words<4> {
    [
        if stamp.sack { [4, 2, 8, 10] } else { [1, 1, 8, 10] },
        stamp.value.to_be_bytes(),
        stamp.echo.to_be_bytes(),
        match stamp.scale {
            Some(scale) => [1, 3, 3, scale],
            None => [1; 4],
        },
    ]
}

/// Identification zero: it means nothing in a packet that is never cut (RFC 6864).
#[inline(always)]
fn ipv4(syn: &Syn, tcp_length: usize) -> Words<10> {
    let ([destination, ..], [source, ..]) = (syn.source, syn.destination);
    let [.., l1, l0] = (20 + tcp_length).to_be_bytes();
    let (first, second) = ([0x45, 0, l1, l0], [0, 0, DONT_FRAGMENT, 0]);
    let sum = checksum::add(0, &[first, second, [HOPS, TCP, 0, 0], source, destination]);
    let [c1, c0] = checksum::complement(sum).to_be_bytes();
    let (third, none) = ([HOPS, TCP, c1, c0], [0; 4]);
    [first, second, third, source, destination, none, none, none, none, none]
}

#[inline(always)]
fn ipv6(syn: &Syn, tcp_length: usize) -> Words<10> {
    let [.., l1, l0] = tcp_length.to_be_bytes();
    let ([d3, d2, d1, d0], [s3, s2, s1, s0]) = (syn.source, syn.destination);
    [[0x60, 0, 0, 0], [l1, l0, TCP, HOPS], s3, s2, s1, s0, d3, d2, d1, d0]
}
