//! The result as `docs/kernels.md` has it: a table for people, whose counts of instructions are
//! at the same time what the next run is measured against. One place, so that neither goes stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    path::PathBuf,
};

use anyhow::{Context, Result};

use super::{Run, outcome::Costs};
use crate::command;

const DOCUMENT: &str = "docs/kernels.md";

/// Around what `--renew` writes.
const BEGIN: &str = "<!-- written by `cargo xtask kernels --renew` -->\n";
const END: &str = "<!-- end -->\n";

/// Head of the table that is the baseline.
const PROGRAM: &str = "program";

/// A verifier that walks this much more has found a path that nobody meant.
const GROWTH_PERCENT: u64 = 10;

/// What was measured before, by label of the kernel.
pub(super) type Baseline = BTreeMap<String, Costs>;

/// Both tables.
pub(super) fn render(runs: &[Run]) -> String {
    let results = ["kernel", "release", "package", "passed", "failed", "left out"];
    let mut lines = head(&results.map(str::to_owned));
    lines.extend(runs.iter().map(result));
    lines.push(String::new());
    let labels = runs.iter().map(|run| run.suite.label.to_owned());
    lines.extend(head(&iter::once(PROGRAM.to_owned()).chain(labels).collect::<Vec<_>>()));
    let programs = runs.iter().flat_map(|run| run.outcome.costs.keys());
    lines.extend(programs.collect::<BTreeSet<_>>().into_iter().map(|name| costs(name, runs)));
    lines.join("\n")
}

fn head(cells: &[String]) -> Vec<String> {
    vec![row(cells), "|---".repeat(cells.len()) + "|"]
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn result(run: &Run) -> String {
    let Run { suite, version, outcome } = run;
    let tally = &outcome.tally;
    let counts = [tally.passed, tally.failed].map(|count| count.to_string());
    let mut cells = vec![format!("{} ({})", suite.label, suite.name)];
    cells.extend([outcome.release.clone(), version.clone()]);
    cells.extend(counts);
    cells.push(tally.skipped.len().to_string());
    row(&cells)
}

fn costs(program: &str, runs: &[Run]) -> String {
    let cost = |run: &Run| run.outcome.costs.get(program).map_or("-".to_owned(), u64::to_string);
    let cells = iter::once(format!("`{program}`")).chain(runs.iter().map(cost));
    row(&cells.collect::<Vec<_>>())
}

/// The counts in the document.
pub(super) fn baseline() -> Result<Baseline> {
    Ok(parse(&read()?))
}

fn parse(text: &str) -> Baseline {
    let rows = text.lines().map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect::<Vec<_>>()
    });
    let mut rows = rows.skip_while(|row| row.first() != Some(&PROGRAM));
    let labels = rows.next().unwrap_or_default();
    let mut baseline = Baseline::new();
    for row in rows.take_while(|row| row.len() == labels.len()) {
        let Some((program, counts)) = row.split_first() else { continue };
        for (label, count) in labels.iter().skip(1).zip(counts) {
            if let Ok(count) = count.parse() {
                let costs = baseline.entry((*label).to_owned()).or_default();
                costs.insert((*program).to_owned(), count);
            }
        }
    }
    baseline
}

/// What grew too much, or was never measured.
pub(super) fn growth(baseline: &Baseline, label: &str, costs: &Costs) -> Vec<String> {
    let known = |program: &str| baseline.get(label).and_then(|costs| costs.get(program));
    let judge = |(program, count): (&String, &u64)| match known(program) {
        None => Some(format!("`{program}` has no count in {DOCUMENT}")),
        Some(before) if count * 100 > before * (100 + GROWTH_PERCENT) => Some(format!(
            "`{program}`: {count} instructions verified, {before} before: over {GROWTH_PERCENT} % more"
        )),
        Some(_) => None,
    };
    costs.iter().filter_map(judge).collect()
}

/// Writes the tables into the document.
pub(super) fn renew(runs: &[Run]) -> Result<()> {
    let text = replaced(&read()?, &render(runs))?;
    let path = path();
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

fn replaced(text: &str, tables: &str) -> Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.with_context(|| format!("{DOCUMENT} has no place for the tables"))?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

fn path() -> PathBuf {
    command::root().join(DOCUMENT)
}

fn read() -> Result<String> {
    let path = path();
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{super::fetch::SUITES, *};
    use crate::kernels::outcome::Outcome;

    fn runs(counts: &[u64]) -> Vec<Run> {
        let run = |(suite, count): (_, &u64)| {
            let mut outcome = Outcome::default();
            outcome.read(&format!("@program gateway {count}"));
            outcome.read("@program clocks 12");
            Run { suite, version: "1-1".to_owned(), outcome }
        };
        SUITES.into_iter().zip(counts).map(run).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let document = format!("# Kernels\n\n{BEGIN}old\n{END}\nMore.\n");
        let written = replaced(&document, &render(&runs(&[100, 200, 300]))).unwrap();
        assert!(written.ends_with("\nMore.\n") && !written.contains("old"));
        let baseline = parse(&written);
        let count = |label: &str, program: &str| baseline[label][program];
        assert_eq!((count("6.1", "gateway"), count("newest", "gateway")), (100, 300));
        assert_eq!(count("6.12", "clocks"), 12);
        let again = replaced(&written, &render(&runs(&[1, 2, 3]))).unwrap();
        assert_eq!(parse(&again)["6.1"]["gateway"], 1);
    }

    #[test]
    fn more_than_a_tenth_is_too_much_growth() {
        let baseline = parse(&render(&runs(&[1000])));
        let judge =
            |count: u64| growth(&baseline, "6.1", &Costs::from([("gateway".into(), count)]));
        assert_eq!(judge(1100).len() + judge(10).len(), 0);
        assert_eq!(judge(1101).len(), 1);
        let unknown = Costs::from([("cookies".into(), 5)]);
        assert_eq!(growth(&baseline, "6.1", &unknown).len(), 1, "no baseline");
        assert_eq!(growth(&baseline, "6.2", &unknown).len(), 1);
    }
}
