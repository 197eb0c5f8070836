//! A route's `openapi`: a file, or a table.

use crate::config::{
    model::{OpenApi, Unknown},
    tree::{Entry, Section},
};

const DOCUMENTS: usize = 32;

const UNKNOWN: [(&str, Unknown); 3] =
    [("refuse", Unknown::Refuse), ("remove", Unknown::Remove), ("pass", Unknown::Pass)];

pub(super) fn read(section: &mut Section<'_>) -> Option<OpenApi> {
    let entry = section.get("openapi")?;
    let Some(mut table) = entry.table() else {
        let documents = vec![entry.path()?];
        return Some(OpenApi { documents, base: None, unknown: Unknown::Refuse, answers: false });
    };
    let listed = table.need("documents", "[\"/etc/gateway/api/payments.yaml\"]");
    let listed = listed.map(|entry| entry.list(DOCUMENTS)).unwrap_or_default();
    if listed.is_empty() {
        table.refuse_inside("documents", "names none", "name the contract's file first");
    }
    let documents = listed.iter().filter_map(Entry::path).collect();
    let base = table.get("base").and_then(|entry| base(&entry));
    let unknown = table.choice("unknown", Unknown::Refuse, &UNKNOWN);
    let answers = table.flag("answers", false);
    table.finish();
    Some(OpenApi { documents, base, unknown, answers })
}

fn base(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if text.is_empty() || text.starts_with('/') {
        return Some(text.to_owned());
    }
    entry.refuse("is no path", "write one such as \"/v1\", or \"\" for none");
    None
}
