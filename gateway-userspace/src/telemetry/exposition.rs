//! A strict reader of the `OpenMetrics` text, for tests: what it refuses, a scraper would.

use std::collections::{BTreeMap, BTreeSet};

/// One family of the exposition.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) labels: BTreeSet<String>,
    samples: BTreeMap<String, f64>,
}

/// All families by name. Panics where the text breaks the format, saying the line.
pub(super) fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').expect(line);
            let (name, value) = rest.split_once(' ').expect(line);
            if keyword == "HELP" {
                assert!(families.insert(name.to_owned(), Family::default()).is_none(), "{line}");
                name.clone_into(&mut current);
            }
            assert_eq!(name, current, "{line}");
            let family = families.get_mut(name).expect(line);
            match keyword {
                "HELP" => value.clone_into(&mut family.help),
                "TYPE" => value.clone_into(&mut family.kind),
                "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                other => panic!("unknown keyword {other}: {line}"),
            }
        } else {
            sample(line, &current, families.get_mut(&current).expect(line));
        }
    }
    families.values().for_each(check_histograms);
    families
}

/// The value of one sample, by its name and labels as they stand in the text.
pub(super) fn value(text: &str, series: &str) -> Option<f64> {
    parse(text).values().find_map(|family| family.samples.get(series).copied())
}

fn sample(line: &str, name: &str, family: &mut Family) {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (full, labels) = series.split_once('{').unwrap_or((series, "}"));
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("unknown type {other}: {line}"),
    };
    let suffix = full.strip_prefix(name).expect(line);
    assert!(suffixes.contains(&suffix), "{line}");
    assert!(full.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
    for label in label_names(labels, line) {
        if label != "le" {
            family.labels.insert(label);
        }
    }
    let value: f64 = value.parse().expect(line);
    assert!(value >= 0.0, "{line}");
    assert!(family.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
}

/// Reads `name="value",name="value"}` with its escapes.
fn label_names(mut rest: &str, line: &str) -> Vec<String> {
    let mut names = Vec::new();
    while rest != "}" {
        let (name, value) = rest.split_once("=\"").expect(line);
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        names.push(name.to_owned());
        let end = end_of_value(value).expect(line);
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    names
}

/// Where the first quote stands that no backslash escapes.
fn end_of_value(value: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, character) in value.char_indices() {
        match (escaped, character) {
            (false, '"') => return Some(index),
            (true, '\\' | '"' | 'n') => escaped = false,
            (true, _) => return None,
            (false, _) => escaped = character == '\\',
        }
    }
    None
}

/// No bucket is above its histogram's count, and the last is equal to it.
fn check_histograms(family: &Family) {
    for (series, value) in &family.samples {
        let Some((name, rest)) = series.split_once("_bucket{le=\"") else { continue };
        let (bound, labels) = rest.split_once('"').expect(series);
        let count = family.samples[&format!("{name}_count{{{}", labels.trim_start_matches(','))];
        assert!(*value <= count && (bound != "+Inf" || *value >= count), "{series}");
    }
}
