//! The tables people read, on the terminal and in the document, and the JSON that machines do.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use gateway_tests::{digits::thousands, netns::command};
use serde_json::{Map, Value, json};

use crate::{
    idle::Held,
    load::{Sample, Scenario},
    machine,
    servers::Kind,
};

/// In the document, a run's results stand between these.
const BEGIN: &str = "<!-- written by `cargo xtask bench http --renew` -->\n";
const END: &str = "<!-- end of what `cargo xtask bench http` wrote -->\n";

/// Results so far, printed as they come.
pub(crate) struct Report {
    parts: Map<String, Value>,
    text: String,
}

/// Medians of one cell.
struct Cell {
    cpu: f64,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let machine = machine::describe();
        let peers = ["--show", "nginx", "haproxy", "nghttp2-client", "wrk"];
        let peers = command("dpkg-query", &peers).unwrap_or_default();
        let peers =
            peers.lines().map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ");
        let mut report = Self { parts: Map::new(), text: String::new() };
        let field = |name: &str| machine.get(name).map(Value::to_string).unwrap_or_default();
        let plain = |name: &str| field(name).trim_matches('"').to_owned();
        report.say(&format!(
            "{} processors ({}), Linux {}, load {} at the start; {peers}.",
            plain("processors"),
            plain("model"),
            plain("kernel"),
            plain("load"),
        ));
        report.parts.insert("machine".to_owned(), machine);
        report.parts.insert("peers".to_owned(), peers.into());
        report
    }

    pub(crate) fn load(&mut self, samples: &[(Scenario, Kind, Sample)]) {
        self.say("\n| load | server | CPU µs a request | of nginx | of haproxy | requests/s | p50 | p99 |");
        self.say("|---|---|--:|--:|--:|--:|--:|--:|");
        let mut cells = Vec::new();
        for scenario in Scenario::ALL {
            let cell = |kind| cell(samples, scenario, kind);
            let cpu = |kind| cell(kind).map_or(f64::NAN, |cell| cell.cpu);
            for kind in Kind::ALL {
                let Some(found) = cell(kind) else { continue };
                let ratio = |other| format!("{:.2}", found.cpu / cpu(other));
                self.say(&format!(
                    "| {} | {} | {:.1} | {} | {} | {} | {} | {} |",
                    scenario.name(),
                    kind.name(),
                    found.cpu,
                    ratio(Kind::Nginx),
                    ratio(Kind::Haproxy),
                    thousands(whole(found.per_second)),
                    shown(found.p50),
                    shown(found.p99),
                ));
                cells.push(
                    json!({ "load": scenario.name(), "server": kind.name(), "cpu_us": found.cpu }),
                );
            }
        }
        self.goals(samples);
        let raw = samples.iter().map(|(scenario, kind, sample)| {
            json!({ "load": scenario.name(), "server": kind.name(), "sample": sample.json() })
        });
        self.parts.insert("samples".to_owned(), raw.collect());
        self.parts.insert("medians".to_owned(), cells.into());
    }

    fn goals(&mut self, samples: &[(Scenario, Kind, Sample)]) {
        let goals = [
            ("h1 of nginx", Scenario::H1Small, Kind::Nginx, 1.0),
            ("h2 of haproxy", Scenario::H2Small, Kind::Haproxy, 1.0),
            ("a new handshake of nginx", Scenario::Handshake, Kind::Nginx, 0.7),
        ];
        self.say("\n| goal: CPU | at most | measured | |\n|---|--:|--:|---|");
        for (what, scenario, peer, at_most) in goals {
            let of = |kind| cell(samples, scenario, kind).map(|cell| cell.cpu);
            let Some((ours, theirs)) = of(Kind::Gateway).zip(of(peer)) else { continue };
            let ratio = ours / theirs;
            let verdict = if ratio <= at_most { "held" } else { "**missed**" };
            self.say(&format!("| {what} | {at_most} | {ratio:.2} | {verdict} |"));
        }
    }

    pub(crate) fn idle(&mut self, count: u32, held: &[(Kind, Held)]) {
        let count = thousands(count.into());
        self.say(&format!("\n| server | MiB after the load, no connection | MiB with {count} idle | KiB a connection |"));
        self.say("|---|--:|--:|--:|");
        let mib =
            |kib: u64| format!("{:.1}", f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0);
        for (kind, held) in held {
            let (without, with) = (mib(held.without), mib(held.with));
            self.say(&format!("| {} | {without} | {with} | {:.1} |", kind.name(), held.each()));
        }
        let all =
            held.iter().map(|(kind, held)| json!({ "server": kind.name(), "held": held.json() }));
        self.parts.insert("idle".to_owned(), all.collect());
    }

    /// Writes the JSON, and the document's part if one is named.
    pub(crate) fn write(self, file: &Path, document: Option<&Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(&Value::Object(self.parts))?;
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        let Some(document) = document else { return Ok(()) };
        let old = fs::read_to_string(document)
            .with_context(|| format!("reading {}", document.display()))?;
        let (before, rest) = old.split_once(BEGIN).context("the document has no place for it")?;
        let (_, after) = rest.split_once(END).context("the document has no place for it")?;
        fs::write(document, format!("{before}{BEGIN}\n{}\n{END}{after}", self.text))
            .with_context(|| format!("writing {}", document.display()))
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn cell(samples: &[(Scenario, Kind, Sample)], scenario: Scenario, kind: Kind) -> Option<Cell> {
    let mine: Vec<&Sample> = samples
        .iter()
        .filter(|(one, server, _)| (*one, *server) == (scenario, kind))
        .map(|(_, _, sample)| sample)
        .collect();
    let cpu = median(mine.iter().map(|sample| sample.cpu.as_secs_f64() * 1e6))?;
    let per_second = median(mine.iter().map(|sample| sample.per_second))?;
    let p50 = median(mine.iter().map(|sample| sample.p50.as_secs_f64()))?;
    let p99 = median(mine.iter().map(|sample| sample.p99.as_secs_f64()))?;
    let time = Duration::from_secs_f64;
    Some(Cell { cpu, per_second, p50: time(p50), p99: time(p99) })
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// For showing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is neither negative nor beyond what a machine serves"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
