//! The bench's own XDP programs (`tests/ebpf`): nothing at all, another source for each packet,
//! a paced generator.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
};

use crate::plan::{Pace, Pool, Progress};

/// The object, loaded with maps of its own.
pub(crate) struct Bench(Ebpf);

impl Bench {
    pub(crate) fn load(object: &Path) -> Result<Self> {
        let load = || format!("loading {}; run: cargo xtask bench kernel", object.display());
        Ok(Self(Ebpf::load_file(object).with_context(load)?))
    }

    /// Verifies the program that does nothing.
    pub(crate) fn empty(&mut self) -> Result<&Xdp> {
        load(&mut self.0, "empty")
    }

    /// The program that gives each packet another source and goes on to `target`.
    pub(crate) fn rotating(&mut self, target: &ProgramFd) -> Result<&Xdp> {
        let map = self.0.map_mut("TARGET").context("no map TARGET")?;
        ProgramArray::try_from(map)?.set(0, target, 0).context("setting the tail call")?;
        load(&mut self.0, "rotate")
    }

    /// The program that sends.
    pub(crate) fn generator(&mut self) -> Result<&Xdp> {
        load(&mut self.0, "generate")
    }

    /// Where packets come from.
    pub(crate) fn draw_from(&mut self, pools: &[Pool]) -> Result<()> {
        let mut sources = self.array::<[u32; 6]>("POOLS")?;
        for (index, pool) in (0..).zip(pools) {
            let Pool { base, mask, shift, count, flip, zero } = *pool;
            sources.set(index, [base, mask, shift, count, flip, zero], 0)?;
        }
        Ok(())
    }

    /// When and how fast the generator sends; it begins to count anew.
    pub(crate) fn pace(&mut self, pace: Pace) -> Result<()> {
        self.array::<[u64; 3]>("PROGRESS")?.set(0, [0; 3], 0)?;
        let Pace { start_ns, end_ns, per_second } = pace;
        self.array::<[u64; 3]>("PACE")?.set(0, [start_ns, end_ns, per_second], 0)?;
        Ok(())
    }

    /// What the generator did.
    pub(crate) fn progress(&mut self) -> Result<Progress> {
        let [sent, missed, left] = self.array("PROGRESS")?.get(&0, 0)?;
        Ok(Progress { sent, missed, left })
    }

    fn array<V: Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, V>> {
        let map = self.0.map_mut(name).with_context(|| format!("no map {name}"))?;
        Array::try_from(map).with_context(|| format!("opening map {name}"))
    }
}

fn load<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a Xdp> {
    let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    if program.fd().is_err() {
        program.load().with_context(|| format!("verifying {name}"))?;
    }
    Ok(program)
}

/// What can be run on a frame without any interface.
pub(crate) trait Subject {
    /// Its last answer of so many, and the mean time of a run.
    fn run(&self, frame: &[u8], repeat: u32) -> Result<(u32, Duration)>;
}

impl Subject for Xdp {
    fn run(&self, frame: &[u8], repeat: u32) -> Result<(u32, Duration)> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        let done = self.test_run(options).context("test-running a program")?;
        Ok((done.return_value, done.duration))
    }
}

/// Runs a program on live frames that count as received on `interface`: what it answers happens.
pub(crate) fn run_live(program: &Xdp, frame: &[u8], interface: u32, repeat: u32) -> Result<()> {
    // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let length = u32::try_from(frame.len())?;
    let context = [0, length, 0, interface, 0, 0].map(u32::to_ne_bytes).concat();
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        repeat,
        attrs: TestRunAttrs::new().xdp_live_frames(64),
        ..TestRunOptions::new()
    };
    program.test_run(options).context("sending live frames")?;
    Ok(())
}
