//! Ethernet II: destination, source, type. A length field (802.3) reads as an unknown type.

use super::PacketBytes;

/// Bytes of the header.
pub const LENGTH: usize = 14;
/// Type of IPv4.
pub const IPV4: u16 = 0x0800;
/// Type of ARP.
pub const ARP: u16 = 0x0806;
/// Type of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The type field; `None` if the frame ends inside the header.
#[inline(always)]
pub fn ether_type<P: PacketBytes + ?Sized>(frame: &P) -> Option<u16> {
    frame.read(12).map(u16::from_be_bytes)
}
