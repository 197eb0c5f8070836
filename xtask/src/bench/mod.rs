//! `cargo xtask bench`: builds what is measured as it is shipped, finds the peers, and becomes the
//! bench. The measuring itself lives in the tests crate, where the lab is.

mod programs;

use std::{fs, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{build, command, setup};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// The kernel part beside xdp-filter, nftables and ipset; tables, and JSON in target/bench.
    Kernel {
        /// Put the results into docs/benchmarks.md.
        #[arg(long)]
        renew: bool,
        /// Passed on to the bench, such as `--only packets`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The proxy beside nginx and haproxy; tables, and JSON in target/bench.
    Http {
        /// Put the results into docs/benchmarks.md.
        #[arg(long)]
        renew: bool,
        /// Passed on to the bench, such as `--only h1-small --rounds 3`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Programs of the peers, and what else only a bench runs, with their packages. They are no part
/// of `setup`: who does not measure does not need them.
const PEERS: [(&str, &str); 5] = [
    ("xdp-filter", "xdp-tools"),
    ("nft", "nftables"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
    ("chrt", "util-linux"),
];

/// The same for the proxy's bench.
const HTTP_PEERS: [(&str, &str); 4] = [
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("h2load", "nghttp2-client"),
    ("wrk", "wrk"),
];

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Kernel { renew, arguments } => kernel(*renew, arguments),
        Bench::Http { renew, arguments } => http(*renew, arguments),
    }
}

/// Replaces this process, so that Ctrl-C reaches the bench alone.
fn kernel(renew: bool, arguments: &[String]) -> Result<()> {
    setup::run(false)?;
    setup::programs("peers", &PEERS)?;
    let folder = build::target().join("bench");
    fs::create_dir_all(&folder).context("creating the folder for results")?;
    let programs = programs::build(&folder)?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "--package", "gateway-userspace"]);
    command::run(cargo.args(["--package", "gateway-tests", "--bin", "gateway", "--bin", BINARY]))?;
    let binary = build::target().join("release").join(BINARY);
    let mut bench = Command::new(&binary);
    bench.arg("--programs").arg(programs).arg("--json").arg(folder.join("kernel.json"));
    if renew {
        bench.arg("--document").arg(command::root().join("docs/benchmarks.md"));
    }
    let error = bench.args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", binary.display()))
}

/// Replaces this process too.
fn http(renew: bool, arguments: &[String]) -> Result<()> {
    setup::run(false)?;
    setup::programs("peers", &HTTP_PEERS)?;
    let folder = build::target().join("bench");
    fs::create_dir_all(&folder).context("creating the folder for results")?;
    let mut gateway = command::cargo();
    command::run(gateway.args(["build", "--release", "--package", "gateway-userspace"]))?;
    // Only what is measured has to be built as it is shipped.
    let mut bench = command::cargo();
    command::run(bench.args(["build", "--package", "gateway-tests", "--bin", HTTP_BINARY]))?;
    let binary = build::target().join("debug").join(HTTP_BINARY);
    let mut bench = Command::new(&binary);
    bench.arg("--gateway").arg(build::target().join("release/gateway"));
    bench.arg("--json").arg(folder.join("http.json"));
    if renew {
        bench.arg("--document").arg(command::root().join("docs/benchmarks.md"));
    }
    let error = bench.args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", binary.display()))
}

const BINARY: &str = "bench_kernel";
const HTTP_BINARY: &str = "bench_http";
