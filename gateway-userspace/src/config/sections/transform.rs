//! A route's `request_headers`, `response_headers`, `status`, `errors` and `json`.

use http::{HeaderName, HeaderValue};

use super::reserved;
use crate::config::{
    defaults,
    fault::quoted,
    model::{Errors, Fields, JsonEdit, Pointer, Transform},
    tree::{Entry, Section},
};

const MOST: usize = 64;

/// Besides those that are the gateway's: what says how a body is packed, or who sent it.
const KEPT: [&str; 3] = ["content-encoding", "x-forwarded-port", "x-real-ip"];

pub(super) fn read(section: &mut Section<'_>) -> Transform {
    let default = defaults::transform();
    let choices = [("off", Errors::None), ("5xx", Errors::Server), ("4xx", Errors::All)];
    Transform {
        request: fields(section.section("request_headers")),
        response: fields(section.section("response_headers")),
        statuses: section.get("status").map(|entry| statuses(&entry)).unwrap_or_default(),
        errors: section.choice("errors", default.errors, &choices),
        json: section.get("json").and_then(|entry| json(&entry)),
    }
}

fn fields(mut section: Section<'_>) -> Fields {
    let remove = section.get("remove").map(|entry| entry.list(MOST)).unwrap_or_default();
    let remove = remove.iter().filter_map(|entry| name(entry, entry.text()?)).collect();
    let rename = named(&mut section, "rename", |entry| name(entry, entry.text()?));
    let set = named(&mut section, "set", value);
    let add = named(&mut section, "add", value);
    section.finish();
    Fields { remove, rename, set, add }
}

fn named<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&Entry<'_>) -> Option<T>,
) -> Vec<(HeaderName, T)> {
    let Some(table) = section.get(key).and_then(|entry| entry.section()) else { return Vec::new() };
    let entries = table.entries();
    if entries.len() > MOST {
        section.refuse_inside(key, "has too many entries", format!("write {MOST} at most"));
        return Vec::new();
    }
    entries.iter().filter_map(|(text, entry)| name(entry, text).zip(read(entry))).collect()
}

fn name(entry: &Entry<'_>, text: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    let name =
        name.filter(|name| !reserved::is_ours(name.as_str()) && !KEPT.contains(&name.as_str()));
    if name.is_none() {
        let what = format!("{} is no field that a route can change", quoted(text));
        entry.refuse(
            what,
            "write the name of a field that does not frame messages and is not the gateway's own",
        );
    }
    name
}

fn value(entry: &Entry<'_>) -> Option<HeaderValue> {
    let text = entry.text()?;
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        entry.refuse(format!("{} is no value of a field", quoted(text)), "write visible ASCII");
    }
    value
}

fn statuses(entry: &Entry<'_>) -> Vec<(u16, u16)> {
    let Some(table) = entry.section() else { return Vec::new() };
    let pair = |(text, entry): &(&str, Entry<'_>)| {
        let from = text.parse().ok().filter(|from| (200..=599).contains(from));
        if from.is_none() {
            let what = format!("{} is no status", quoted(text));
            entry.refuse(what, "write one from 200 to 599");
        }
        // One without a body cannot stand for one that has it.
        let to: Option<u16> = entry.whole(200..=599);
        if to.is_some_and(|to| [204, 205, 304].contains(&to)) {
            entry.refuse("has no body", "write another status");
        }
        from.zip(to)
    };
    table.entries().iter().take(MOST).filter_map(pair).collect()
}

fn json(entry: &Entry<'_>) -> Option<JsonEdit> {
    let mut section = entry.section()?;
    let select = pointers(&mut section, "select");
    let remove = pointers(&mut section, "remove");
    let redact = pointers(&mut section, "redact");
    let rename = renames(&mut section);
    let bytes = section.size("size", defaults::JSON_BYTES, 1..=64 << 20);
    let pass = section.choice("otherwise", false, &[("refuse", false), ("pass", true)]);
    section.finish();
    Some(JsonEdit { select, remove, redact, rename, bytes, pass })
}

fn pointers(section: &mut Section<'_>, key: &'static str) -> Vec<Pointer> {
    let entries = section.get(key).map(|entry| entry.list(MOST)).unwrap_or_default();
    entries.iter().filter_map(|entry| pointer(entry, entry.text()?)).collect()
}

fn renames(section: &mut Section<'_>) -> Vec<(Pointer, String)> {
    let Some(table) = section.get("rename").and_then(|entry| entry.section()) else {
        return Vec::new();
    };
    let pair = |(text, entry): &(&str, Entry<'_>)| {
        pointer(entry, text).zip(entry.text().map(str::to_owned))
    };
    table.entries().iter().take(MOST).filter_map(pair).collect()
}

fn pointer(entry: &Entry<'_>, text: &str) -> Option<Pointer> {
    let pointer = Pointer::parse(text);
    if pointer.is_none() {
        let what = format!("{} is no JSON pointer", quoted(text));
        entry.refuse(what, "write one such as \"/card/number\" or \"/items/*/secret\"");
    }
    pointer
}
