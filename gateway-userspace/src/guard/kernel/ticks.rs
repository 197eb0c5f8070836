//! The tick clock of the kernel program: jiffies times the length of one, which the kernel does
//! not tell. It is measured once at load, from tick edge to tick edge.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use gateway_common::maps::Clocks;

use super::{filter::KernelError, list::Entries as _, sys, table::Table};
use crate::clock;

/// What kernels are built with (`CONFIG_HZ`): those of the distributions, older arm, desktop
/// patches. A measured tick would differ a little at each start, and with it every end of a ban:
/// the tick clock counts from long before boot.
const RATES: [u64; 8] = [100, 200, 250, 300, 500, 600, 750, 1000];
/// From the first edge to the last.
const SPAN_NS: u64 = 30_000_000;
/// A busy machine sees an edge late. The rates lie 17 percent apart at least.
const TOLERANCE_PERCENT: u64 = 6;
/// Spans measured before a rate of its own is believed.
const ROUNDS: u32 = 6;
/// Test runs until an edge must have come: seconds.
const PATIENCE: u32 = 1_000_000;

/// Reads the kernel's clocks through its own program.
#[derive(Debug)]
pub(super) struct Ticks {
    program: OwnedFd,
    table: Table<u32, Clocks>,
    tick_ns: u64,
    /// Both clocks when the tick was measured.
    base: Clocks,
}

impl Ticks {
    /// Measures the tick.
    pub(super) fn new(program: OwnedFd, table: Table<u32, Clocks>) -> Result<Self, KernelError> {
        let mut ticks = Self { program, table, tick_ns: 0, base: Clocks::default() };
        ticks.tick_ns = measure(|| ticks.read())?;
        ticks.base = ticks.read()?;
        Ok(ticks)
    }

    pub(super) const fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    /// Now on the tick clock.
    pub(super) fn now_ns(&self) -> Result<u64, KernelError> {
        Ok(self.read()?.jiffies.saturating_mul(self.tick_ns))
    }

    /// About now on the tick clock, for what people read: without a system call into the program.
    pub(super) fn about_now_ns(&self) -> u64 {
        let passed = clock::monotonic_ns().saturating_sub(self.base.monotonic_ns);
        self.base.jiffies.saturating_mul(self.tick_ns).saturating_add(passed)
    }

    fn read(&self) -> Result<Clocks, KernelError> {
        sys::test_run(self.program.as_fd(), &[0; 64], 1).map_err(failed)?;
        self.table.get(&0)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }
}

/// The length of a tick: of a rate kernels are built with, or measured over all rounds.
pub(super) fn measure(read: impl Fn() -> Result<Clocks, KernelError>) -> Result<u64, KernelError> {
    let first = edge(&read, 0)?;
    let mut start = first;
    for _ in 0..ROUNDS {
        let end = edge(&read, start.monotonic_ns + SPAN_NS)?;
        if let Some(tick) = known_tick(mean_tick(start, end)) {
            return Ok(tick);
        }
        start = end;
    }
    let mean = mean_tick(first, start);
    Ok(known_tick(mean).unwrap_or(mean))
}

/// The first moment of a tick, after `earliest`.
fn edge(
    read: impl Fn() -> Result<Clocks, KernelError>,
    earliest: u64,
) -> Result<Clocks, KernelError> {
    let mut last = read()?;
    for _ in 0..PATIENCE {
        let next = read()?;
        if next.jiffies != last.jiffies && next.monotonic_ns >= earliest {
            return Ok(next);
        }
        last = next;
    }
    Err(failed(io::ErrorKind::TimedOut.into()))
}

fn failed(source: io::Error) -> KernelError {
    KernelError::System { doing: "reading the kernel's tick clock".to_owned(), source }
}

fn mean_tick(start: Clocks, end: Clocks) -> u64 {
    let jiffies = end.jiffies.saturating_sub(start.jiffies).max(1);
    (end.monotonic_ns.saturating_sub(start.monotonic_ns) / jiffies).max(1)
}

/// The tick of the nearest rate, if one is near.
fn known_tick(measured: u64) -> Option<u64> {
    let ticks = RATES.iter().map(|rate| 1_000_000_000 / rate);
    ticks
        .min_by_key(|tick| tick.abs_diff(measured))
        .filter(|tick| tick.abs_diff(measured) * 100 <= tick * TOLERANCE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_rate_of_a_busy_machine() {
        for rate in RATES {
            let tick = 1_000_000_000 / rate;
            let jiffies = SPAN_NS.div_ceil(tick);
            let start = Clocks { jiffies: 5_000_000_000, monotonic_ns: 77_000_000_000 };
            for late in [0, 200_000, 1_500_000] {
                let end = |elapsed: u64| Clocks {
                    jiffies: start.jiffies + jiffies,
                    monotonic_ns: start.monotonic_ns + elapsed,
                };
                assert_eq!(known_tick(mean_tick(start, end(jiffies * tick + late))), Some(tick));
                assert_eq!(known_tick(mean_tick(start, end(jiffies * tick - late))), Some(tick));
            }
        }
    }

    #[test]
    fn believes_no_rate_that_is_none() {
        for measured in [1, 1_200_000, 3_660_000, 7_000_000, 20_000_000] {
            assert_eq!(known_tick(measured), None, "{measured}");
        }
    }
}
