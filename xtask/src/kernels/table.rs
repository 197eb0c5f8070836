//! The result as `docs/kernels.md` has it: a table for people, whose counts of instructions are
//! at the same time what the next run is measured against. One place, so that neither goes stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    path::PathBuf,
};

use anyhow::{Context, Result};

use super::{Run, fetch::SUITES, outcome::Costs};
use crate::command;

const DOCUMENT: &str = "docs/kernels.md";

/// Around what `--renew` writes.
const BEGIN: &str = "<!-- written by `cargo xtask kernels --renew` -->\n";
const END: &str = "<!-- end -->\n";

/// Head of the table that is the baseline.
const PROGRAM: &str = "program";

/// A verifier that walks this much more has found a path that nobody meant.
const GROWTH_PERCENT: u64 = 10;

/// Counts by label of the kernel.
pub(super) type Baseline = BTreeMap<String, Costs>;

/// Both tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Rows by label.
    results: BTreeMap<String, String>,
    pub(super) baseline: Baseline,
}

impl Tables {
    pub(super) fn of(runs: &[Run]) -> Self {
        let mut tables = Self::default();
        for run in runs {
            tables.add(run);
        }
        tables
    }

    /// What the document has.
    pub(super) fn written() -> Result<Self> {
        Ok(Self::parse(&read()?))
    }

    fn parse(text: &str) -> Self {
        let row = |label: &str| text.lines().find(|line| line.starts_with(&format!("| {label} (")));
        let results = SUITES
            .iter()
            .filter_map(|suite| Some((suite.label.to_owned(), row(suite.label)?.to_owned())));
        Self { results: results.collect(), baseline: parse_baseline(text) }
    }

    /// Takes in a run; kernels that were not run keep what they had.
    fn add(&mut self, run: &Run) {
        let label = || run.suite.label.to_owned();
        // Where programs were only loaded, what the tests said before still stands.
        if run.outcome.tally.passed > 0 {
            self.results.insert(label(), result(run));
        }
        self.baseline.insert(label(), run.outcome.costs.clone());
    }

    pub(super) fn render(&self) -> String {
        let results = ["kernel", "release", "package", "passed", "failed", "left out"];
        let mut lines = head(&results.map(str::to_owned));
        // Oldest first, which their names do not sort to.
        let labels: Vec<_> = SUITES.iter().map(|suite| suite.label).collect();
        lines.extend(labels.iter().filter_map(|label| self.results.get(*label)).cloned());
        lines.push(String::new());
        let columns: Vec<_> =
            labels.into_iter().filter(|label| self.baseline.contains_key(*label)).collect();
        lines.extend(head(&iter::once(&PROGRAM).chain(&columns).collect::<Vec<_>>()));
        let programs = self.baseline.values().flat_map(Costs::keys).collect::<BTreeSet<_>>();
        lines.extend(programs.into_iter().map(|program| self.counts(program, &columns)));
        lines.join("\n")
    }

    fn counts(&self, program: &str, columns: &[&str]) -> String {
        let known = |label: &str| self.baseline.get(label).and_then(|costs| costs.get(program));
        let count = |label: &&str| known(label).map_or("-".to_owned(), u64::to_string);
        let cells = iter::once(format!("`{program}`")).chain(columns.iter().map(count));
        row(&cells.collect::<Vec<_>>())
    }
}

fn head<T: AsRef<str>>(cells: &[T]) -> Vec<String> {
    vec![row(cells), "|---".repeat(cells.len()) + "|"]
}

fn row<T: AsRef<str>>(cells: &[T]) -> String {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

fn result(run: &Run) -> String {
    let Run { suite, version, outcome } = run;
    let tally = &outcome.tally;
    let mut cells = vec![format!("{} ({})", suite.label, suite.name)];
    cells.extend([outcome.release.clone(), version.clone()]);
    cells.extend([tally.passed, tally.failed].map(|count| count.to_string()));
    cells.push(tally.skipped.len().to_string());
    row(&cells)
}

fn parse_baseline(text: &str) -> Baseline {
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
    let text = read()?;
    let mut tables = Tables::parse(&text);
    for run in runs {
        tables.add(run);
    }
    let text = replaced(&text, &tables.render())?;
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
    use super::*;
    use crate::kernels::outcome::Outcome;

    fn run(label: &str, count: u64) -> Run {
        let suite = *SUITES.iter().find(|suite| suite.label == label).unwrap();
        let mut outcome = Outcome::default();
        outcome.read("test result: ok. 2 passed; 0 failed; 0 ignored;");
        outcome.read(&format!("@program gateway {count}"));
        outcome.read("@program clocks 12");
        Run { suite, version: format!("{label}-{count}"), outcome }
    }

    #[test]
    fn what_is_written_is_read_back_and_the_rest_stays() {
        let document = format!("# Kernels\n\n{BEGIN}old\n{END}\nMore.\n");
        let first = Tables::of(&[run("6.1", 100), run("6.12", 200)]);
        let written = replaced(&document, &first.render()).unwrap();
        assert!(written.ends_with("\nMore.\n") && !written.contains("old"));
        let mut tables = Tables::parse(&written);
        for new in [run("6.12", 201), run("newest", 300)] {
            tables.add(&new);
        }
        let again = replaced(&written, &tables.render()).unwrap();
        let read = Tables::parse(&again).baseline;
        let counts = ["6.1", "6.12", "newest"].map(|label| read[label]["gateway"]);
        assert_eq!((counts, read["6.1"]["clocks"]), ([100, 201, 300], 12));
        for (version, times) in [("6.1-100", 1), ("6.12-200", 0), ("6.12-201", 1)] {
            assert_eq!(again.matches(&format!("| {version} |")).count(), times, "{version}");
        }
    }

    #[test]
    fn more_than_a_tenth_is_too_much_growth() {
        let baseline = Tables::of(&[run("6.1", 1000)]).baseline;
        let judge =
            |count: u64| growth(&baseline, "6.1", &Costs::from([("gateway".into(), count)]));
        assert_eq!(judge(1100).len() + judge(10).len(), 0);
        assert_eq!(judge(1101).len(), 1);
        let unknown = Costs::from([("cookies".into(), 5)]);
        assert_eq!(growth(&baseline, "6.1", &unknown).len(), 1, "no baseline");
        assert_eq!(growth(&baseline, "6.2", &unknown).len(), 1);
    }
}
