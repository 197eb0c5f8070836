//! The rules: allow → ban → rows → policy → limits → SYN cookies → pass. `docs/packet-policy.md` is
//! the norm.
//!
//! Pure: the packet, the settings and the time come in, the tables are behind a trait; the kernel
//! program and the tests run this same source. No early drop: every way out is a [`Verdict`].

mod allow;
mod bans;
mod bitmap;
mod flows;
mod limits;
mod policy;
mod rows;

pub use self::{
    allow::AllowTables,
    bans::{BanEntry, BanTables},
    bitmap::{Bitmap, BitmapTables},
    flows::{FlowTables, depart},
    limits::LimitTables,
    policy::PolicyTables,
};
use crate::{
    Reason,
    maps::{Policy, Settings, flag},
    packet::{self, Findings, Packet, PacketBytes},
    syn::{self, SynTables},
};

/// What the rules run by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The live switches.
    pub settings: &'a Settings,
    /// The slot in force.
    pub policy: &'a Policy,
    /// Its number.
    pub slot: u32,
}

impl Rules<'_> {
    /// True if what this reason drops is only counted: as the operator ordered, else as the policy
    /// says.
    #[inline(always)]
    pub const fn shadows(&self, reason: Reason) -> bool {
        (self.shadow() >> (reason.number() & 63)) & 1 == 1
    }

    /// All reasons of which that is true.
    #[inline(always)]
    pub(crate) const fn shadow(&self) -> u64 {
        let Settings { shadow, enforce, .. } = self.settings;
        (self.policy.shadow & !*enforce) | *shadow
    }
}

/// All the rules look up.
pub trait Tables:
    AllowTables + BanTables + LimitTables + PolicyTables + FlowTables + SynTables
{
}

impl<T> Tables for T where
    T: AllowTables + BanTables + LimitTables + PolicyTables + FlowTables + SynTables
{
}

/// What happens to the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On to the stack.
    Pass,
    /// Gone.
    Drop,
    /// Turned round, as the answer to what it was.
    Transmit,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What happens.
    pub action: Action,
    /// Number of the [`Reason`]; counted.
    pub number: u16,
    /// Shadow mode made a pass of a drop.
    pub shadow: bool,
}

impl Verdict {
    /// Why.
    pub fn reason(&self) -> Reason {
        Reason::from_number(self.number).unwrap_or(Reason::Passed)
    }

    #[inline(always)]
    const fn pass(number: u16) -> Self {
        Self { action: Action::Pass, number, shadow: false }
    }

    #[inline(always)]
    const fn drop(reason: Reason) -> Self {
        Self { action: Action::Drop, number: reason.number(), shadow: false }
    }
}

/// Where a packet is taken apart and what is noted about it on the way. All zeroes is empty.
#[derive(Debug)]
#[repr(C)]
pub struct Desk {
    /// What was read.
    pub packet: Packet,
    notes: Notes,
}

impl Desk {
    /// Nothing is known yet.
    #[inline(always)]
    pub const fn empty() -> Self {
        Self { packet: Packet::unknown(), notes: Notes::NONE }
    }
}

/// Reads a frame onto a desk, whatever lies there, and decides. `now` is the tick clock.
#[inline(always)]
pub fn judge<P, T>(frame: &P, desk: &mut Desk, rules: &Rules<'_>, tables: &T, now: u64) -> Verdict
where
    P: PacketBytes + ?Sized,
    T: Tables,
{
    if rules.settings.has(flag::PANIC) {
        return Verdict::pass(Reason::PanicPass.number());
    }
    packet::read_into(frame, &mut desk.packet);
    desk.notes = Notes::NONE;
    settle(&desk.packet, &mut desk.notes, rules, tables, now)
}

/// The rules, in order, for a packet that was read.
pub fn decide<T: Tables>(packet: &Packet, rules: &Rules<'_>, tables: &T, now: u64) -> Verdict {
    settle(packet, &mut Notes::NONE.clone(), rules, tables, now)
}

/// Numbers rather than reasons, and in memory: the verifier would follow what is left to do once
/// for each reason there can be, see [`PacketBytes::settle`].
#[derive(Debug, Clone)]
#[repr(C)]
struct Notes {
    /// The reason to pass.
    passed: u16,
    /// The first drop that shadow mode made a pass of; zero if there is none. The rules behind it
    /// are asked all the same: a rule in shadow must not shield from those that are not.
    shadowed: u16,
}

impl Notes {
    const NONE: Self = Self { passed: Reason::Passed.number(), shadowed: 0 };

    /// `Err` if the reason drops; in shadow it is remembered.
    #[inline(always)]
    fn refuse(&mut self, reason: Reason, rules: &Rules<'_>) -> Result<(), Reason> {
        if !rules.shadows(reason) {
            return Err(reason);
        }
        self.remember(reason);
        Ok(())
    }

    #[inline(always)]
    const fn remember(&mut self, reason: Reason) {
        if self.shadowed == 0 {
            self.shadowed = reason.number();
        }
    }

    /// The first reason to pass that is more than that is kept.
    #[inline(always)]
    fn pass(&mut self, reason: Reason) {
        if self.passed == Reason::Passed.number() {
            self.passed = reason.number();
        }
    }

    /// Takes over what a rule said.
    #[inline(always)]
    fn take(&mut self, said: Result<Reason, Reason>, rules: &Rules<'_>) -> Result<(), Reason> {
        match said {
            Ok(reason) => {
                self.pass(reason);
                Ok(())
            }
            Err(reason) => self.refuse(reason, rules),
        }
    }
}

#[inline(always)]
fn settle<T: Tables>(
    packet: &Packet,
    notes: &mut Notes,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Verdict {
    if let Err(reason) = ask(packet, notes, rules, tables, now) {
        return Verdict::drop(reason);
    }
    tables.settle();
    if let Some(verdict) = syn::decide(packet, notes.passed, rules, tables, now) {
        return verdict;
    }
    if notes.shadowed != 0 {
        return Verdict { shadow: true, ..Verdict::pass(notes.shadowed) };
    }
    Verdict::pass(notes.passed)
}

/// `Err` to drop.
#[inline(always)]
fn ask<T: Tables>(
    packet: &Packet,
    notes: &mut Notes,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<(), Reason> {
    let source = packet.source();
    if allow::is_allowed(source, rules, tables) {
        // Also where its limit is in shadow mode: no later step applies to it.
        notes.pass(Reason::Allowed);
        return notes.take(allow::within_allow_limit(rules, tables, now), rules);
    }
    if let Some(reason) = bans::ban_on(source, rules, tables, now) {
        notes.refuse(reason, rules)?;
    }
    let findings = rows::of(packet, rules);
    rows::judge(findings, rules, notes)?;
    if !findings.meets(Findings::BLIND) {
        let said = policy::judge(packet, rules, notes, tables, now);
        notes.take(said, rules)?;
    }
    tables.settle();
    let said = limits::within_limits(packet, Reason::Passed, rules, tables, now);
    notes.take(said, rules)
}

#[cfg(test)]
mod tests;
