//! The tick clock of the kernel program: jiffies times the length of one, which the kernel does
//! not tell. It is measured once at load, from tick edge to tick edge.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use gateway_common::maps::Clocks;

use super::{filter::KernelError, list::Entries as _, sys, table::Table};

/// What kernels are built with.
const RATES: [u64; 12] = [24, 32, 48, 64, 100, 128, 250, 256, 300, 500, 1000, 1024];
/// Between the two edges: 0.2 % of it is the finest difference among the rates at 1 kHz.
const SPAN_NS: u64 = 30_000_000;
/// Test runs until an edge must have come: seconds.
const PATIENCE: u32 = 1_000_000;

/// Reads the kernel's clocks through its own program.
#[derive(Debug)]
pub(super) struct Ticks {
    program: OwnedFd,
    table: Table<u32, Clocks>,
    tick_ns: u64,
}

impl Ticks {
    /// Measures the tick.
    pub(super) fn new(program: OwnedFd, table: Table<u32, Clocks>) -> Result<Self, KernelError> {
        let mut ticks = Self { program, table, tick_ns: 0 };
        let start = ticks.edge(0)?;
        let end = ticks.edge(start.monotonic_ns + SPAN_NS)?;
        let (jiffies, elapsed) =
            (end.jiffies - start.jiffies, end.monotonic_ns - start.monotonic_ns);
        ticks.tick_ns = tick_of(jiffies, elapsed);
        Ok(ticks)
    }

    pub(super) const fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    /// Now on the tick clock.
    pub(super) fn now_ns(&self) -> Result<u64, KernelError> {
        Ok(self.read()?.jiffies.saturating_mul(self.tick_ns))
    }

    /// The first moment of a tick, after `earliest`.
    fn edge(&self, earliest: u64) -> Result<Clocks, KernelError> {
        let mut last = self.read()?;
        for _ in 0..PATIENCE {
            let next = self.read()?;
            if next.jiffies != last.jiffies && next.monotonic_ns >= earliest {
                return Ok(next);
            }
            last = next;
        }
        Err(failed(io::ErrorKind::TimedOut.into()))
    }

    fn read(&self) -> Result<Clocks, KernelError> {
        sys::test_run(self.program.as_fd(), &[0; 64], 1).map_err(failed)?;
        self.table.get(&0)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }
}

fn failed(source: io::Error) -> KernelError {
    KernelError::System { doing: "reading the kernel's tick clock".to_owned(), source }
}

/// The tick of the nearest rate a kernel can have; if none is within two percent, as measured.
fn tick_of(jiffies: u64, elapsed_ns: u64) -> u64 {
    let measured = elapsed_ns / jiffies.max(1);
    let nearest =
        RATES.iter().map(|rate| 1_000_000_000 / rate).min_by_key(|tick| tick.abs_diff(measured));
    nearest.filter(|tick| tick.abs_diff(measured) * 50 < measured).unwrap_or(measured).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_rate_in_spite_of_jitter() {
        for rate in RATES {
            let tick = 1_000_000_000 / rate;
            let jiffies = SPAN_NS.div_ceil(tick) + 1;
            for jitter in [0, 20_000, 60_000] {
                assert_eq!(tick_of(jiffies, jiffies * tick + jitter), tick, "{rate} Hz");
                assert_eq!(tick_of(jiffies, jiffies * tick - jitter), tick, "{rate} Hz");
            }
        }
    }

    #[test]
    fn an_unknown_rate_is_taken_as_measured() {
        assert_eq!(tick_of(10, 70_000_000), 7_000_000);
    }
}
