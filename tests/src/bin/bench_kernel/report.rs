//! The tables people read, on the terminal and in the document, and the JSON that machines do.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use gateway_tests::digits::thousands;
use serde_json::{Map, Value, json};

use crate::{
    changes::Times,
    flood::Outcome,
    machine, ours,
    packets::Cell,
    summary::{self, sources},
};

/// In the document, what follows is a run's.
const MARKER: &str = "<!-- written by `cargo xtask bench kernel --renew` -->\n";

/// Results so far, printed as they come.
pub(crate) struct Report {
    parts: Map<String, Value>,
    text: String,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let (machine, peers) = (machine::describe(), machine::peers());
        let mut report = Self { parts: Map::new(), text: String::new() };
        let field = |name: &str| machine.get(name).map(Value::to_string).unwrap_or_default();
        let plain = |name: &str| field(name).trim_matches('"').to_owned();
        report.say(&format!(
            "{} processors ({}{}, {} cache), {} memory, Linux {}; {peers}. The filter: {}.",
            plain("processors"),
            if field("virtual") == "true" { "virtual, " } else { "" },
            plain("model"),
            plain("cache"),
            plain("memory"),
            plain("kernel"),
            ours::FEATURES,
        ));
        report.parts.insert("machine".to_owned(), machine);
        report.parts.insert("peers".to_owned(), peers.into());
        report.parts.insert("filter".to_owned(), ours::FEATURES.into());
        report
    }

    /// The table of packets, and its goals.
    pub(crate) fn packets(&mut self, cells: &[Cell]) {
        self.say("\n### Nanoseconds a packet\n");
        self.say("| list | packet | sources | empty | gateway | xdp-filter | ratio |");
        self.say("|---|---|---|--:|--:|--:|--:|");
        for cell in cells {
            self.say(&row(cell));
        }
        self.say("\n| goal | at most | measured | |");
        self.say("|---|--:|--:|---|");
        let goals = summary::packets(cells);
        for goal in &goals {
            let verdict = if goal.ratio <= goal.at_most { "held" } else { "**missed**" };
            let (what, at_most, ratio) = (&goal.what, goal.at_most, goal.ratio);
            self.say(&format!("| {what} | {at_most} | {ratio:.2} | {verdict} |"));
        }
        self.parts.insert("packets".to_owned(), cells.iter().map(Cell::json).collect());
        let goals = goals
            .iter()
            .map(|goal| json!({ "what": goal.what, "at_most": goal.at_most, "ratio": goal.ratio }));
        self.parts.insert("goals".to_owned(), goals.collect());
    }

    /// The table of changes.
    pub(crate) fn changes(&mut self, times: &[Times]) {
        self.say("\n### Changes\n\n| change | median | longest |\n|---|--:|--:|");
        for time in times {
            let (median, longest) = (shown(time.median()), shown(time.longest()));
            self.say(&format!("| {} | {median} | {longest} |", time.what));
        }
        self.parts.insert("changes".to_owned(), times.iter().map(Times::json).collect());
    }

    /// The table of floods, and what it comes to.
    pub(crate) fn flood(&mut self, outcomes: &[Outcome]) {
        self.say("\n### Under a flood\n");
        self.say("| flood | offered/s | filter | sent/s | dropped by it | receiving | ns a packet | requests/s | p50 | p99 | failed |");
        self.say("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        for outcome in outcomes {
            self.say(&flood_row(outcome));
        }
        self.say("");
        for line in summary::floods(outcomes) {
            self.say(&format!("- {line}"));
        }
        self.parts.insert("flood".to_owned(), outcomes.iter().map(Outcome::json).collect());
    }

    /// Writes the JSON, and the document's last part if one is named.
    pub(crate) fn write(self, file: &Path, document: Option<&Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(&Value::Object(self.parts))?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        let Some(document) = document else { return Ok(()) };
        let old = fs::read_to_string(document)
            .with_context(|| format!("reading {}", document.display()))?;
        let kept = old.split(MARKER).next().unwrap_or_default();
        fs::write(document, format!("{kept}{MARKER}\n{}", self.text))
            .with_context(|| format!("writing {}", document.display()))
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn row(cell: &Cell) -> String {
    let number = |value: Option<f64>, digits| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    format!(
        "| {} {} + {} | {} | {} | {:.1} | {:.1} | {} | {} |",
        cell.family.name(),
        thousands(cell.hosts.into()),
        thousands(cell.prefixes.into()),
        cell.kind.name(),
        sources(cell.rotating),
        cell.empty,
        cell.ours,
        number(cell.xdp_filter, 1),
        number(cell.ratio(), 2),
    )
}

fn flood_row(outcome: &Outcome) -> String {
    format!(
        "| {} | {} | {} | {} | {:.0} % | {:.0} % | {:.0} | {:.0} | {} | {} | {} |",
        outcome.mix.name(),
        thousands(outcome.rate),
        outcome.wall.name(),
        thousands(outcome.sent_per_second()),
        outcome.dropped_share() * 100.0,
        outcome.receiving() * 100.0,
        outcome.per_packet(),
        outcome.served.per_second,
        shown(outcome.served.quantile(500)),
        shown(outcome.served.quantile(990)),
        thousands(outcome.served.failed),
    )
}

/// With as many digits as one can tell apart.
fn shown(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
