//! The tables people read and the JSON that machines do.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::{machine, ours, packets::Cell};

/// Results so far, printed as they come.
pub(crate) struct Report {
    parts: Map<String, Value>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        let machine = machine::describe();
        println!("machine: {machine}");
        let mut parts = Map::new();
        parts.insert("machine".to_owned(), machine);
        parts.insert("filter".to_owned(), ours::FEATURES.into());
        Self { parts }
    }

    /// The table of packets.
    pub(crate) fn packets(&mut self, cells: Vec<Cell>) {
        println!("\n| list | packet | sources | empty | gateway | xdp-filter | ratio |");
        println!("|---|---|---|--:|--:|--:|--:|");
        for cell in &cells {
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
