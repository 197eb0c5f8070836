//! What must be written down: every reason, every configuration key, every decision in order.

use super::{Fault, Source};

const REASONS: &str = "gateway-common/src/reason.rs";
const REASONS_DOCUMENT: &str = "docs/reasons.md";
const MODEL: &str = "gateway-userspace/src/config/model/";
const REFERENCE: &str = "docs/reference.toml";
const DECISIONS: &str = "docs/adr/";

pub(super) fn check(sources: &[Source], faults: &mut Vec<Fault>) {
    reasons(sources, faults);
    settings(sources, faults);
    decisions(sources, faults);
}

/// Each reason's label stands in code quotes in the document.
fn reasons(sources: &[Source], faults: &mut Vec<Fault>) {
    let (Some(table), Some(document)) =
        (want(sources, REASONS, faults), want(sources, REASONS_DOCUMENT, faults))
    else {
        return;
    };
    for (number, line) in table.text.lines().enumerate() {
        if let Some(name) = reason_label(line)
            && !document.text.contains(&format!("`{name}`"))
        {
            let what = format!("reason `{name}` is not explained in {REASONS_DOCUMENT}");
            faults.push(Fault { file: REASONS.to_owned(), line: number + 1, what });
        }
    }
}

/// The label of a table row: `BanHost = 10, "ban_host", Packet, …`.
fn reason_label(line: &str) -> Option<&str> {
    let (variant, rest) = line.trim().split_once(" = ")?;
    let (number, rest) = rest.split_once(", \"")?;
    let row = variant.chars().all(char::is_alphanumeric) && number.parse::<u16>().is_ok();
    row.then(|| rest.split_once('"').map(|(label, _)| label)).flatten()
}

/// Each field of the tables of settings is a key of the reference file. The unit tests of
/// `config` hold the exact list both ways; this finds a field nobody can set.
fn settings(sources: &[Source], faults: &mut Vec<Fault>) {
    let Some(reference) = want(sources, REFERENCE, faults) else { return };
    let model = || sources.iter().filter(|source| source.path.starts_with(MODEL));
    let tables = ["Kernel", "Capacity", "Bans", "Guard", "Admin", "Log", "Proxy", "Timeouts"];
    for table in tables {
        let head = format!("pub struct {table} {{");
        let Some(file) = model().find(|source| source.text.contains(&head)) else {
            let what = format!("no file here has the settings `{table}`");
            faults.push(Fault { file: MODEL.to_owned(), line: 1, what });
            continue;
        };
        for (line, field) in fields(&file.text, table) {
            // Sizes carry their unit in the file.
            let key = field.strip_suffix("_bytes").unwrap_or(field);
            let known = reference.text.lines().any(|line| sets(line, key));
            // Switched by the command line, and taken from the listeners: no keys.
            if !known && !matches!(field, "enabled" | "listening") {
                let what = format!("setting `{field}` is not in {REFERENCE}");
                faults.push(Fault { file: file.path.clone(), line, what });
            }
        }
    }
}

/// Public fields of one struct, with their lines.
fn fields<'a>(text: &'a str, name: &str) -> Vec<(usize, &'a str)> {
    let head = format!("pub struct {name} {{");
    let lines = text.lines().enumerate().skip_while(|(_, line)| *line != head).skip(1);
    let body = lines.take_while(|(_, line)| *line != "}");
    body.filter_map(|(number, line)| {
        let (field, _) = line.trim().strip_prefix("pub ")?.split_once(':')?;
        Some((number + 1, field))
    })
    .collect()
}

/// Whether a line of the reference sets the key, set or commented out, as a table or inline.
fn sets(line: &str, key: &str) -> bool {
    let line = line.trim_start_matches(['#', ' ', '[']);
    let starts = |text: &str| {
        let rest = text.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    starts(line)
        || line.split(['{', ',']).any(starts)
        || line.split(']').next().and_then(|table| table.rsplit('.').next()) == Some(key)
}

/// `0001-title.md`, `0002-…`: no gap and no number twice.
fn decisions(sources: &[Source], faults: &mut Vec<Fault>) {
    let mut names: Vec<&str> =
        sources.iter().filter_map(|source| source.path.strip_prefix(DECISIONS)).collect();
    names.sort_unstable();
    for (position, name) in names.iter().enumerate() {
        let number = name.split('-').next().unwrap_or_default();
        if number != format!("{:04}", position + 1) {
            let what = format!("decision number {:04} is missing before this one", position + 1);
            faults.push(Fault { file: format!("{DECISIONS}{name}"), line: 1, what });
            return;
        }
    }
}

fn want<'a>(sources: &'a [Source], path: &str, faults: &mut Vec<Fault>) -> Option<&'a Source> {
    let found = sources.iter().find(|source| source.path == path);
    if found.is_none() {
        let what = "this file is missing".to_owned();
        faults.push(Fault { file: path.to_owned(), line: 1, what });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_labels_fields_and_keys() {
        let row = r#"    BanHost = 10, "ban_host", Packet, 0, 0, "Source address is banned";"#;
        assert_eq!(reason_label(row), Some("ban_host"));
        assert_eq!(reason_label("let number = 10;"), None);
        let model = "pub struct Bans {\n    /// Why.\n    pub first: Duration,\n}\n";
        assert_eq!(fields(model, "Bans"), [(3, "first")]);
        assert!(sets("# first = \"1m\"", "first"));
        assert!(sets("packets = { rate = \"1/s\", burst = 2 }", "burst"));
        assert!(sets("[proxy.timeouts]", "timeouts"));
        assert!(!sets("first_byte = \"10s\"", "first"));
    }
}
