//! ARP (RFC 826): IPv4 over Ethernet, request or reply. Nothing else is asked on a link we know.

use super::PacketBytes;
use crate::Reason;

/// Bytes of it for IPv4 over Ethernet.
const LENGTH: usize = 28;

/// What is to be said of the ARP at `offset`.
#[inline(always)]
pub fn finding<P: PacketBytes + ?Sized>(frame: &P, offset: usize) -> Reason {
    match frame.read::<LENGTH>(offset) {
        Some([0, 1, 8, 0, 6, 4, 0, 1 | 2, ..]) => Reason::Arp,
        _ => Reason::ArpMalformed,
    }
}
