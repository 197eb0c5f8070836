//! SYN cookies: when a SYN is answered before the stack sees it, and what the answer looks like.
//!
//! Reading order: [`flood`] (is there one?) → [`request`] (the SYN, checked) → [`options`] (what
//! the client offers) → [`reply`] (the SYN-ACK). The cookie itself is the kernel's, made for the
//! listening socket, which then takes the client's ACK for its own.

pub mod checksum;
pub mod flood;
pub mod options;
pub mod reply;
pub mod request;

pub use self::{
    flood::{SynTables, is_cap_free, is_flood},
    options::{Options, Stamp},
    reply::SynAck,
    request::{Family, Syn},
};
use crate::{
    Reason,
    packet::{
        Packet,
        tcp::{ACK, FIN, RST, SYN},
    },
    verdict::{Action, Rules, Verdict},
};

/// A SYN and its answer. They lie in a map: the kernel's stack has no room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Exchange {
    /// What came.
    pub syn: Syn,
    /// What the client offers.
    pub options: Options,
    /// What goes back.
    pub answer: SynAck,
}

/// True if the packet opens a connection, as the stack reads it. Flags are zero but in TCP.
#[inline(always)]
pub const fn is_syn(packet: &Packet) -> bool {
    packet.tcp_flags & (FIN | SYN | RST | ACK) == SYN
}

/// What becomes of a packet that every rule lets pass, by reason number `passed`: a SYN in a flood
/// of them is to be answered in place. Allowed sources neither count nor are answered for.
#[inline(always)]
pub fn decide<T: SynTables>(
    packet: &Packet,
    passed: u16,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Option<Verdict> {
    let is_exempt = passed == Reason::Allowed.number();
    if !is_syn(packet) || is_exempt || !is_flood(rules, tables, now) {
        return None;
    }
    if rules.shadows(Reason::SynCookie) {
        let number = Reason::SynCookie.number();
        return Some(Verdict { action: Action::Pass, number, shadow: true });
    }
    Some(answered())
}

/// The verdict on a SYN whose answer stands in its place.
pub const fn answered() -> Verdict {
    Verdict { action: Action::Transmit, number: Reason::SynCookie.number(), shadow: false }
}

/// The verdict on a SYN that was not answered after all.
#[inline(always)]
pub const fn unanswered(reason: Reason, rules: &Rules<'_>) -> Verdict {
    let drops = matches!(reason, Reason::SynChecksum | Reason::SynData | Reason::SynCap);
    let shadow = drops && rules.shadows(reason);
    let action = if drops && !shadow { Action::Drop } else { Action::Pass };
    Verdict { action, number: reason.number(), shadow }
}

#[cfg(test)]
mod tests;
