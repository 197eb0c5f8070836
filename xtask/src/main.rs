//! Every task around the code; `cargo xtask help` lists them. One file a subcommand.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks on its standard streams"
)]

mod bench;
mod build;
mod ci;
mod command;
mod demo;
mod differential;
mod fuzz;
mod kernels;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::kernels::Scope;

/// Tasks around the gateway's code.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Find or install what building and testing need; a second run changes nothing.
    Setup {
        /// Only report what is missing.
        #[arg(long)]
        check: bool,
    },
    /// Build the gateway, installing the BPF toolchain first where it is missing.
    Build {
        /// Optimized, as it is shipped.
        #[arg(long)]
        release: bool,
    },
    /// Run every test: unit, property, packet, namespace and HTTP cases.
    Test {
        /// Passed on to `cargo test`, such as `-p gateway-tests --test netns`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check what the compiler does not: who depends on whom, and that nothing is undocumented.
    Tidy,
    /// What a change must pass: format, lints, tidy, test.
    Ci,
    /// Show the gateway at work between two network namespaces, under attack.
    Demo {
        /// Passed on to the demo, such as `--seconds 20`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the packet tests on Debian's kernels in QEMU; compare what their verifiers do.
    Kernels {
        /// Write the result to docs/kernels.md: later runs are compared with it.
        #[arg(long)]
        renew: bool,
        /// Only load the programs, which takes seconds; run no test.
        #[arg(long)]
        load_only: bool,
        /// Only this kernel: 6.1, 6.12 or newest.
        kernel: Option<String>,
    },
    /// Measure beside others doing the same work (root, quiet machine, minutes).
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Try a million random packets on the packet filter and on an oracle beside it (root, minutes).
    Differential {
        /// Passed on, such as `--packets 5000000 --seed 7`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run each fuzz target for a while (needs nightly and cargo-fuzz).
    Fuzz {
        /// Seconds a target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this target.
        target: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup { check } => setup::run(check),
        Task::Build { release } => build::run(release),
        Task::Test { arguments } => test::run(&arguments),
        Task::Tidy => tidy::run(),
        Task::Ci => ci::run(),
        Task::Demo { arguments } => demo::run(&arguments),
        Task::Kernels { renew, load_only, kernel } => {
            let scope = if load_only { Scope::Load } else { Scope::Tests };
            kernels::run(scope, renew, kernel.as_deref())
        }
        Task::Bench { bench } => bench::run(&bench),
        Task::Differential { arguments } => differential::run(&arguments),
        Task::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
    }
}
