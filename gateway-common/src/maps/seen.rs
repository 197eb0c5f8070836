//! What the kernel counts and tells.

use core::mem::size_of;

/// What was counted for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// All packets of this reason.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Those of them that only shadow mode let pass.
    pub shadow_packets: u64,
}

const _: () = assert!(size_of::<Count>() == 24);

/// How many events of a reason a CPU sent in the current second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct EventTokens {
    /// Start of the second, on the tick clock.
    pub since_ns: u64,
    /// Events sent in it.
    pub sent: u32,
    /// Always zero.
    pub zero: u32,
    /// Events lost since load because the ring was full.
    pub lost: u64,
    /// Drops since load that were not sampled, because so many were already in their second.
    pub unsampled: u64,
}

const _: () = assert!(size_of::<EventTokens>() == 32);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Clocks {
    /// `jiffies64`.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
}

const _: () = assert!(size_of::<Clocks>() == 16);
