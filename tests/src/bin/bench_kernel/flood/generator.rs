//! The flood: live frames out of the outside's end of the veth, paced in the kernel by the program
//! itself, bounded in time and number, on a processor of its own.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use gateway_tests::{
    lab::PEER,
    netns::Namespace,
    packet::{Transport, Wire},
};
use gateway_userspace::clock;
use nix::net::if_::if_nametoindex;

use crate::{
    frames, machine,
    plan::{Pace, Pool, Progress},
    programs::{Bench, run_live},
};

/// The generator's own; everything else is on the other.
pub(crate) const PROCESSOR: usize = 0;

/// Turns of the program in one call. Most of them only wait, so a call lasts about a
/// second; to begin one costs milliseconds, in which nothing is sent.
const TURNS: u32 = 20_000_000;

/// From the order to the first frame: the thread has to get ready.
pub(crate) const LEAD: Duration = Duration::from_millis(100);

/// A loaded generator.
pub(crate) struct Generator {
    bench: Bench,
    frame: Vec<u8>,
}

impl Generator {
    pub(crate) fn load(object: &Path, wire: &Wire, transport: Transport) -> Result<Self> {
        let mut bench = Bench::load(object)?;
        bench.generator()?;
        Ok(Self { bench, frame: frames::flood(wire, transport) })
    }

    /// Sends so many a second from these pools, for so long; returns when it is over.
    pub(crate) fn send(
        &mut self,
        outside: &Namespace,
        pools: &[Pool],
        per_second: u64,
        length: Duration,
    ) -> Result<Progress> {
        self.bench.draw_from(pools)?;
        let start_ns = clock::monotonic_ns() + u64::try_from(LEAD.as_nanos())?;
        let end_ns = start_ns + u64::try_from(length.as_nanos())?;
        self.bench.pace(Pace { start_ns, end_ns, per_second })?;
        let program = self.bench.generator()?;
        let frame = &self.frame;
        outside.run(|| {
            machine::pin(PROCESSOR)?;
            let interface = if_nametoindex(PEER).context("finding the generator's interface")?;
            while clock::monotonic_ns() < end_ns {
                run_live(program, frame, interface, TURNS)?;
            }
            Ok(())
        })?;
        self.bench.progress()
    }
}
