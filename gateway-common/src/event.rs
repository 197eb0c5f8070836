//! What the kernel reports upward: one sampled drop, 32 bytes in the ring buffer.

use core::mem::{offset_of, size_of};

#[cfg(doc)]
use crate::Reason;
use crate::{packet::Packet, packet::Source};

/// A dropped packet, or in shadow mode one that would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
    /// The source; an IPv4 address stands in the first four bytes.
    pub source: [u8; 16],
    /// Number of a [`Reason`].
    pub reason: u16,
    /// Zero where there is none or it could not be read.
    pub destination_port: u16,
    /// IP protocol of the payload.
    pub protocol: u8,
    /// 4, 6, or 0 where no source could be read.
    pub family: u8,
    /// [`SHADOW`] or zero.
    pub flags: u8,
    /// Always zero.
    pub zero: u8,
}

/// Bit of [`Event::flags`]: counted and passed.
pub const SHADOW: u8 = 1;

const _: () = assert!(size_of::<Event>() == 32);
const _: () = assert!(offset_of!(Event, source) == 8);
const _: () = assert!(offset_of!(Event, reason) == 24);
const _: () = assert!(offset_of!(Event, zero) == 31);

impl Event {
    /// The event of `packet`, dropped for the [`Reason`] of this number.
    #[inline(always)]
    pub fn new(packet: &Packet, reason: u16, shadow: bool, at_ns: u64) -> Self {
        let (family, source) = match packet.source() {
            Source::Unknown => (0, [0; 16]),
            Source::V4([a, b, c, d]) => (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Source::V6(address) => (6, address),
        };
        Self {
            at_ns,
            source,
            reason,
            destination_port: packet.destination_port,
            protocol: packet.protocol,
            family,
            flags: if shadow { SHADOW } else { 0 },
            zero: 0,
        }
    }

    /// The event in `bytes`; `None` if the size is another.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let (at_ns, rest) = bytes.split_first_chunk::<8>()?;
        let (source, rest) = rest.split_first_chunk::<16>()?;
        let (reason, rest) = rest.split_first_chunk::<2>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let &[protocol, family, flags, zero] = rest else { return None };
        Some(Self {
            at_ns: u64::from_ne_bytes(*at_ns),
            source: *source,
            reason: u16::from_ne_bytes(*reason),
            destination_port: u16::from_ne_bytes(*port),
            protocol,
            family,
            flags,
            zero,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn reads_back_what_the_kernel_writes() {
        let packet =
            Packet { protocol: 17, destination_port: 53, ..Packet::of(Source::V4([192, 0, 2, 1])) };
        let event = Event::new(&packet, Reason::BanHost.number(), true, 77);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&event.at_ns.to_ne_bytes());
        bytes[8..24].copy_from_slice(&event.source);
        bytes[24..26].copy_from_slice(&event.reason.to_ne_bytes());
        bytes[26..28].copy_from_slice(&event.destination_port.to_ne_bytes());
        bytes[28..].copy_from_slice(&[event.protocol, event.family, event.flags, event.zero]);
        assert_eq!(Event::from_bytes(&bytes), Some(event));
        assert_eq!((event.family, event.flags), (4, SHADOW));
        assert_eq!(Event::from_bytes(&bytes[..31]), None);
    }
}
