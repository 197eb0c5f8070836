//! `cargo xtask kernels`: the packet tests on other kernels than this machine's. Each boots in
//! QEMU with the tests as its only file system; what the verifier walked through is compared with
//! what it did before.

mod boot;
mod cpio;
mod fetch;
mod image;
mod outcome;
mod payload;
mod table;

use std::fs;

use anyhow::{Context, Result, bail};

use self::{
    fetch::{SUITES, Suite},
    outcome::Outcome,
};
use crate::{build, setup};

/// What a guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Has its verifier judge the programs.
    Load,
    /// That, and every packet test.
    Tests,
}

/// A kernel's turn.
#[derive(Debug)]
struct Run {
    suite: Suite,
    /// The package's version.
    version: String,
    outcome: Outcome,
}

/// Runs all kernels, or the one with this label; `renew` makes the result the new baseline.
pub(crate) fn run(scope: Scope, renew: bool, only: Option<&str>) -> Result<()> {
    let suites = selected(only)?;
    setup::for_kernels()?;
    let runs = boot_all(scope, &suites)?;
    println!("\n{}", table::Tables::of(&runs).render());
    let mut faults = faults(&runs);
    if renew && faults.is_empty() {
        table::renew(&runs)?;
    } else {
        faults.extend(growth(&runs)?);
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn selected(only: Option<&str>) -> Result<Vec<Suite>> {
    let suites = SUITES.into_iter().filter(|suite| only.is_none_or(|label| label == suite.label));
    let suites: Vec<_> = suites.collect();
    if suites.is_empty() {
        bail!("no such kernel; there are: {}", SUITES.map(|suite| suite.label).join(", "));
    }
    Ok(suites)
}

fn boot_all(scope: Scope, suites: &[Suite]) -> Result<Vec<Run>> {
    let folder = build::target().join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let files = payload::build(scope, &folder)?;
    let mut runs = Vec::new();
    for suite in suites {
        let folder = folder.join(suite.name);
        let kernel = fetch::fetch(*suite, &folder)
            .with_context(|| format!("fetching the kernel of {}", suite.name))?;
        let image = image::write(&kernel, &files, &folder)?;
        println!("kernels: {:<8} booting {}", suite.label, kernel.version);
        let outcome = boot::boot(scope, &kernel, &image, &folder)?;
        println!("kernels: {:<8}", suite.label);
        outcome.tally.print();
        runs.push(Run { suite: *suite, version: kernel.version, outcome });
    }
    Ok(runs)
}

/// What went wrong, a line each, with the kernel's name.
fn faults(runs: &[Run]) -> Vec<String> {
    let mut faults = Vec::new();
    for Run { suite, outcome, .. } in runs.iter().filter(|run| !run.outcome.is_good()) {
        faults.extend(outcome.faults.iter().map(|fault| format!("{}: {fault}", suite.label)));
        if outcome.tally.failed > 0 {
            faults.push(format!("{}: {} tests failed", suite.label, outcome.tally.failed));
        }
    }
    faults
}

fn growth(runs: &[Run]) -> Result<Vec<String>> {
    let baseline = table::Tables::written()?.baseline;
    let mut grown = Vec::new();
    for Run { suite, outcome, .. } in runs {
        let faults = table::growth(&baseline, suite.label, &outcome.costs);
        grown.extend(faults.iter().map(|fault| format!("{}: {fault}", suite.label)));
    }
    if !grown.is_empty() {
        grown.push("if that is meant: cargo xtask kernels --renew".to_owned());
    }
    Ok(grown)
}
