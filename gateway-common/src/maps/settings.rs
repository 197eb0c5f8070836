//! What the rules run by.

use core::mem::{offset_of, size_of};

use crate::{
    Reason,
    limit::{self, Limit, RowKeys},
    reason::PACKET_REASONS,
};

/// What the kernel program runs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Settings {
    /// [`flag`] bits. First in every layout: a daemon of another one asks whether the operator
    /// ordered panic.
    pub flags: u32,
    /// Events a second, per reason and CPU.
    pub events: u32,
    /// Nanoseconds of one jiffy.
    pub tick_ns: u64,
    /// Bit by number of [`Reason`]: set where the configured answer is to drop.
    pub drops: u64,
    /// Limit of one source.
    pub packets: Limit,
    /// Limit of all allowed sources together.
    pub allow: Limit,
    /// New entries of [`EXACT`].
    pub inserts: Limit,
    /// Keys of the sketch.
    pub rows: [RowKeys; limit::ROWS as usize],
}

/// Bits of [`Settings::flags`]; never given another meaning, in any layout.
pub mod flag {
    /// Count what would be dropped and pass it.
    pub const SHADOW: u32 = 1;
    /// Pass everything.
    pub const PANIC: u32 = 2;
    /// There are IPv6 bans wider than a neighbourhood of the bitmap.
    pub const BAN6_WIDE: u32 = 4;
    /// There are allowed IPv6 prefixes wider than a neighbourhood of the bitmap.
    pub const ALLOW6_WIDE: u32 = 8;
}

impl Settings {
    /// True if all the bits of `flag` are set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }

    /// True if packets with this finding are dropped.
    #[inline(always)]
    pub const fn drops(&self, reason: Reason) -> bool {
        (self.drops >> (reason.number() & 63)) & 1 == 1
    }
}

const _: () = assert!(size_of::<Settings>() == 16 + 3 * 24 + 2 * 32 + 8);
const _: () = assert!(offset_of!(Settings, rows) == 96);
const _: () = assert!(offset_of!(Settings, flags) == 0);
const _: () = assert!(PACKET_REASONS == 64);
