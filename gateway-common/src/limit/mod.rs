//! The limits: GCRA in one word, a keyed sketch first, an exact entry only for sources the
//! sketch calls over. Pure functions; who owns the words is behind [`Cell`].
//!
//! A word holds the theoretical arrival time (TAT) in nanoseconds of the tick clock. What a source
//! gets in `t` is at most burst + slack + two intervals + rate × (t + one tick), in any pattern:
//! every packet that passes moves the sketch, whose cap lies `slack` past the point from which the
//! exact entry, never ahead by more than `slack`, decides. `docs/adr` has the argument.

mod lease;

use core::mem::size_of;

pub use self::lease::{Due, LEASE_NS, LEASED, LEASES, Lease, Slot, lease_of, revoke, spend};

/// Compare-exchange attempts before a packet gives up.
const TRIES: u32 = 4;

/// How far the `now` of one processor may lie behind another's: a virtual processor may be taken
/// away between reading the clock and writing a word. A word this little ahead is never set back,
/// or every such pause would grant its own length anew.
const STALE_NS: u64 = 1_000_000_000;

/// A rate with a burst, as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Limit {
    /// Time one packet takes at the steady rate.
    pub interval_ns: u64,
    /// Time the burst takes at the steady rate.
    pub burst_ns: u64,
    /// How far an exact entry may run ahead.
    pub slack_ns: u64,
}

const _: () = assert!(size_of::<Limit>() == 24);

/// Longest burst, in time at the steady rate: 36 years.
const LONGEST_NS: u64 = 1 << 60;

impl Limit {
    /// A limit of one event per `interval_ns` and `burst` at once.
    pub const fn new(interval_ns: u64, burst: u32) -> Self {
        let interval_ns = if interval_ns == 0 { 1 } else { interval_ns };
        let burst_ns = interval_ns.saturating_mul(burst as u64);
        // Points in time are sums with these: none may run past the end of the word.
        let burst_ns = if burst_ns > LONGEST_NS { LONGEST_NS } else { burst_ns };
        let twentieth = burst_ns / 20;
        let slack_ns = if twentieth > interval_ns { twentieth } else { interval_ns };
        Self { interval_ns, burst_ns, slack_ns }
    }

    /// True of all zeroes: nobody counts, nobody is refused.
    #[inline(always)]
    pub const fn is_off(&self) -> bool {
        self.interval_ns == 0
    }
}

/// A shared word.
pub trait Cell {
    /// Reads it.
    fn load(&self) -> u64;
    /// Writes `new` if it still holds `current`; returns what it held.
    fn compare_exchange(&self, current: u64, new: u64) -> u64;
}

/// What a limit says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Within the limit; counted.
    Within,
    /// Over it.
    Over,
    /// Other processors changed the word at each attempt.
    Contended,
}

/// Counts a packet in a sketch cell, passed or dropped; true if the cell is over.
#[inline(always)]
pub fn advance(cell: &impl Cell, limit: &Limit, now: u64) -> bool {
    advance_by(1, cell, limit, now)
}

/// The same for several packets; true if the cell is over with the last of them.
#[inline(always)]
pub fn advance_by(packets: u64, cell: &impl Cell, limit: &Limit, now: u64) -> bool {
    let cap = now + limit.burst_ns + limit.slack_ns + limit.interval_ns;
    let mut tat = cell.load();
    for _ in 0..TRIES {
        let next = tat.max(now) + limit.interval_ns * packets;
        let seen = cell.compare_exchange(tat, held(next.min(cap), tat, cap));
        if seen == tat {
            return next > now + limit.burst_ns;
        }
        tat = seen;
    }
    // A packet that was not counted must not pass on this cell's word.
    true
}

/// What a sketch cell becomes: never less than it was, unless it was left by a longer burst of an
/// earlier configuration.
#[inline(always)]
fn held(next: u64, tat: u64, cap: u64) -> u64 {
    if tat > cap + STALE_NS { cap } else { next.max(tat) }
}

/// Takes one event from a word that counts only what it grants.
#[inline(always)]
pub fn take(cell: &impl Cell, limit: &Limit, now: u64) -> Outcome {
    take_above(cell, limit, now, now)
}

/// The same for the exact entry of a source: never ahead by more than the slack, however long it
/// lay idle, since the sketch granted meanwhile.
#[inline(always)]
pub fn take_exact(cell: &impl Cell, limit: &Limit, now: u64) -> Outcome {
    take_above(cell, limit, exact_floor(limit, now), now)
}

/// What a fresh exact entry holds after it granted its first packet.
#[inline(always)]
pub fn exact_first(limit: &Limit, now: u64) -> u64 {
    exact_floor(limit, now) + limit.interval_ns
}

#[inline(always)]
fn exact_floor(limit: &Limit, now: u64) -> u64 {
    (now + limit.burst_ns).saturating_sub(limit.slack_ns)
}

#[inline(always)]
fn take_above(cell: &impl Cell, limit: &Limit, floor: u64, now: u64) -> Outcome {
    let ceiling = now + limit.burst_ns;
    let mut tat = cell.load();
    for _ in 0..TRIES {
        let next = tat.max(floor).min(ceiling) + limit.interval_ns;
        let (outcome, next) =
            if next > ceiling { (Outcome::Over, ceiling) } else { (Outcome::Within, next) };
        // This limit never writes far past its ceiling: a word that is there was left by a longer
        // burst of an earlier configuration, and would refuse until that one were over.
        if outcome == Outcome::Over && tat <= ceiling + STALE_NS {
            return outcome;
        }
        let seen = cell.compare_exchange(tat, next);
        if seen == tat {
            return outcome;
        }
        tat = seen;
    }
    Outcome::Contended
}

/// Rows that count packets: two by host, who is over only if over in both, and one by
/// neighbourhood.
pub const ROWS: u32 = 3;

/// Cells of a row, as a power of two: 512 KiB.
pub const ROW_LOG: u32 = 16;

/// Cells of the sketch: behind the rows of all packets as many of SYNs, 3 MiB together.
pub const SKETCH_CELLS: u32 = (2 * ROWS) << ROW_LOG;

/// Random odd multipliers, one set a row, drawn at load: who sends cannot choose whom he meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct RowKeys {
    /// For IPv4 sources.
    pub v4: [u64; 2],
    /// For IPv6 sources; apart, so that no IPv6 prefix imitates an IPv4 address.
    pub v6: [u64; 2],
}

/// The cell of `source` in `row`: multiply and xor-shift, twice. A linear hash seeded by XOR would
/// keep colliding pairs colliding under every seed.
#[inline(always)]
pub const fn sketch_index(keys: [u64; 2], source: u64, row: u32) -> u32 {
    let cell = (mixed(keys, source) >> (64 - ROW_LOG)) as u32;
    (row << ROW_LOG) | cell
}

/// One to one, for the keys are odd.
#[inline(always)]
const fn mixed(keys: [u64; 2], source: u64) -> u64 {
    let [first, second] = keys;
    let mixed = source.wrapping_mul(first);
    (mixed ^ (mixed >> 32)).wrapping_mul(second)
}

#[cfg(test)]
mod tests;
