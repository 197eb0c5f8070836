//! What the kernel reports upward: one sampled drop with the first bytes of its frame, as it
//! stands in the ring buffer.

use core::mem::{align_of, offset_of, size_of};

#[cfg(doc)]
use crate::Reason;
use crate::packet::{self, Packet, PacketBytes, Source, headers_end};

/// Bytes of a frame that an event carries at most: Ethernet with two tags, IPv6 and a TCP header
/// full of options fit.
pub const SNIPPET: usize = 128;

/// The snippet in portions, which are what is bounds-checked in the kernel.
type Word = [u8; 4];
const WORDS: usize = SNIPPET / size_of::<Word>();

/// A dropped packet, or in shadow mode one that would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
    /// The source; an IPv4 address stands in the first four bytes.
    pub source: [u8; 16],
    /// The destination, likewise. Zeros where it could not be read.
    pub destination: [u8; 16],
    /// Index of the interface it came in by.
    pub interface: u32,
    /// Bytes of the frame.
    pub frame_length: u32,
    /// Number of a [`Reason`].
    pub reason: u16,
    /// As in [`Packet::source_port`].
    pub source_port: u16,
    /// As in [`Packet::destination_port`]: of ICMP type and code.
    pub destination_port: u16,
    /// Type behind the VLAN tags.
    pub ether_type: u16,
    /// Where the headers end that were understood: behind it is what the packet carries.
    pub header_length: u16,
    /// Bytes of [`Self::snippet`] that are the frame's.
    pub captured: u16,
    /// IP protocol of the payload.
    pub protocol: u8,
    /// 4, 6, or 0 where no source could be read.
    pub family: u8,
    /// IP version of the packet whose destination could be read, else zero. The family may be
    /// another: a mapped source is IPv4.
    pub version: u8,
    /// TCP flags as they stand in the header.
    pub tcp_flags: u8,
    /// [`SHADOW`], [`TRANSPORT`].
    pub flags: u32,
    /// Always zero.
    pub zero: u32,
    /// The frame's first bytes.
    pub snippet: [Word; WORDS],
}

/// Bit of [`Event::flags`]: counted and passed.
pub const SHADOW: u32 = 1;
/// Bit of [`Event::flags`]: the transport header was read, so that its fields mean something.
pub const TRANSPORT: u32 = 2;

/// Bytes of an event.
pub const LENGTH: usize = size_of::<Event>();

const _: () = assert!(LENGTH == 72 + SNIPPET);
const _: () = assert!(align_of::<Event>() == 8);
const _: () = assert!(offset_of!(Event, interface) == 40);
const _: () = assert!(offset_of!(Event, reason) == 48);
const _: () = assert!(offset_of!(Event, protocol) == 60);
const _: () = assert!(offset_of!(Event, flags) == 64);
const _: () = assert!(offset_of!(Event, snippet) == 72);

/// What the packet itself does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstance {
    /// Number of the [`Reason`].
    pub reason: u16,
    /// Only counted.
    pub shadow: bool,
    /// Index of the interface.
    pub interface: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
}

impl Event {
    /// Nothing.
    pub const EMPTY: Self = Self {
        at_ns: 0,
        source: [0; 16],
        destination: [0; 16],
        interface: 0,
        frame_length: 0,
        reason: 0,
        source_port: 0,
        destination_port: 0,
        ether_type: 0,
        header_length: 0,
        captured: 0,
        protocol: 0,
        family: 0,
        version: 0,
        tcp_flags: 0,
        flags: 0,
        zero: 0,
        snippet: [[0; 4]; WORDS],
    };

    /// Writes every field, in place: the ring's memory holds an earlier event, and a stack of 512
    /// bytes has no room for this one.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a frame is far below 64 KiB")]
    pub fn fill<P>(&mut self, frame: &P, packet: &Packet, circumstance: &Circumstance)
    where
        P: PacketBytes + ?Sized,
    {
        self.at_ns = circumstance.at_ns;
        (self.family, self.source) = match packet.source() {
            Source::Unknown => (0, [0; 16]),
            Source::V4([a, b, c, d]) => (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Source::V6(address) => (6, address),
        };
        self.destination = packet::bytes(packet.to);
        self.interface = circumstance.interface;
        self.frame_length = frame.length() as u32;
        self.reason = circumstance.reason;
        self.source_port = packet.source_port;
        self.destination_port = packet.destination_port;
        self.ether_type = packet.ether_type;
        self.header_length = headers_end(frame, packet) as u16;
        self.protocol = packet.protocol;
        self.version = packet.version;
        self.tcp_flags = packet.tcp_flags;
        self.flags = 0;
        if circumstance.shadow {
            self.flags |= SHADOW;
        }
        if packet.transport != 0 {
            self.flags |= TRANSPORT;
        }
        self.zero = 0;
        self.captured = copy(frame, &mut self.snippet);
    }

    /// The event in `bytes`; `None` if the size is another.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (at_ns, rest) = bytes.split_first_chunk::<8>()?;
        let (source, rest) = rest.split_first_chunk::<16>()?;
        let (destination, rest) = rest.split_first_chunk::<16>()?;
        let (interface, rest) = rest.split_first_chunk::<4>()?;
        let (frame_length, rest) = rest.split_first_chunk::<4>()?;
        let (halves, rest) = rest.split_first_chunk::<12>()?;
        let (&[protocol, family, version, tcp_flags], rest) = rest.split_first_chunk::<4>()?;
        let (flags, rest) = rest.split_first_chunk::<4>()?;
        let (zero, rest) = rest.split_first_chunk::<4>()?;
        let &[r0, r1, s0, s1, d0, d1, e0, e1, h0, h1, c0, c1] = halves;
        let (snippet, _) = rest.as_chunks::<4>();
        Some(Self {
            at_ns: u64::from_ne_bytes(*at_ns),
            source: *source,
            destination: *destination,
            interface: u32::from_ne_bytes(*interface),
            frame_length: u32::from_ne_bytes(*frame_length),
            reason: u16::from_ne_bytes([r0, r1]),
            source_port: u16::from_ne_bytes([s0, s1]),
            destination_port: u16::from_ne_bytes([d0, d1]),
            ether_type: u16::from_ne_bytes([e0, e1]),
            header_length: u16::from_ne_bytes([h0, h1]),
            captured: u16::from_ne_bytes([c0, c1]),
            protocol,
            family,
            version,
            tcp_flags,
            flags: u32::from_ne_bytes(*flags),
            zero: u32::from_ne_bytes(*zero),
            snippet: *snippet.first_chunk()?,
        })
    }

