//! A route's `headers` and `query`: `{ x-version = "2", x-beta = true, x-tag = { prefix = "a" } }`.

use std::fmt::Write as _;

use http::HeaderName;

use crate::config::{
    fault::quoted,
    matching::{Conditions, Test},
    tree::{Entry, Section},
};

/// Conditions of one kind in one route.
const MOST: usize = 16;

/// Bytes of a name or value.
const BYTES: usize = 256;

/// Fields that the proxy reads, writes or removes itself: no two parties agree on them.
const OURS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade"];

pub(super) fn read(section: &mut Section<'_>) -> Conditions {
    let headers = named(section, "headers", |entry, name| {
        let field = HeaderName::from_bytes(name.as_bytes()).ok();
        let field = field.filter(|field| field.as_str() == name && !OURS.contains(&name));
        if field.is_none() {
            let what = format!("{} is no field that a route can ask for", quoted(name));
            entry.refuse(what, "write a field's name in lower case; hosts have a key of their own");
        }
        field
    });
    let query = named(section, "query", |entry, name| {
        if name.is_empty() {
            entry.refuse("\"\" is no name", "write the name of a query parameter");
        }
        Some(name.to_owned())
    });
    Conditions { headers, query }
}

/// What tells two routes of one place apart, for a route without a name.
pub(super) fn label(when: &Conditions) -> String {
    let mut label = String::new();
    let headers = when.headers.iter().map(|(name, test)| (name.as_str(), test));
    for (name, test) in headers.chain(when.query.iter().map(|(name, test)| (name.as_str(), test))) {
        // Writing to a string does not fail.
        let written = match test {
            Test::Absent => write!(label, " !{name}"),
            Test::Present => write!(label, " {name}"),
            Test::Prefix(prefix) => write!(label, " {name}={prefix}*"),
            Test::Exact(value) => write!(label, " {name}={value}"),
        };
        debug_assert!(written.is_ok());
    }
    label
}

fn named<N>(
    section: &mut Section<'_>,
    key: &'static str,
    name: impl Fn(&Entry<'_>, &str) -> Option<N>,
) -> Vec<(N, Test)> {
    let Some(table) = section.get(key).and_then(|entry| entry.section()) else { return Vec::new() };
    let entries = table.entries();
    if entries.len() > MOST {
        let what = format!("has {} entries", entries.len());
        section.refuse_inside(key, what, format!("write {MOST} at most"));
        return Vec::new();
    }
    let of_entry = |(text, entry): &(&str, Entry<'_>)| {
        let test = test(entry);
        name(entry, text).zip(test)
    };
    entries.iter().filter_map(of_entry).collect()
}

fn test(entry: &Entry<'_>) -> Option<Test> {
    if entry.is_flag() {
        return entry.flag().map(|there| if there { Test::Present } else { Test::Absent });
    }
    if !entry.is_table() {
        return value(entry).map(Test::Exact);
    }
    let mut section = entry.section()?;
    let prefix = section.need("prefix", "\"beta-\"").and_then(|entry| value(&entry));
    section.finish();
    prefix.map(Test::Prefix)
}

fn value(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if (1..=BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    entry.refuse(
        format!("{} is no value to compare with", quoted(text)),
        format!("write 1 to {BYTES} bytes without control characters"),
    );
    None
}
