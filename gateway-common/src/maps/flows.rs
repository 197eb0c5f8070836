//! Keys of the cache of flows that this host asked for.

use core::mem::size_of;

/// A flow, as seen from here. Addresses are words as they stand in memory; one of IPv4 is the
/// first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// The peer.
    pub remote: [u32; 4],
    /// This host.
    pub local: [u32; 4],
    /// Zero for ICMP.
    pub remote_port: u16,
    /// For ICMP the identifier of the echo.
    pub local_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// 4 or 6.
    pub version: u8,
    /// Always zero.
    pub zero: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 40);
