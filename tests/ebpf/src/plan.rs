//! Which sources packets come from, as one pure function: the bench fills lists with it, the
//! kernel programs rewrite packets with it. Words only, in the machine's order.

/// Odd, so multiplying by it visits every number of a power of two once, in no order a cache
/// could guess.
const SCATTER: u32 = 0x9e37_79b1;

/// A family of addresses: `count` numbers scattered over the bits of `mask`. The number is an IPv4
/// address, or bits 16 to 47 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Pool {
    /// Bits every member has.
    pub(crate) base: u32,
    /// Bits that tell members apart.
    pub(crate) mask: u32,
    /// Zero bits below those.
    pub(crate) shift: u32,
    /// How many of them are in use.
    pub(crate) count: u32,
    /// Turned over at last: leads from a member to its neighbour.
    pub(crate) flip: u32,
    /// Always zero.
    pub(crate) zero: u32,
}

/// What a generator sends, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Pace {
    /// First and last moment, `CLOCK_MONOTONIC`.
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) per_second: u64,
}

/// What a generator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Progress {
    pub(crate) sent: u64,
    /// Given up because the generator itself was held up: sent late, they would be a burst.
    pub(crate) missed: u64,
    /// Of the burst that is leaving.
    pub(crate) left: u64,
}

/// Pools that packets come from in turn; a power of two.
pub(crate) const POOLS: u32 = 4;

impl Pool {
    /// Member `index` of `count`.
    pub(crate) const fn member(&self, index: u32) -> u32 {
        self.base | ((index.wrapping_mul(SCATTER) << self.shift) & self.mask)
    }

    /// Of the pools, the one of packet `number`.
    #[expect(clippy::cast_possible_truncation, reason = "below the number of pools")]
    pub(crate) const fn turn(number: u64) -> u32 {
        (number & (POOLS as u64 - 1)) as u32
    }

    /// The source of packet `number`: members at random, each as often as any other.
    pub(crate) const fn source(&self, number: u64) -> u32 {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let index = ((random * self.count as u64) >> 32) as u32;
        self.member(index) ^ self.flip
    }
}
