//! Keys of the limits.

use core::mem::size_of;

/// Whom a limit counts: an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(C)]
pub struct LimitKey {
    /// Network order; an IPv4 address stands in the first four bytes.
    pub prefix: [u8; 8],
    /// 4 or 6.
    pub family: u32,
}

const _: () = assert!(size_of::<LimitKey>() == 12);
