//! Path templates: what routes match, and what rewrites and redirects are made from.

use crate::config::{fault::quoted, tree::Entry};

const PATH_BYTES: usize = 1024;

/// A template that a normalized path can match: the router compares segments as they stand.
pub(super) fn path(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let wrong = wrong_path(text);
    if let Some((what, instead)) = wrong {
        entry.refuse(format!("{} {what}", quoted(text)), instead);
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn wrong_path(text: &str) -> Option<(&'static str, &'static str)> {
    let Some(rest) = text.strip_prefix('/') else {
        return Some(("does not start with /", "write it from /"));
    };
    if text.len() > PATH_BYTES {
        return Some(("is too long", "write 1024 bytes at most"));
    }
    let segments: Vec<&str> = rest.split('/').collect();
    let last = segments.len() - 1;
    let mut names: Vec<&str> = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        // The last one may be empty: `/` and a trailing slash.
        if segment.is_empty() && i < last {
            return Some(("has an empty segment", "write each slash once"));
        }
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if let Some(wrong) = wrong_literal(segment) {
                return Some(wrong);
            }
            continue;
        };
        let name = match name.strip_prefix('*') {
            Some(_) if i < last => {
                return Some(("has {*…} before its end", "write it as the last segment"));
            }
            Some(name) => name,
            None => name,
        };
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(lawful) {
            return Some((
                "has a badly named segment",
                "write {name} or {*name}, letters, digits and _",
            ));
        }
        if names.contains(&name) {
            return Some(("names two segments alike", "give each its own name"));
        }
        names.push(name);
    }
    None
}

fn wrong_literal(segment: &str) -> Option<(&'static str, &'static str)> {
    if segment == "." || segment == ".." {
        return Some(("has a dot segment", "write where it leads to"));
    }
    // RFC 3986 pchar without escapes, which the proxy has decoded before it looks for a route.
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    if segment.contains(['{', '}']) {
        return Some(("mixes {name} with other text", "let {name} be a segment of its own"));
    }
    (!segment.bytes().all(lawful)).then_some((
        "has a character that no plain path has",
        "write a path without escapes and query",
    ))
}

/// A template made from the parameters of another: `{name}` and `{*name}` as that one has them.
pub(super) fn made_from(entry: &Entry<'_>, text: &str, source: &str) -> bool {
    if let Some((what, instead)) = wrong_path(text) {
        entry.refuse(format!("{} {what}", quoted(text)), instead);
        return false;
    }
    let known: Vec<&str> = source.split('/').collect();
    let mut parameters = text.split('/').filter(|segment| segment.starts_with('{'));
    let Some(stranger) = parameters.find(|segment| !known.contains(segment)) else { return true };
    entry.refuse(
        format!("{} is no segment of the route's path", quoted(stranger)),
        format!("use those of {}, written alike", quoted(source)),
    );
    false
}
