//! Reads the parsed TOML tree key by key. Whatever is wrong is noted and reading goes on, so that
//! one run finds every fault; a key nobody asked for is unknown.

mod entry;

use std::{
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) use entry::Entry;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fault::{FaultLog, nearest, quoted},
    model::Rate,
};

/// Known keys listed in a message when none is near.
const LISTED_KEYS: usize = 24;

/// A table, or a table that was left out.
pub(super) struct Section<'a> {
    log: &'a FaultLog<'a>,
    path: String,
    /// Where missing keys are reported.
    at: usize,
    table: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn root(log: &'a FaultLog<'a>, table: &'a DeTable<'a>) -> Self {
        Self { log, path: String::new(), at: 0, table: Some(table), known: Vec::new() }
    }

    /// The key's value. Asking makes the key a known one.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let found = self.table.and_then(|table| table.get(key));
        #[cfg(test)]
        self.log.asked.borrow_mut().push((self.path_of(key), found.is_some()));
        found.map(|value| Entry::new(self.log, self.path_of(key), value))
    }

    /// Like [`get`](Self::get), for a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, example: &str) -> Option<Entry<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.refuse_here(key, "is missing", format!("add {key} = {example}"));
        }
        found
    }

    /// A table inside this one, left out or not.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let path = self.path_of(key);
        let left_out = Self { log: self.log, path, at: self.at, table: None, known: Vec::new() };
        self.get(key).and_then(|entry| entry.section()).unwrap_or(left_out)
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str, most: usize) -> Vec<Self> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        if matches!(entry.value, DeValue::Table(_)) {
            entry.refuse("is a single table", format!("write [[{key}]]"));
            return Vec::new();
        }
        entry.list(most).iter().filter_map(Entry::section).collect()
    }

    /// All keys with their values, for tables whose keys are names of their own.
    pub(super) fn entries(&self) -> Vec<(&'a str, Entry<'a>)> {
        let entry = |(key, value): (&'a Spanned<_>, _)| {
            let key: &'a std::borrow::Cow<'a, str> = key.get_ref();
            (&**key, Entry::new(self.log, self.path_of(key), value))
        };
        self.table.into_iter().flatten().map(entry).collect()
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let what = format!("unknown key {}", quoted(name));
                self.log.note(key.span().start, &self.path, what, suggest(name, &self.known));
            }
        }
    }

    /// Whether nothing is wrong so far, in the whole text.
    pub(super) fn is_good(&self) -> bool {
        self.log.is_empty()
    }

    pub(super) fn refuse_here(
        &self,
        key: &str,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.log.note(self.at, &self.path_of(key), what, instead);
    }

    /// Notes a fault at the key's value if it is there, else at the table.
    pub(super) fn refuse_inside(
        &self,
        key: &str,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let value = self.table.and_then(|table| table.get(key));
        let at = value.map_or(self.at, |value| value.span().start);
        self.log.note(at, &self.path_of(key), what, instead);
    }

    /// Where this table stands, for [`line_of`](Self::line_of).
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Line of another place of the text; counted only when a message needs it.
    pub(super) fn line_of(&self, place: usize) -> usize {
        self.log.line(place)
    }

    pub(super) fn whole<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        self.get(key).and_then(|entry| entry.whole(range)).unwrap_or(default)
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.get(key).and_then(|entry| entry.flag()).unwrap_or(default)
    }

    pub(super) fn time(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.get(key).and_then(|entry| entry.time(range)).unwrap_or(default)
    }

    pub(super) fn size(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        self.get(key).and_then(|entry| entry.size(range)).unwrap_or(default)
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        self.get(key).and_then(|entry| entry.choice(choices)).unwrap_or(default)
    }

    pub(super) fn path(&mut self, key: &'static str, default: &Path) -> PathBuf {
        self.get(key).and_then(|entry| entry.path()).unwrap_or_else(|| default.to_owned())
    }

    /// A `{ rate = "50/s", burst = 100 }` table; a burst left out is the rate's number.
    pub(super) fn rate(&mut self, key: &'static str, default: Rate) -> Rate {
        if self.table.is_none_or(|table| !table.contains_key(key)) {
            #[cfg(test)]
            self.log.asked.borrow_mut().push((self.path_of(key), false));
            self.known.push(key);
            return default;
        }
        let mut inner = self.section(key);
        let rate = inner.rate_keys().unwrap_or(default);
        inner.finish();
        rate
    }

    /// True if the key is `"off"`, which stands where a table would.
    pub(super) fn is_off(&mut self, key: &'static str) -> bool {
        let off = self.table.and_then(|table| table.get(key));
        let off = off
            .is_some_and(|value| matches!(value.get_ref(), DeValue::String(text) if text == "off"));
        off && self.get(key).is_some()
    }

    /// The keys `rate` and `burst` of this table.
    pub(super) fn rate_keys(&mut self) -> Option<Rate> {
        let rate = self.need("rate", "\"50/s\"").and_then(|entry| entry.rate());
        let burst = self.get("burst").map(|entry| entry.whole(1..=u32::MAX));
        let (count, per) = rate?;
        Some(Rate { count, per, burst: burst.unwrap_or(Some(count))? })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// What to say about an unknown key.
fn suggest(name: &str, known: &[&'static str]) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean \"{near}\"?");
    }
    let mut names: Vec<&str> = known.to_vec();
    names.sort_unstable();
    names.truncate(LISTED_KEYS);
    format!("known here: {}", names.join(", "))
}
