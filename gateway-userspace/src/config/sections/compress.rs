//! `compress` of `[proxy]` and of routes; a route's `encoded` and `encoded_ratio`.

use crate::config::{
    defaults,
    fault::quoted,
    model::{Coding, Compress, Encoded},
    tree::{Entry, Section},
};

const TYPES: usize = 64;

const CODINGS: [(&str, Coding); 3] =
    [("zstd", Coding::Zstd), ("br", Coding::Brotli), ("gzip", Coding::Gzip)];

/// `true`, `false` or a table.
pub(super) fn read(section: &mut Section<'_>, default: Option<&Compress>) -> Option<Compress> {
    let Some(entry) = section.get("compress") else { return default.cloned() };
    if entry.is_flag() {
        let on = entry.flag().unwrap_or(false);
        return on.then(|| default.cloned().unwrap_or_else(defaults::compress));
    }
    table(&entry)
}

fn table(entry: &Entry<'_>) -> Option<Compress> {
    let mut section = entry.section()?;
    let default = defaults::compress();
    let codings = section.get("codings").map_or(default.codings, |entry| codings(&entry));
    let types = section.get("types").map_or(default.types, |entry| types(&entry));
    let bytes = section.size("size", default.bytes, 0..=1 << 30);
    let credentials = section.flag("credentials", default.credentials);
    section.finish();
    Some(Compress { codings, types, bytes, credentials })
}

fn codings(entry: &Entry<'_>) -> Vec<Coding> {
    let mut codings = Vec::new();
    for entry in entry.list(CODINGS.len()) {
        let Some(coding) = entry.choice(&CODINGS) else { continue };
        if codings.contains(&coding) {
            entry.refuse("is listed twice", "write it once");
        }
        codings.push(coding);
    }
    codings
}

fn types(entry: &Entry<'_>) -> Vec<String> {
    entry.list(TYPES).iter().filter_map(media_type).collect()
}

fn media_type(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let inner = text.strip_prefix('*').unwrap_or(text);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._!#$&^".contains(&byte);
    if inner.is_empty() || !inner.bytes().all(lawful) || inner.starts_with("application/grpc") {
        let what = format!("{} is no media type that can be compressed", quoted(text));
        entry.refuse(what, "write one such as \"application/json\", \"text/*\" or \"*+json\"");
        return None;
    }
    Some(text.to_ascii_lowercase())
}

/// What becomes of request bodies that are encoded.
pub(super) fn encoded(section: &mut Section<'_>) -> Encoded {
    let ratio = section.whole("encoded_ratio", defaults::RATIO, 2..=10_000);
    let choices = [
        ("pass", Encoded::Pass),
        ("decode", Encoded::Decode { ratio }),
        ("refuse", Encoded::Refuse),
    ];
    section.choice("encoded", Encoded::Pass, &choices)
}
