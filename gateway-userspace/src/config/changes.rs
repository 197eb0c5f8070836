//! What differs between two configurations, entry by entry and key by key, and how each difference
//! comes into force. `gateway diff` shows it, `gateway reload` goes by it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::{Table, Value};

/// How a change comes into force, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// In the running proxy: connections live on.
    Live,
    /// In a fresh proxy on the same sockets; the one before finishes what it has.
    FreshProxy,
    /// In the kernel, for a while, until it is confirmed.
    Trial,
    /// In another guard.
    Restart,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The table, such as `kernel` or `route`.
    pub section: String,
    /// Which one, where there are several; empty where there is one.
    pub entry: String,
    /// The key, with those above it; empty where a whole entry comes or goes.
    pub key: String,
    pub old: Option<String>,
    pub new: Option<String>,
    pub how: How,
}

/// Keys that say which entry of a section it is, the first that is there.
const NAMES: [&str; 3] = ["name", "address", "path"];

/// `[kernel]`: what the running filter cannot change.
const FIXED: [&str; 6] = ["interfaces", "attach", "trusted_proxies", "shared", "capacity", "pins"];

/// In whose names a value is not shown.
const SECRET: [&str; 6] = ["secret", "password", "passphrase", "token", "credential", "api_key"];

/// Every difference between two texts that were read and found good.
pub fn between(old: &str, new: &str) -> Vec<Change> {
    let (old, new) = (entries(old), entries(new));
    let places: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changes =
        places.into_iter().flat_map(|place| compared(place, old.get(place), new.get(place)));
    changes.collect()
}

impl Change {
    /// Where it is, as one would say it.
    pub fn place(&self) -> String {
        let entry = if self.entry.is_empty() { "" } else { " " };
        let key = if self.key.is_empty() { "" } else { "." };
        format!("{}{entry}{}{key}{}", self.section, self.entry, self.key)
    }
}

/// Section and entry.
type Place = (String, String);

/// A table's values by their dotted keys.
type Keys = BTreeMap<String, Value>;

fn entries(text: &str) -> BTreeMap<Place, Keys> {
    let mut found = BTreeMap::new();
    // It was read before; a fault here would be a table without entries.
    for (section, value) in text.parse::<Table>().unwrap_or_default() {
        if let Value::Array(list) = value {
            for value in list {
                add(&mut found, &section, value);
            }
        } else {
            found.insert((section, String::new()), flat(value));
        }
    }
    found
}

/// An entry under its name; a second one of that name gets a number.
fn add(found: &mut BTreeMap<Place, Keys>, section: &str, value: Value) {
    let keys = flat(value);
    let name = NAMES.iter().find_map(|key| keys.get(*key)?.as_str()).unwrap_or("").to_owned();
    let mut place = (section.to_owned(), name.clone());
    let mut number = 1;
    while found.contains_key(&place) {
        number += 1;
        place.1 = format!("{name} #{number}");
    }
    found.insert(place, keys);
}

fn flat(value: Value) -> Keys {
    let mut keys = Keys::new();
    flatten("", value, &mut keys);
    keys
}

fn flatten(prefix: &str, value: Value, keys: &mut Keys) {
    let Value::Table(table) = value else {
        keys.insert(prefix.to_owned(), value);
        return;
    };
    for (key, value) in table {
        let dotted = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        flatten(&dotted, value, keys);
    }
}

fn compared(place: &Place, old: Option<&Keys>, new: Option<&Keys>) -> Vec<Change> {
    let (section, entry) = place;
    let change = |key: &str, old, new, how| Change {
        section: section.clone(),
        entry: entry.clone(),
        key: key.to_owned(),
        old,
        new,
        how,
    };
    if !entry.is_empty() && (old.is_none() || new.is_none()) {
        return vec![change("", old.map(whole), new.map(whole), how(section, ""))];
    }
    let none = Keys::new();
    let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |key: &&String| old.get(*key) != new.get(*key);
    let shown = |keys: &Keys, key: &str| keys.get(key).map(|value| shown(key, value));
    keys.into_iter()
        .filter(differs)
        .map(|key| change(key, shown(old, key), shown(new, key), how(section, key)))
        .collect()
}

/// An entry in one line.
fn whole(keys: &Keys) -> String {
    let keys = keys.iter().map(|(key, value)| format!("{key} = {}", shown(key, value)));
    keys.collect::<Vec<_>>().join(", ")
}

