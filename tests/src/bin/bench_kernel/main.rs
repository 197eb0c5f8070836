//! The bench of the kernel part: what a packet costs, how fast lists change, and what an honest
//! client gets under a flood, beside xdp-filter, nftables and ipset in one run.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing what was measured is what a bench does"
)]

mod changes;
mod flood;
mod frames;
mod lists;
mod machine;
mod ours;
mod packets;
mod peer;
#[path = "../../../ebpf/src/plan.rs"]
mod plan;
mod programs;
mod report;
mod summary;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;

use crate::{flood::Wall, packets::Effort, report::Report};

/// What the kernel part costs, beside others doing the same.
#[derive(Debug, Parser)]
struct Arguments {
    /// The bench's own XDP programs, as `cargo xtask bench kernel` builds them.
    #[arg(long)]
    programs: PathBuf,
    /// Where the results go as JSON.
    #[arg(long)]
    json: PathBuf,
    /// A document whose last part the results become.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each packet measurement.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..=1000))]
    rounds: u32,
    /// Packets a round.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    repeat: u32,
    /// How long a client asks under each flood.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Which filters meet the flood.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Wall::Nothing, Wall::Gateway, Wall::Nftables, Wall::Ipset])]
    walls: Vec<Wall>,
    /// Packets a second of each flood.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 62_500, 125_000, 250_000, 500_000, 1_000_000, 2_000_000])]
    rates: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Nanoseconds a packet.
    Packets,
    /// Loading and swapping lists, and one ban.
    Lists,
    /// The honest client under a flood.
    Flood,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        bail!("XDP and network namespaces need root; run: sudo cargo xtask bench kernel");
    }
    machine::prefer()?;
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut report = Report::begin();
    if wants(Part::Packets) {
        let effort = Effort { rounds: arguments.rounds, repeat: arguments.repeat };
        report.packets(&packets::measure(&arguments.programs, effort)?);
    }
    if wants(Part::Lists) {
        report.changes(&changes::measure()?);
    }
    if wants(Part::Flood) {
        let plan = flood::Plan {
            walls: arguments.walls.clone(),
            rates: arguments.rates.clone(),
            window: Duration::from_secs(arguments.seconds),
        };
        report.flood(&flood::measure(&arguments.programs, &plan)?);
    }
    report.write(&arguments.json, arguments.document.as_deref())
}
