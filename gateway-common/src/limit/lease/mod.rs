//! Packets that a processor pays for in advance: who sends many costs three locked instructions
//! once in [`LEASED`] packets, not at each.
//!
//! Every packet that passes by a lease was counted at most [`LEASE_NS`] before, so that the bound of
//! [`super`] holds for `t` longer by that time, whatever the number of processors.

use super::Limit;

/// Packets that are counted at once.
pub const LEASED: u64 = 16;

/// How long they are good for. Also how lately a source must have sent on the same processor to get
/// any: who sends little is counted one by one.
pub const LEASE_NS: u64 = 10_000_000;

/// Leases of a processor, as a power of two: 16 KiB.
const LEASES_LOG: u32 = 10;

/// Leases of a processor.
pub const LEASES: u32 = 1 << LEASES_LOG;

/// Part of a burst that the delay of a lease may be worth.
const SHARE: u64 = 64;

/// What is left unused when a lease ends was counted for nothing: at most this part of the rate.
const WASTE: u64 = 8;

/// A lease in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Lease {
    /// Whose it is.
    pub owner: u64,
    /// When it ends, on the tick clock; in the lowest bits the packets that are left.
    pub word: u64,
}

/// A slot that no other processor touches.
pub trait Slot {
    /// What is in it.
    fn read(&self) -> Lease;
    /// Puts it there.
    fn write(&self, lease: Lease);
}

/// Bits of [`Lease::word`] that count packets.
const LEFT: u64 = 0xff;
const _: () = assert!(LEASED <= LEFT);

impl Lease {
    #[inline(always)]
    const fn new(owner: u64, now: u64, left: u64) -> Self {
        Self { owner, word: (now + LEASE_NS + LEFT) & !LEFT | left }
    }

    /// Also after a clock that was set anew, no lease lasts longer than any.
    #[inline(always)]
    const fn is_good(&self, now: u64) -> bool {
        (self.word & !LEFT).wrapping_sub(now).wrapping_sub(1) < LEASE_NS + LEFT
    }

    #[inline(always)]
    const fn left(&self) -> u64 {
        self.word & LEFT
    }
}

/// What a packet still has to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it was counted before.
    Nothing,
    /// So many packets, the slot is its sender's.
    Leased(u64),
    /// Itself alone.
    Alone,
}

/// Takes a packet from the sender's lease, or says what is to be counted, which the slot then
/// already holds. A lease that is good keeps its slot: a flood of sources takes none away.
#[inline(always)]
pub fn spend(slot: &impl Slot, owner: u64, now: u64, lends: impl Fn() -> bool) -> Due {
    let lease = slot.read();
    let (is_own, is_good) = (lease.owner == owner, lease.is_good(now));
    if is_good && lease.left() > 0 {
        if !is_own {
            return Due::Alone;
        }
        slot.write(Lease { word: lease.word - 1, ..lease });
        return Due::Nothing;
    }
    let packets = if is_own && is_good && lends() { LEASED } else { 1 };
    slot.write(Lease::new(owner, now, packets - 1));
    Due::Leased(packets)
}

/// Ends a lease whose sender went over a limit: from here on each packet is judged.
#[inline(always)]
pub fn revoke(slot: &impl Slot) {
    slot.write(Lease::default());
}

/// Name of a sender by `prefix`, and its slot. One to one under keys nobody knows, so that nobody
/// pays for another or chooses whose slot he takes.
#[inline(always)]
pub const fn lease_of(keys: [u64; 2], prefix: u64, family: u16) -> (u64, u32) {
    let mixed = super::mixed(keys, prefix);
    (mixed ^ family as u64, (mixed >> (64 - LEASES_LOG)) as u32)
}

impl Limit {
    /// True if it is wide enough for leases: where it is not, each packet is counted by itself.
    #[inline(always)]
    pub const fn lends(&self) -> bool {
        self.is_off()
            || (self.burst_ns >= SHARE * LEASE_NS
                && self.interval_ns <= LEASE_NS / (LEASED * WASTE))
    }
}

#[cfg(test)]
mod tests;