/// Secrets are to be in files, and a file is named here; one that stands in the text is not repeated.
fn shown(key: &str, value: &Value) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let names_a_file = last.ends_with("_file") || last.ends_with("_url");
    let secret = SECRET.iter().any(|word| last.contains(word)) && value.is_str() && !names_a_file;
    if secret {
        return "(not shown)".to_owned();
    }
    without_credentials(&value.to_string())
}

/// `scheme://user:password@host` without what stands before the host.
fn without_credentials(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        let end = behind.find(['/', '"', ' ', '?', '#']).unwrap_or(behind.len());
        let (authority, after) = behind.split_at_checked(end).unwrap_or((behind, ""));
        let host = authority.rsplit_once('@').map(|(_, host)| host);
        shown.extend([before, "://"]);
        shown.push_str(&host.map_or(authority.to_owned(), |host| format!("(not shown)@{host}")));
        rest = after;
    }
    shown + rest
}

fn how(section: &str, key: &str) -> How {
    let first = key.split('.').next().unwrap_or(key);
    match (section, first) {
        ("guard", "watch") => How::Live,
        ("guard", _) | ("bans", "coverage" | "sources") => How::Restart,
        ("kernel", fixed) if FIXED.contains(&fixed) => How::Restart,
        ("kernel", _) => How::Trial,
        ("admin" | "log", _) | ("proxy", "workers") | ("acme", "http") => How::FreshProxy,
        _ => How::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(old: &str, new: &str) -> Vec<(String, How)> {
        between(old, new).into_iter().map(|change| (change.place(), change.how)).collect()
    }

    #[test]
    fn each_kind_of_change_has_its_place_and_its_way() {
        let old = "[kernel]\nsyns = \"off\"\ncapacity = { hosts = 5 }\n[proxy]\nworkers = 1\nrequests = 5\n\
                   [[route]]\nname = \"a\"\npath = \"/a\"\n[[route]]\nname = \"gone\"\npath = \"/g\"\n";
        let new = "[kernel]\ncapacity = { hosts = 6 }\n[guard]\nstate = \"/s\"\n[proxy]\nworkers = 2\nrequests = 6\n\
                   [[route]]\nname = \"a\"\npath = \"/b\"\n[[route]]\nname = \"new\"\npath = \"/n\"\n";
        let expected = [
            ("guard.state", How::Restart),
            ("kernel.capacity.hosts", How::Restart),
            ("kernel.syns", How::Trial),
            ("proxy.requests", How::Live),
            ("proxy.workers", How::FreshProxy),
            ("route a.path", How::Live),
            ("route gone", How::Live),
            ("route new", How::Live),
        ];
        let expected: Vec<_> = expected.map(|(place, how)| (place.to_owned(), how)).into();
        assert_eq!(places(old, new), expected);
        let changes = between(old, new);
        assert_eq!(changes[5].old.as_deref(), Some("\"/a\""));
        assert_eq!((changes[6].new.as_deref(), changes[7].old.as_deref()), (None, None));
    }

    #[test]
    fn order_comments_and_form_are_no_difference() {
        let old = "[kernel]\nsyns = \"off\" # why\nevents = 5\n[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b\"";
        let new = "kernel = { events = 5, syns = \"off\" }\n[[route]]\npath = \"/b\"\n[[route]]\npath = \"/a\"";
        assert_eq!(between(old, new), []);
        assert_eq!(between(new, new), []);
    }

    #[test]
    fn a_second_entry_of_a_name_is_another_entry() {
        let one = "[[route]]\npath = \"/a\"\n";
        assert_eq!(places(one, &one.repeat(2)), [("route /a #2".to_owned(), How::Live)]);
    }

    #[test]
    fn secrets_are_not_shown_and_their_files_are() {
        let new = "[[supplier]]\nname = \"a\"\n[supplier.oauth]\nclient_secret = \"s3cr3t\"\nkey_file = \"/k\"\n\
                   token_url = \"https://u:s3cr3t@auth.example/t\"\ntargets = [\"http://x:s3cr3t@b\"]";
        let shown = format!("{:?}", between("", new));
        assert!(!shown.contains("s3cr3t") && shown.contains("/k"), "{shown}");
        assert!(shown.contains("auth.example/t"), "{shown}");
        let old = "[[supplier]]\nname = \"a\"\n[supplier.oauth]\nclient_secret = \"other\"\n";
        let shown = format!("{:?}", between(old, new));
        assert!(!shown.contains("other") && shown.contains("client_secret"), "{shown}");
    }
}
