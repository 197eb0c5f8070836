//! The demo: two namespaces, a veth, the real gateway with native XDP between honest clients and
//! attackers. Ends with exit code 0 only if no banned packet came through and no honest request
//! was lost.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing what happens is what a demo does"
)]

mod cast;
mod report;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gateway_tests::{lab::Lab, netns::runtime, wait::pause};

use crate::{
    cast::Cast,
    report::{Report, Snapshot},
};

/// The gateway between two network namespaces, under attack.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long honest clients and attackers keep at it.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(8..=600))]
    seconds: u64,
}

/// Seconds into the demo.
const FLOOD_AT: u64 = 2;
const STUFFING_AT: u64 = 4;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match play(arguments.seconds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if everything went as it should. All that was set up is taken down on return, whichever.
fn play(seconds: u64) -> Result<bool> {
    if !nix::unistd::Uid::effective().is_root() {
        bail!("network namespaces and XDP need root; run: sudo cargo xtask demo");
    }
    let interrupted = watch_for_interrupt()?;
    println!("setting the scene: two network namespaces, a veth pair, an origin, the gateway");
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    cast::adjust(&mut settings);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let mut cast = Cast::assemble(&lab, &gateway)?;
    println!("{}\n", cast.scene()?);
    for second in 0..seconds {
        match second {
            0 => cast.honest_clients()?,
            FLOOD_AT => cast.ban_and_flood(seconds)?,
            STUFFING_AT => cast.stuffing()?,
            _ => cast.follow_up()?,
        }
        pause(Duration::from_secs(1));
        if interrupted.load(Ordering::Acquire) {
            bail!("interrupted; everything is taken down");
        }
        report::live(second + 1, &cast, &Snapshot::take(&lab, &gateway)?);
    }
    let report: Report = cast.finish()?;
    print!("{report}");
    Ok(report.is_good())
}

/// Set on Ctrl-C or SIGTERM: the demo looks every second and takes everything down itself.
fn watch_for_interrupt() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = runtime()?;
    let mut terminate = {
        let _inside = runtime.enter();
        let kind = tokio::signal::unix::SignalKind::terminate();
        tokio::signal::unix::signal(kind).context("watching for SIGTERM")?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        flag.store(true, Ordering::Release);
    });
    Ok(interrupted)
}