    /// The frame's first bytes.
    pub fn bytes(&self) -> &[u8] {
        let bytes = self.snippet.as_flattened();
        bytes.get(..usize::from(self.captured)).unwrap_or(bytes)
    }
}

/// Copies the frame's first bytes and says how many; clears the rest, which was another packet's.
///
/// One check for each portion, all at offsets the verifier knows: `bpf_xdp_load_bytes` is of
/// Linux 5.18.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "four")]
fn copy<P: PacketBytes + ?Sized>(frame: &P, snippet: &mut [Word; WORDS]) -> u16 {
    let mut captured = 0;
    for (index, word) in snippet.iter_mut().enumerate() {
        let offset = index * size_of::<Word>();
        *word = match frame.read(offset) {
            Some(whole) => {
                captured += size_of::<Word>() as u16;
                whole
            }
            None => last(frame, offset, &mut captured),
        };
    }
    captured
}

/// What is left of the frame at `offset`, less than a word of it.
#[inline(always)]
fn last<P: PacketBytes + ?Sized>(frame: &P, offset: usize, captured: &mut u16) -> Word {
    let mut word = [0; 4];
    for (index, byte) in word.iter_mut().enumerate() {
        let Some([read]) = frame.read(offset + index) else { break };
        *byte = read;
        *captured += 1;
    }
    word
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{Reason, packet};

    fn circumstance() -> Circumstance {
        Circumstance {
            reason: Reason::BanHost.number(),
            shadow: true,
            interface: 7,
            at_ns: 0x0102_0304_0506_0708,
        }
    }

    /// Ethernet, IPv4, UDP to port 53, and so many bytes of payload.
    fn udp(payload: u8) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0]);
        frame.extend([0x45, 0, 0, 28 + payload, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([192, 0, 2, 1, 10, 0, 0, 1]);
        frame.extend([0x10, 0, 0, 53, 0, 8 + payload, 0, 0]);
        frame.extend((0..payload).map(|byte| byte | 0x80));
        frame
    }

    fn event(frame: &[u8]) -> Event {
        // As the ring's memory is: full of another event.
        let mut event = Event { snippet: [[0xee; 4]; WORDS], zero: 9, ..Event::EMPTY };
        event.fill(frame, &packet::parse(frame), &circumstance());
        event
    }

    #[test]
    fn carries_the_fields_and_the_first_bytes_and_nothing_older() {
        for payload in 0..120 {
            let frame = udp(payload);
            let event = event(&frame);
            assert_eq!(usize::from(event.captured), frame.len().min(SNIPPET));
            assert_eq!(event.bytes(), &frame[..frame.len().min(SNIPPET)]);
            let rest = &event.snippet.as_flattened()[usize::from(event.captured)..];
            assert!(rest.iter().all(|byte| *byte == 0), "{payload}");
            assert_eq!(event.header_length, 42);
            assert_eq!(event.frame_length as usize, frame.len());
            assert_eq!((event.source_port, event.destination_port), (0x1000, 53));
            assert_eq!((event.family, event.version, event.protocol), (4, 4, 17));
            assert_eq!(event.destination[..5], [10, 0, 0, 1, 0]);
            assert_eq!((event.flags, event.zero), (SHADOW | TRANSPORT, 0));
            assert_eq!((event.interface, event.ether_type), (7, 0x0800));
        }
    }

    #[test]
    fn reads_back_what_the_kernel_writes() {
        let event = event(&udp(9));
        let mut bytes = Vec::new();
        bytes.extend(event.at_ns.to_ne_bytes());
        bytes.extend(event.source);
        bytes.extend(event.destination);
        bytes.extend(event.interface.to_ne_bytes());
        bytes.extend(event.frame_length.to_ne_bytes());
        for half in [
            event.reason,
            event.source_port,
            event.destination_port,
            event.ether_type,
            event.header_length,
            event.captured,
        ] {
            bytes.extend(half.to_ne_bytes());
        }
        bytes.extend([event.protocol, event.family, event.version, event.tcp_flags]);
        bytes.extend(event.flags.to_ne_bytes());
        bytes.extend(event.zero.to_ne_bytes());
        bytes.extend(event.snippet.as_flattened());
        assert_eq!(Event::from_bytes(&bytes), Some(event));
        assert_eq!(Event::from_bytes(&bytes[..LENGTH - 1]), None);
    }

    #[test]
    fn a_count_beyond_the_snippet_reads_as_all_of_it() {
        let event = Event { captured: u16::MAX, ..Event::EMPTY };
        assert_eq!(event.bytes().len(), SNIPPET);
    }
}
