//! Keys of the limits.

use core::mem::size_of;

/// Whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(C)]
pub struct LimitKey {
    /// Network order, as many bits as `limit` goes by, zeroes behind. Of a link-local address the
    /// lower half.
    pub prefix: [u8; 8],
    /// One of [`family`].
    pub family: u16,
    /// Number of the [`crate::Reason`] that refuses by this limit.
    pub limit: u16,
}

/// Kinds of addresses in a [`LimitKey`].
pub mod family {
    /// An IPv4 address or its /24.
    pub const V4: u16 = 4;
    /// An IPv6 /64 or its /48.
    pub const V6: u16 = 6;
    /// A whole address in `fe80::/10`.
    pub const LINK_LOCAL: u16 = 10;
}

const _: () = assert!(size_of::<LimitKey>() == 12);
