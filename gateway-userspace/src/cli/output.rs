//! What people and scripts read: tables with nothing in them that could steer a terminal, JSON,
//! and one-line errors.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Every listing has this.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Output {
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

impl Output {
    /// Whether people read it.
    pub(super) fn is_table(self) -> bool {
        self.output == Format::Table
    }

    /// Prints `value` as JSON, or what `table` makes of it.
    pub(super) fn print<T: Serialize + ?Sized>(
        self,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            Format::Table => print(&table(value)),
            Format::Json => print(&json(value)?),
        }
    }
}

/// Prints text and a line end. A reader that has gone away (`gateway … | head`) is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_on(text).map(drop)
}

/// The same; false if the reader has gone away, and there is no use in more.
pub(super) fn print_on(text: &str) -> anyhow::Result<bool> {
    match write(text.as_bytes()).and_then(|()| write(b"\n")) {
        Ok(()) => Ok(true),
        Err(error) => unless_gone(error).map(|()| false),
    }
}

/// Prints bytes as they are.
pub(super) fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    write(bytes).or_else(unless_gone)
}

fn write(bytes: &[u8]) -> io::Result<()> {
    io::stdout().write_all(bytes)
}

fn unless_gone(error: io::Error) -> anyhow::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(anyhow::Error::new(error).context("writing to standard output"))
}

/// Prints a line of error or advice. If standard error is gone there is nobody left to tell.
pub(super) fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// An error and its causes in one line.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Libraries like to repeat their cause in their own text.
        if !line.contains(&cause) {
            let gap = if line.is_empty() { "" } else { ": " };
            line.push_str(gap);
            line.push_str(&cause);
        }
    }
    line.lines().map(escape).collect::<Vec<_>>().join(" ")
}

/// Columns under headings.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| escape(&cell)));
    }
    // The style pads each line with a space on both sides.
    let lines = table.lines().map(|l| l.strip_prefix(' ').unwrap_or(&l).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Text of strangers, without what steers a terminal: control characters, and the invisible ones
/// that turn the direction of writing.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Indented JSON. What steers a terminal and JSON lets stand is escaped as well.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<String> {
    safe(&serde_json::to_string_pretty(value)?)
}

/// JSON in one line.
pub(super) fn json_line<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<String> {
    safe(&serde_json::to_string(value)?)
}

fn safe(text: &str) -> anyhow::Result<String> {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' {
            // Writing to a String does not fail.
            write!(safe, "\\u{:04x}", u32::from(c))?;
        } else {
            safe.push(c);
        }
    }
    Ok(safe)
}

/// Seconds as people say them: the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A byte count as people say it.
pub(super) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fitting = units.iter().find(|(_, size)| count >= *size);
    fitting.map_or(format!("{count} B"), |(unit, size)| {
        let tenths = count.saturating_mul(10) / size;
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_json_cannot_steer_a_terminal() {
        let evil = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\nc";
        let table = table(["NOTE"], [[evil.to_owned()]]);
        assert!(table.lines().all(|line| !line.chars().any(char::is_control)), "{table:?}");
        assert!(!table.contains('\u{202e}'));
        assert_eq!(table.lines().count(), 2);
        let json = json(&[evil]).unwrap();
        assert!(!json.contains(['\u{1b}', '\u{9b}', '\u{7}']), "{json:?}");
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, [evil]);
    }

    #[test]
    fn spans_and_sizes_read_well() {
        assert_eq!(span(0), "0s");
        assert_eq!(span(59), "59s");
        assert_eq!(span(3600), "1h");
        assert_eq!(span(3661), "1h 1m");
        assert_eq!(span(3601), "1h");
        assert_eq!(span(90_061), "1d 1h");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
    }

    #[test]
    fn a_chain_is_one_line_without_repetition() {
        let error = anyhow::anyhow!("no such file\u{1b}").context("reading list.txt");
        assert_eq!(chain(&error), "reading list.txt: no such file\\u{1b}");
    }
}
