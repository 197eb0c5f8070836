//! The tables people read and the JSON that machines do.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::{changes::Times, flood::Outcome, machine, ours, packets::Cell};

/// Results so far, printed as they come.
pub(crate) struct Report {
    parts: Map<String, Value>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let machine = machine::describe();
        let peers = machine::peers();
        println!("machine: {machine}\npeers: {peers}");
        let mut parts = Map::new();
        parts.insert("machine".to_owned(), machine);
        parts.insert("peers".to_owned(), peers.into());
        parts.insert("filter".to_owned(), ours::FEATURES.into());
        Self { parts }
    }

    /// The table of packets.
    pub(crate) fn packets(&mut self, cells: &[Cell]) {
        println!("\n| list | packet | sources | empty | gateway | xdp-filter | ratio |");
        println!("|---|---|---|--:|--:|--:|--:|");
        for cell in cells {
            let number = |value: Option<f64>, digits| {
                value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
            };
            println!(
                "| {} {} + {} | {} | {} | {:.1} | {:.1} | {} | {} |",
                cell.family.name(),
                thousands(cell.hosts.into()),
                thousands(cell.prefixes.into()),
                cell.kind.name(),
                if cell.rotating { "rotating" } else { "hot" },
                cell.empty,
                cell.ours,
                number(cell.xdp_filter, 1),
                number(cell.ratio(), 2),
            );
        }
        self.parts.insert("packets".to_owned(), cells.iter().map(Cell::json).collect());
    }

    /// The table of changes.
    pub(crate) fn changes(&mut self, times: &[Times]) {
        println!("\n| change | median | longest |");
        println!("|---|--:|--:|");
        for time in times {
            println!("| {} | {} | {} |", time.what, shown(time.median()), shown(time.longest()));
        }
        self.parts.insert("changes".to_owned(), times.iter().map(Times::json).collect());
    }

    /// The table of floods.
    pub(crate) fn flood(&mut self, outcomes: &[Outcome]) {
        println!(
            "\n| flood | offered/s | filter | sent | dropped by it | receiving | ns a packet | requests/s | p50 | p99 | failed |"
        );
        println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        for outcome in outcomes {
            println!(
                "| {} | {} | {} | {} | {} | {:.0} % | {:.0} | {:.0} | {} | {} | {} |",
                outcome.mix.name(),
                thousands(outcome.rate),
                outcome.wall.name(),
                thousands(outcome.progress.sent),
                thousands(outcome.dropped),
                outcome.receiving() * 100.0,
                outcome.per_packet(),
                outcome.served.per_second,
                shown(outcome.served.quantile(500)),
                shown(outcome.served.quantile(990)),
                thousands(outcome.served.failed),
            );
        }
        self.parts.insert("flood".to_owned(), outcomes.iter().map(Outcome::json).collect());
    }

    /// All of it.
    pub(crate) fn write(self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&Value::Object(self.parts))?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        println!("\nwritten: {}", file.display());
        Ok(())
    }
}

/// Digits in groups.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With as many digits as one can tell apart.
fn shown(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
