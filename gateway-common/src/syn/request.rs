//! A SYN that can be answered: plain enough to be read in one pass, with right checksums.

use core::hint::black_box;

use super::checksum;
use crate::{
    Reason,
    packet::{PacketBytes, protocol::TCP},
};

/// IP version of a SYN and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Words in network order.
pub type Words<const N: usize> = [[u8; 4]; N];

/// A SYN. Plain bytes, for it lies in a map: the kernel's stack has no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Syn {
    /// Where the IP header begins.
    pub network: usize,
    /// Bytes of the IP header: 20 or 40.
    ip_length: usize,
    /// Bytes of the TCP header, options among them: 20 to 60.
    tcp_length: usize,
    /// Both Ethernet addresses, as they stand in the frame.
    pub link: [u8; 12],
    /// The IP header.
    pub ip: Words<10>,
    /// Of an IPv4 address the first word, zeros behind it.
    pub source: Words<4>,
    /// The same.
    pub destination: Words<4>,
    /// The TCP header, zeros behind its end; one word more than the longest, for [`Self::byte`].
    pub tcp: Words<16>,
}

impl Syn {
    /// One byte of the TCP header.
    #[inline(always)]
    pub fn byte(&self, at: usize) -> Option<u8> {
        if at < self.tcp_length() { Some(self.byte_within(at)) } else { None }
    }

    /// The same, of a place that is known to be in the header: without a case that has no value,
    /// for which the compiler would read stack that nobody wrote. Verifiers before Linux 6.3 refuse
    /// that.
    #[inline(always)]
    pub fn byte_within(&self, at: usize) -> u8 {
        // The verifier wants a bound in the very register that becomes an address, where the
        // compiler would compare another: of a value it cannot see through it must cut the bits.
        self.tcp.as_flattened().get(black_box(at) & 63).copied().unwrap_or(0)
    }

    /// Bytes of the TCP header.
    #[inline(always)]
    pub const fn tcp_length(&self) -> usize {
        self.tcp_length
    }

    /// Source and destination port, each in network order.
    #[inline(always)]
    pub const fn ports(&self) -> ([u8; 2], [u8; 2]) {
        let [[s1, s0, d1, d0], ..] = self.tcp;
        ([s1, s0], [d1, d0])
    }

    /// The client's initial sequence number.
    #[inline(always)]
    pub const fn sequence(&self) -> u32 {
        let [_, sequence, ..] = self.tcp;
        u32::from_be_bytes(sequence)
    }

    /// Its IP version.
    #[inline(always)]
    pub const fn family(&self) -> Family {
        if self.ip_length == IPV6 { Family::V6 } else { Family::V4 }
    }

    /// Bytes of the IP header, before the SYN and before its answer.
    #[inline(always)]
    pub const fn ip_length(&self) -> usize {
        match self.family() {
            Family::V4 => IPV4,
            Family::V6 => IPV6,
        }
    }

    /// The destination as the map of own addresses has it.
    #[inline(always)]
    pub const fn own_key(&self) -> [u8; 16] {
        match self.family() {
            Family::V4 => {
                let [address, ..] = self.destination;
                mapped(address)
            }
            Family::V6 => match self.destination.as_flattened().first_chunk() {
                Some(address) => *address,
                None => [0; 16],
            },
        }
    }
}

/// An IPv4 address where IPv6 ones are expected (RFC 4291 section 2.5.5.2).
pub const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// "More fragments", and the bits of the offset.
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// Bytes of an IPv4 header without options.
const IPV4: usize = 20;
/// Bytes of an IPv6 header.
const IPV6: usize = 40;

/// Reads the SYN whose IP and TCP headers begin there into `syn`; else why it is not answered. Its
/// addresses are known in any case but that of [`Reason::SynStack`].
#[inline(always)]
pub fn read<P: PacketBytes + ?Sized>(
    frame: &P,
    (network, transport): (usize, usize),
    syn: &mut Syn,
) -> Result<(), Reason> {
    syn.link = frame.read(0).ok_or(Reason::SynStack)?;
    let [to, _, _, _, _, _, from, ..] = syn.link;
    // A group address: the stack answers no such frame, and an answer would go to many.
    if (to | from) & 1 != 0 {
        return Err(Reason::SynStack);
    }
    let [first, _] = frame.read(network).ok_or(Reason::SynStack)?;
    let length =
        if first >> 4 == 4 { ipv4(frame, network, syn)? } else { ipv6(frame, network, syn)? };
    syn.network = network;
    if transport != network + syn.ip_length() || !is_host(syn) {
        return Err(Reason::SynStack);
    }
    let sum = tcp(frame, transport, syn).ok_or(Reason::SynStack)?;
    if length != syn.tcp_length() {
        return Err(Reason::SynData);
    }
    if checksum::fold(sum + checksum::pseudo(&syn.source, &syn.destination, length)) != 0xffff {
        return Err(Reason::SynChecksum);
    }
    Ok(())
}

