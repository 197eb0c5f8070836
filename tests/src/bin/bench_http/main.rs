//! The bench of the proxy: what a request and a handshake cost, and what an idle connection holds,
//! beside Debian's nginx and haproxy in one run.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing what was measured is what a bench does"
)]

mod idle;
mod load;
#[path = "../bench_kernel/machine.rs"]
#[expect(dead_code, reason = "the kernel's bench needs more of it")]
mod machine;
mod origin;
mod process;
mod report;
mod servers;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gateway_tests::netns::command;
use nix::sched::{CloneFlags, unshare};

use crate::{
    load::{Sample, Scenario},
    report::Report,
    servers::{Bed, Kind},
};

/// What the proxy costs, beside others doing the same.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the results go as JSON.
    #[arg(long)]
    json: PathBuf,
    /// A document whose part about the proxy the results become.
    #[arg(long)]
    document: Option<PathBuf>,
    /// The gateway that is measured.
    #[arg(long)]
    gateway: PathBuf,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Idle connections that are held.
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(100..=9_500))]
    idle: u32,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Serves as the supplier of all three.
    #[arg(long, hide = true)]
    origin: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = if arguments.origin { origin::serve() } else { run(&arguments) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        bail!("a network of its own needs root; run: sudo cargo xtask bench http");
    }
    isolate()?;
    machine::prefer()?;
    process::raise_files()?;
    machine::pin(servers::LOAD)?;
    let mut report = Report::begin();
    let bed = Bed::prepare(&arguments.gateway)?;
    let chosen =
        |scenario: &Scenario| arguments.only.is_empty() || arguments.only.contains(scenario);
    let scenarios: Vec<Scenario> = Scenario::ALL.into_iter().filter(chosen).collect();
    let mut samples: Vec<(Scenario, Kind, Sample)> = Vec::new();
    for round in 0..arguments.rounds {
        eprintln!("round {} of {}", round + 1, arguments.rounds);
        for scenario in &scenarios {
            for kind in Kind::turn(round) {
                let sample = bed.measure(kind, *scenario)?;
                samples.push((*scenario, kind, sample));
            }
        }
    }
    report.load(&samples);
    if arguments.only.is_empty() {
        let held = Kind::ALL.into_iter().map(|kind| Ok((kind, bed.idle(kind, arguments.idle)?)));
        report.idle(arguments.idle, &held.collect::<Result<Vec<_>>>()?);
    }
    report.write(&arguments.json, arguments.document.as_deref())
}

/// A network of our own: nobody else's traffic, and as many ports as a flood of connections needs.
fn isolate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
    command("ip", &["link", "set", "lo", "up"])?;
    for (file, value) in [("ip_local_port_range", "2000 65000"), ("tcp_tw_reuse", "1")] {
        let path = format!("/proc/sys/net/ipv4/{file}");
        std::fs::write(&path, value).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}
