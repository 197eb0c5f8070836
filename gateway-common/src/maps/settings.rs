//! What the rules run by: live switches, and two slots of operator's policy.

use core::mem::{offset_of, size_of};

use super::cookies::CookiePolicy;
use crate::{
    Reason,
    limit::{self, Limit, RowKeys},
    reason::PACKET_REASONS,
};

/// The live switches, read first by every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Settings {
    /// [`flag`] bits. The fields down to `enforce` are first in every layout: a daemon of another
    /// one asks what the operator ordered.
    pub flags: u32,
    /// [`switch`] bits: one aligned word, so that a change is one write and no packet sees a mix.
    pub switch: u32,
    /// Bit by number of [`Reason`]: in shadow mode by the operator's order.
    pub shadow: u64,
    /// Bit by number of [`Reason`]: not in shadow mode by the operator's order.
    pub enforce: u64,
    /// End of the trial on the tick clock; written before [`switch::TRIAL`] is set.
    pub deadline_ns: u64,
    /// Nanoseconds of one jiffy.
    pub tick_ns: u64,
    /// Keys of the sketch.
    pub rows: [RowKeys; limit::ROWS as usize],
    /// Events a second, per reason and CPU.
    pub events: u32,
    /// Always zero.
    pub zero: u32,
    /// Always zero, which the verifier cannot know: see [`crate::packet::PacketBytes::settle`].
    pub nothing: u64,
}

/// Bits of [`Settings::flags`]; never given another meaning, in any layout.
pub mod flag {
    /// Pass everything.
    pub const PANIC: u32 = 2;
    /// There are allowed IPv6 prefixes wider than a neighbourhood of the bitmap.
    pub const ALLOW6_WIDE: u32 = 8;
}

/// Bits of [`Settings::switch`].
pub mod switch {
    /// The second generation of bulk bans is in force, else the first.
    pub const GENERATION_B: u32 = 1;
    /// The second slot of [`super::Policy`] is in force, else the first.
    pub const POLICY_B: u32 = 2;
    /// The slot in force is on trial: from the deadline on the other one is.
    pub const TRIAL: u32 = 4;
}

impl Settings {
    /// True if all the bits of `flag` are set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }

    /// The slot of [`Policy`] that holds now: a trial that nobody confirmed is over at its
    /// deadline, also if every daemon is dead.
    #[inline(always)]
    pub const fn policy_slot(&self, now: u64) -> u32 {
        let chosen = (self.switch & switch::POLICY_B) >> 1;
        let is_over = self.switch & switch::TRIAL != 0 && now >= self.deadline_ns;
        if is_over { chosen ^ 1 } else { chosen }
    }
}

/// What `[kernel]` says: everything that is confirmed or rolled back as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Policy {
    /// Bit by number of [`Reason`]: set where the configured answer is to drop.
    pub drops: u64,
    /// Bit by number of [`Reason`]: what it would drop is counted and passes.
    pub shadow: u64,
    /// Packets of one host. A limit that is off is all zeroes, here and in the next three.
    pub packets: Limit,
    /// Packets of a neighbourhood.
    pub packets_neighbourhood: Limit,
    /// SYNs of one host.
    pub syns: Limit,
    /// SYNs of a neighbourhood.
    pub syns_neighbourhood: Limit,
    /// Limit of all allowed sources together.
    pub allow: Limit,
    /// New entries of the exact table.
    pub inserts: Limit,
    /// IP protocols that are served besides TCP, UDP and ICMP: a bit each.
    pub protocols: [u64; 4],
    /// How long after this host's last datagram to a peer the peer's answers pass.
    pub flow_ns: u64,
    /// 1 if only what is served passes, else zero.
    pub closed: u64,
    /// When SYNs are answered with cookies.
    pub cookies: CookiePolicy,
}

/// Slots of [`Policy`].
pub const POLICY_SLOTS: u32 = 2;

impl Policy {
    /// True if packets with this finding are dropped.
    #[inline(always)]
    pub const fn drops(&self, reason: Reason) -> bool {
        (self.drops >> (reason.number() & 63)) & 1 == 1
    }

    /// True if only what is served passes.
    #[inline(always)]
    pub const fn is_closed(&self) -> bool {
        self.closed != 0
    }

    /// True if this IP protocol is served.
    #[inline(always)]
    pub const fn serves_protocol(&self, protocol: u8) -> bool {
        let [a, b, c, d] = self.protocols;
        let word = match protocol >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        (word >> (protocol & 63)) & 1 == 1
    }
}

const _: () = assert!(size_of::<Settings>() == 40 + 3 * 32 + 16);
const _: () = assert!(offset_of!(Settings, flags) == 0);
const _: () = assert!(offset_of!(Settings, switch) == 4);
const _: () = assert!(offset_of!(Settings, shadow) == 8);
const _: () = assert!(offset_of!(Settings, enforce) == 16);
const _: () = assert!(size_of::<Policy>() == 16 + 6 * 24 + 48 + size_of::<CookiePolicy>());
const _: () = assert!(PACKET_REASONS == 64);