/// Reads the header; the bytes behind it. Options and fragments are the stack's to read.
#[inline(always)]
fn ipv4<P: PacketBytes + ?Sized>(
    frame: &P,
    network: usize,
    syn: &mut Syn,
) -> Result<usize, Reason> {
    let sum = fill(frame, network, IPV4, &mut syn.ip).ok_or(Reason::SynStack)?;
    let [[first, _, l1, l0], [_, _, f1, f0], [_, protocol, _, _], source, destination, ..] = syn.ip;
    let is_whole = u16::from_be_bytes([f1, f0]) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) == 0;
    if first != 0x45 || !is_whole || protocol != TCP {
        return Err(Reason::SynStack);
    }
    syn.ip_length = IPV4;
    syn.source = [source, [0; 4], [0; 4], [0; 4]];
    syn.destination = [destination, [0; 4], [0; 4], [0; 4]];
    if checksum::fold(sum) != 0xffff {
        return Err(Reason::SynChecksum);
    }
    Ok(usize::from(u16::from_be_bytes([l1, l0])).saturating_sub(IPV4))
}

#[inline(always)]
fn ipv6<P: PacketBytes + ?Sized>(
    frame: &P,
    network: usize,
    syn: &mut Syn,
) -> Result<usize, Reason> {
    fill(frame, network, IPV6, &mut syn.ip).ok_or(Reason::SynStack)?;
    let [[first, ..], [l1, l0, next, _], s3, s2, s1, s0, d3, d2, d1, d0] = syn.ip;
    if first >> 4 != 6 || next != TCP {
        return Err(Reason::SynStack);
    }
    syn.ip_length = IPV6;
    syn.source = [s3, s2, s1, s0];
    syn.destination = [d3, d2, d1, d0];
    Ok(usize::from(u16::from_be_bytes([l1, l0])))
}

/// Reads the header, whose length the parser found to fit; its sum.
#[inline(always)]
fn tcp<P: PacketBytes + ?Sized>(frame: &P, transport: usize, syn: &mut Syn) -> Option<u64> {
    // Two bytes: of a single one the verifier learns no bound (`find_good_pkt_pointers`).
    let [offset, _] = frame.read(transport + 12)?;
    let length = usize::from(offset >> 4) * 4;
    syn.tcp_length = length;
    fill(frame, transport, length, &mut syn.tcp)
}

/// Reads so many bytes, zeros behind them; their sum. In one pass: else the compiler would keep all
/// words at hand for the second, on a stack that has no room.
#[inline(always)]
fn fill<P: PacketBytes + ?Sized, const N: usize>(
    frame: &P,
    start: usize,
    length: usize,
    words: &mut Words<N>,
) -> Option<u64> {
    let mut sum = 0;
    for (number, word) in words.iter_mut().enumerate() {
        let at = number * 4;
        *word = if at < length { frame.read(start + at)? } else { [0; 4] };
        sum = checksum::add(sum, &[*word]);
    }
    Some(sum)
}

/// A source that one host can have. The stack calls the others martians.
#[inline(always)]
fn is_host(syn: &Syn) -> bool {
    let [first @ [top, ..], second, third, fourth] = syn.source;
    let one = match syn.family() {
        Family::V4 => top != 0 && top != 127 && top < 224,
        Family::V6 => {
            let is_low = u32::from_ne_bytes(first) | u32::from_ne_bytes(second) == 0;
            let third = u32::from_be_bytes(third);
            let is_own = third == 0 && u32::from_be_bytes(fourth) <= 1;
            // IPv4 in disguise (RFC 4942 section 2.2).
            let is_mapped = third == 0xffff;
            top != 0xff && !(is_low && (is_own || is_mapped))
        }
    };
    one && !is_same(&syn.source, &syn.destination)
}

#[inline(always)]
fn is_same(one: &Words<4>, other: &Words<4>) -> bool {
    let differing = |(a, b): (&[u8; 4], &[u8; 4])| u32::from_ne_bytes(*a) ^ u32::from_ne_bytes(*b);
    one.iter().zip(other).map(differing).fold(0, |all, bits| all | bits) == 0
}
