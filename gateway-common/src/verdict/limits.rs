//! The limits of a host and of its neighbourhood, on all packets and on SYNs: sketch first, exact
//! entries for those the sketch calls over.

use super::Rules;
use crate::{
    Reason,
    limit::{self, Cell, Due, Limit, Outcome, RowKeys, Slot},
    maps::{LimitKey, family},
    packet::{Packet, Source},
    summary::upper_half,
};

/// What the rules of this file look up.
pub trait LimitTables {
    /// A word of a limit.
    type Cell: Cell;
    /// Where this processor keeps a lease.
    type Slot: Slot;
    /// The slot of that number.
    fn lease(&self, slot: u32) -> Option<Self::Slot>;
    /// A cell of the sketch.
    fn sketch(&self, index: u32) -> Option<Self::Cell>;
    /// The exact entry of a source.
    fn exact(&self, key: &LimitKey) -> Option<Self::Cell>;
    /// Gives a source an exact entry, evicting an old one if there is no room.
    fn insert_exact(&self, key: &LimitKey, tat: u64);
    /// The word that bounds such insertions.
    fn insert_cell(&self) -> Option<Self::Cell>;
}

/// `fe80::/10`, the addresses of one link (RFC 4291 section 2.4).
const LINK_LOCAL: u64 = 0xfe80 << 48;
const LINK_LOCAL_MASK: u64 = 0xffc0 << 48;

/// The bits of a /24, in the upper half of a word.
const V4_NEIGHBOURHOOD: u64 = !0 << 40;
/// The bits of a /48, in a /64.
const V6_NEIGHBOURHOOD: u64 = !0 << 16;

/// All limits that concern the packet. The host comes first: what it sends in vain is not on its
/// neighbours' account.
#[inline(always)]
pub(super) fn within_limits<T: LimitTables>(
    packet: &Packet,
    passed: Reason,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let Some(sender) = Sender::of(packet.source()) else { return Ok(passed) };
    let limiter = Limiter { rules, tables, now };
    if packet.asks_for_connection() {
        return limiter.connections(&sender, passed);
    }
    limiter.packets(&sender, passed)
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
struct Sender {
    /// An IPv4 address, in the upper half, or an IPv6 /64.
    host: u64,
    /// Its /24 or /48.
    neighbourhood: u64,
    /// One of [`family`].
    family: u16,
}

impl Sender {
    #[inline(always)]
    const fn of(source: Source) -> Option<Self> {
        match source {
            Source::Unknown => None,
            Source::V4(address) => {
                let host = (u32::from_be_bytes(address) as u64) << 32;
                Some(Self { host, neighbourhood: host & V4_NEIGHBOURHOOD, family: family::V4 })
            }
            Source::V6(address) => Some(Self::of_ipv6(address)),
        }
    }

    /// All on a link share one /64: each is a host there by its whole address, and a neighbourhood
    /// to itself, or one of them could cut the router off by its flood.
    #[inline(always)]
    const fn of_ipv6(address: [u8; 16]) -> Self {
        let host = upper_half(address);
        if host & LINK_LOCAL_MASK != LINK_LOCAL {
            return Self { host, neighbourhood: host & V6_NEIGHBOURHOOD, family: family::V6 };
        }
        // The upper half is the same for all that are well formed.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let host = host ^ LINK_LOCAL ^ u128::from_be_bytes(address) as u64;
        Self { host, neighbourhood: host, family: family::LINK_LOCAL }
    }

    #[inline(always)]
    fn host(&self, rows: &[RowKeys; limit::ROWS as usize]) -> Counted<2> {
        let [first, second, _] = rows;
        let cells = [self.cell(first, self.host, 0), self.cell(second, self.host, 1)];
        Counted { prefix: self.host, family: self.family, reason: Reason::PacketLimit, cells }
    }

    /// By one row: there are fewer of them, and a third cell a packet has its price.
    #[inline(always)]
    fn neighbourhood(&self, rows: &[RowKeys; limit::ROWS as usize]) -> Counted<1> {
        let [_, _, third] = rows;
        let cells = [self.cell(third, self.neighbourhood, 2)];
        let reason = Reason::NeighbourhoodLimit;
        Counted { prefix: self.neighbourhood, family: self.family, reason, cells }
    }

    #[inline(always)]
    const fn cell(&self, keys: &RowKeys, prefix: u64, row: u32) -> u32 {
        limit::sketch_index(self.keys(keys), prefix, row)
    }

    /// Its name on a lease, and where that is.
    #[inline(always)]
    const fn lease(&self, rows: &[RowKeys; limit::ROWS as usize]) -> (u64, u32) {
        let [first, ..] = rows;
        limit::lease_of(self.keys(first), self.host, self.family)
    }

    #[inline(always)]
    const fn keys(&self, keys: &RowKeys) -> [u64; 2] {
        if self.family == family::V4 { keys.v4 } else { keys.v6 }
    }
}

/// Whom a limit counts, by which cells of the sketch, and why it refuses.
#[derive(Debug, Clone, Copy)]
struct Counted<const ROWS: usize> {
    prefix: u64,
    family: u16,
    reason: Reason,
    cells: [u32; ROWS],
}

impl<const ROWS: usize> Counted<ROWS> {
    /// SYNs have rows of their own, with the same places in them.
    #[inline(always)]
    fn syns(self, reason: Reason) -> Self {
        let cells = self.cells.map(|cell| cell + (limit::ROWS << limit::ROW_LOG));
        Self { reason, cells, ..self }
    }

    #[inline(always)]
    const fn key(&self) -> LimitKey {
        let limit = self.reason.number();
        LimitKey { prefix: self.prefix.to_be_bytes(), family: self.family, limit }
    }
}

/// What a packet asks of a limit.
struct Ask<'a, S> {
    /// Packets that are counted: itself, and those to come.
    packets: u64,
    /// The lease they are in.
    slot: Option<&'a S>,
}

