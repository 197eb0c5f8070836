//! Random packets in random worlds, judged by the real program and by the oracle, until enough of
//! them agreed; `cargo xtask differential` starts it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing what was reached is what this is for"
)]

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use gateway_tests::differential::{Plan, Report, run};
use gateway_userspace::clock;

/// The packet filter beside an independent oracle.
#[derive(Debug, Parser)]
struct Arguments {
    /// Packets, at least.
    #[arg(long, default_value_t = 1_000_000)]
    packets: usize,
    /// Where chance begins; one of its own if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How often each reason must be met in each framing.
    #[arg(long, default_value_t = 1000)]
    goal: u64,
    /// Packets in each world.
    #[arg(long, default_value_t = 5000)]
    per_world: usize,
}

fn main() -> ExitCode {
    match try_all(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_all(arguments: &Arguments) -> Result<()> {
    let Arguments { packets, goal, per_world, .. } = *arguments;
    let seed = arguments.seed.unwrap_or_else(clock::monotonic_ns);
    println!("seed {seed}");
    let at_most = packets.saturating_mul(4);
    let report = run(&Plan { seed, packets, at_most, per_world, goal }, show)?;
    println!("{}", report.coverage);
    for example in &report.examples {
        println!("{example}");
    }
    for (kind, count) in &report.kinds {
        println!("{count} times {kind}");
    }
    println!(
        "{} packets in {} worlds, {} differences",
        report.packets, report.worlds, report.differences
    );
    conclude(&report, goal)
}

fn show(report: &Report) {
    if report.worlds.is_multiple_of(20) {
        let Report { packets, worlds, differences, .. } = report;
        println!("{packets} packets in {worlds} worlds, {differences} differences");
    }
}

fn conclude(report: &Report, goal: u64) -> Result<()> {
    let (below, surprising) = (report.coverage.below(goal), report.coverage.surprising());
    for cell in &below {
        println!("met {} times: {cell:?}", report.coverage.of(*cell));
    }
    for cell in &surprising {
        println!("said to be impossible, and met: {cell:?}");
    }
    if report.differences > 0 {
        bail!("filter and oracle disagree");
    }
    if !below.is_empty() || !surprising.is_empty() {
        bail!("{} cells were met less than {goal} times", below.len());
    }
    Ok(())
}
