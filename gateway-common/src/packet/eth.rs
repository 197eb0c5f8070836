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

/// Types behind which IP may come that the host unwraps after the filter: a ban would not meet it.
/// MPLS, `PPPoE`, `MACsec`, 802.1ah, TRILL, NSH and the double tags before 802.1ad.
#[inline(always)]
pub const fn is_encapsulation(ether_type: u16) -> bool {
    matches!(
        ether_type,
        0x8847 | 0x8848 | 0x8863 | 0x8864 | 0x88e5 | 0x88e7 | 0x22f3 | 0x894f | 0x9200 | 0x9300
    )
}