impl<S> Ask<'_, S> {
    const ALONE: Self = Self { packets: 1, slot: None };
}

/// What every limit is asked with.
struct Limiter<'a, T> {
    rules: &'a Rules<'a>,
    tables: &'a T,
    now: u64,
}

impl<T: LimitTables> Limiter<'_, T> {
    /// Of whoever sends many, most packets were counted with the first of them.
    #[inline(always)]
    fn packets(&self, sender: &Sender, passed: Reason) -> Result<Reason, Reason> {
        let (policy, rows) = (self.rules.policy, &self.rules.settings.rows);
        let (host, neighbourhood) = (&policy.packets, &policy.packets_neighbourhood);
        let (owner, slot) = sender.lease(rows);
        let slot = self.tables.lease(slot);
        let lends = || host.lends() && neighbourhood.lends();
        let (packets, slot) =
            match slot.as_ref().map(|slot| limit::spend(slot, owner, self.now, lends)) {
                Some(Due::Nothing) => return Ok(passed),
                Some(Due::Leased(packets)) => (packets, slot.as_ref()),
                Some(Due::Alone) | None => (1, None),
            };
        let ask = Ask { packets, slot };
        let (one, all) = (sender.host(rows), sender.neighbourhood(rows));
        self.fetch(&one.cells);
        self.fetch(&all.cells);
        let passed = self.ask(&ask, host, &one, passed)?;
        self.ask(&ask, neighbourhood, &all, passed)
    }

    #[inline(always)]
    fn connections(&self, sender: &Sender, passed: Reason) -> Result<Reason, Reason> {
        let (policy, rows) = (self.rules.policy, &self.rules.settings.rows);
        let (host, neighbours) = (sender.host(rows), sender.neighbourhood(rows));
        let ask = Ask::ALONE;
        let passed = self.ask(&ask, &policy.packets, &host, passed)?;
        let passed = self.ask(&ask, &policy.syns, &host.syns(Reason::SynLimit), passed)?;
        let passed = self.ask(&ask, &policy.packets_neighbourhood, &neighbours, passed)?;
        let neighbours = neighbours.syns(Reason::SynNeighbourhoodLimit);
        self.ask(&ask, &policy.syns_neighbourhood, &neighbours, passed)
    }

    /// Reads every word before the first is changed: behind a locked instruction no read begins,
    /// and what is not in the cache would be fetched one after the other.
    #[inline(always)]
    fn fetch<const ROWS: usize>(&self, cells: &[u32; ROWS]) {
        for cell in cells {
            if let Some(cell) = self.tables.sketch(*cell) {
                cell.load();
            }
        }
    }

    /// Sketch first; whoever is over in every row is judged by an entry of its own.
    #[inline(always)]
    fn ask<const ROWS: usize>(
        &self,
        ask: &Ask<'_, T::Slot>,
        limit: &Limit,
        counted: &Counted<ROWS>,
        passed: Reason,
    ) -> Result<Reason, Reason> {
        if limit.is_off() || !self.is_over_sketch(ask.packets, limit, &counted.cells) {
            return Ok(passed);
        }
        if let Some(slot) = ask.slot {
            limit::revoke(slot);
        }
        let key = counted.key();
        let Some(cell) = self.tables.exact(&key) else {
            return self.first_over(limit, &key, passed);
        };
        match limit::take_exact(&cell, limit, self.now) {
            Outcome::Within => Ok(passed),
            Outcome::Over | Outcome::Contended => Err(counted.reason),
        }
    }

    /// Every row is advanced, also when the first is not over: each counts every packet.
    #[inline(always)]
    fn is_over_sketch<const ROWS: usize>(
        &self,
        packets: u64,
        limit: &Limit,
        cells: &[u32; ROWS],
    ) -> bool {
        let mut over = true;
        for cell in cells {
            if let Some(cell) = self.tables.sketch(*cell) {
                over &= limit::advance_by(packets, &cell, limit, self.now);
            }
        }
        over
    }

    /// Who goes over for the first time gets an entry, as long as not too many do: a flood of
    /// sources must not evict the entries that hold others in check.
    #[inline(always)]
    fn first_over(&self, limit: &Limit, key: &LimitKey, passed: Reason) -> Result<Reason, Reason> {
        let outcome = match self.tables.insert_cell() {
            Some(cell) => limit::take(&cell, &self.rules.policy.inserts, self.now),
            None => Outcome::Within,
        };
        if outcome == Outcome::Within {
            self.tables.insert_exact(key, limit::exact_first(limit, self.now));
            return Ok(passed);
        }
        let guarded = Reason::LimitInserts;
        if self.rules.policy.drops(guarded) { Err(guarded) } else { Ok(guarded) }
    }
}
