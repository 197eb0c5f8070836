//! `cargo xtask test`: runs everything, counts honestly. A skipped test is listed and is not passed.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{build, command, setup};

/// A case that cannot run here appends `name: reason` to the file this variable names.
const SKIPS: &str = "GATEWAY_SKIPS";

/// What the test harnesses said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Name and reason.
    pub(crate) skipped: Vec<String>,
    failures: Vec<String>,
}

/// Runs all tests, or those `arguments` select.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(false)?;
    build::for_tests()?;
    let skips = build::target().join("skipped-tests");
    let mut tally = Tally::default();
    let finished = cargo_test(arguments, &skips, &mut tally)?;
    tally.add_skips(&fs::read_to_string(&skips).context("reading what was skipped")?);
    tally.print();
    if tally.failed > 0 || !finished {
        bail!("not every test passed");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// True if cargo itself was content too: a harness that died reports no failed test.
fn cargo_test(arguments: &[String], skips: &Path, tally: &mut Tally) -> Result<bool> {
    fs::write(skips, "").with_context(|| format!("writing {}", skips.display()))?;
    let mut command = command::cargo();
    command.args(["test", "--no-fail-fast"]).args(arguments).env(SKIPS, skips);
    println!("$ {}", command::shown(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let stdout = child.stdout.take().context("reading cargo test")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading cargo test")?;
        println!("{line}");
        tally.read(&line);
    }
    Ok(child.wait().context("waiting for cargo test")?.success())
}

impl Tally {
    /// Takes in one line of a harness.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            self.passed += number_before(summary, " passed");
            self.failed += number_before(summary, " failed");
        } else if let Some((name, reason)) = outcome(line, "ignored") {
            let reason = reason.strip_prefix(", ").unwrap_or("no reason given");
            self.skipped.push(format!("{name}: {reason}"));
        } else if let Some((name, _)) = outcome(line, "FAILED") {
            self.failures.push(name.to_owned());
        }
    }

    /// Cases that found at run time that they cannot run: the harness counted them as passed.
    pub(crate) fn add_skips(&mut self, list: &str) {
        for line in list.lines() {
            self.passed = self.passed.saturating_sub(1);
            self.skipped.push(line.to_owned());
        }
    }

    pub(crate) fn print(&self) {
        for name in &self.failures {
            println!("failed:  {name}");
        }
        for line in &self.skipped {
            println!("skipped: {line}");
        }
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped.len());
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }
}

/// `name` and what follows the word in `test name ... word`.
fn outcome<'a>(line: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, outcome.strip_prefix(word)?))
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_harnesses_print() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test packet::reads_two_tags ... ok",
            "test slow::million ... ignored, takes an hour",
            "test ban::expires ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.read(line);
        }
        tally.add_skips("netns::drops: not root\n");
        assert_eq!((tally.passed, tally.failed), (41, 1));
        assert_eq!(tally.failures, ["ban::expires"]);
        assert_eq!(tally.skipped, ["slow::million: takes an hour", "netns::drops: not root"]);
    }
}
