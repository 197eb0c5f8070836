//! The rules: allow → ban → findings of the parser → limits → pass.
//!
//! Pure: the packet, the settings and the time come in, the tables are behind a trait; the kernel
//! program and the tests run this same source. No early drop: every way out is a [`Verdict`].

mod allow;
mod bans;
mod bitmap;
mod limits;

pub use self::{
    allow::AllowTables,
    bans::{BanEntry, BanTables},
    bitmap::{Bitmap, BitmapTables},
    limits::LimitTables,
};
use crate::{
    Reason,
    maps::{Policy, Settings, flag},
    packet::{self, Packet, PacketBytes},
};

/// What the rules run by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The live switches.
    pub settings: &'a Settings,
    /// The slot in force.
    pub policy: &'a Policy,
}

impl Rules<'_> {
    /// True if what this reason drops is only counted: as the operator ordered, else as the policy
    /// says.
    #[inline(always)]
    pub const fn shadows(&self, reason: Reason) -> bool {
        let Settings { shadow, enforce, .. } = self.settings;
        let bits = (self.policy.shadow & !*enforce) | *shadow;
        (bits >> (reason.number() & 63)) & 1 == 1
    }
}

/// All the rules look up.
pub trait Tables: AllowTables + BanTables + LimitTables {}

impl<T: AllowTables + BanTables + LimitTables> Tables for T {}

/// What happens to the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On to the stack.
    Pass,
    /// Gone.
    Drop,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What happens.
    pub action: Action,
    /// Why; counted.
    pub reason: Reason,
    /// Shadow mode made a pass of a drop.
    pub shadow: bool,
}

/// Reads a frame and decides. `now` is the tick clock.
#[inline(always)]
pub fn judge<P, T>(frame: &P, rules: &Rules<'_>, tables: &T, now: u64) -> (Packet, Verdict)
where
    P: PacketBytes + ?Sized,
    T: Tables,
{
    if rules.settings.has(flag::PANIC) {
        let packet = Packet::without_source(Reason::PanicPass);
        return (packet, pass(Reason::PanicPass));
    }
    let packet = packet::parse(frame);
    (packet, decide(&packet, rules, tables, now))
}

/// The rules, in order, for a packet that was read.
#[inline(always)]
pub fn decide<T: Tables>(packet: &Packet, rules: &Rules<'_>, tables: &T, now: u64) -> Verdict {
    match reason_of(packet, rules, tables, now) {
        Ok(reason) => pass(reason),
        Err(reason) => drop_unless_shadow(reason, rules),
    }
}

const fn pass(reason: Reason) -> Verdict {
    Verdict { action: Action::Pass, reason, shadow: false }
}

#[inline(always)]
const fn drop_unless_shadow(reason: Reason, rules: &Rules<'_>) -> Verdict {
    let shadow = rules.shadows(reason);
    Verdict { action: if shadow { Action::Pass } else { Action::Drop }, reason, shadow }
}

/// `Ok` to pass, `Err` to drop.
#[inline(always)]
fn reason_of<T: Tables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if allow::is_allowed(packet.source, rules, tables) {
        return allow::within_allow_limit(rules, tables, now);
    }
    if let Some(reason) = bans::ban_on(packet.source, rules, tables, now) {
        return Err(reason);
    }
    let passed = match packet.finding {
        Some(finding) if rules.policy.drops(finding) => return Err(finding),
        Some(finding) => finding,
        None => Reason::Passed,
    };
    limits::within_limits(packet, passed, rules, tables, now)
}

#[cfg(test)]
mod tests;
