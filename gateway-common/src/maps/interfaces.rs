//! Interfaces have a slot each in the counters; what has none counts in slot zero.

use super::REASONS;

/// Slots, with the one for all others.
pub const INTERFACE_SLOTS: u32 = 16;

/// Interface indexes that can have a slot.
pub const INTERFACE_INDEXES: u32 = 65_536;

/// Entries of the counters.
pub const COUNTER_ENTRIES: u32 = INTERFACE_SLOTS * REASONS;

/// Where a reason is counted for an interface.
#[inline(always)]
pub const fn counter_index(slot: u32, reason: u32) -> u32 {
    (slot & (INTERFACE_SLOTS - 1)) * REASONS + (reason & (REASONS - 1))
}

const _: () = assert!(REASONS.is_power_of_two() && INTERFACE_SLOTS.is_power_of_two());
