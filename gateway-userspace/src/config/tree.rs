//! Reads the parsed TOML tree key by key. Whatever is wrong is noted and reading goes on, so that
//! one run finds every fault; a key nobody asked for is unknown.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    fault::{FaultLog, nearest, quoted},
    model::Rate,
    prefix, units,
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

/// One value.
pub(super) struct Entry<'a> {
    log: &'a FaultLog<'a>,
    pub(super) path: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
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

impl<'a> Entry<'a> {
    fn new(log: &'a FaultLog<'a>, path: String, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { log, path, span: value.span(), value: value.get_ref() }
    }

    pub(super) fn refuse(&self, what: impl Into<String>, instead: impl Into<String>) {
        self.log.note(self.span.start, &self.path, what, instead);
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(self.value, DeValue::String(value) if value == text)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        if let DeValue::String(text) = self.value {
            return Some(text);
        }
        self.wrong_type("text in quotes")
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let DeValue::Boolean(flag) = self.value {
            return Some(*flag);
        }
        self.wrong_type("true or false")
    }

    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let DeValue::Integer(number) = self.value else {
            return self.wrong_type("a whole number, without quotes");
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.and_then(|value| T::try_from(value).ok());
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let instead = format!("write a number from {} to {}", range.start(), range.end());
            self.refuse(format!("{} is out of range", quoted(number.as_str())), instead);
        }
        value
    }

    pub(super) fn time(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let time = self.parse(units::duration, "a time in quotes such as \"30s\"")?;
        if range.contains(&time) {
            return Some(time);
        }
        let from = units::write_duration(*range.start());
        let to = units::write_duration(*range.end());
        self.refuse(
            format!("\"{}\" is out of range", units::write_duration(time)),
            format!("write a time from {from} to {to}"),
        );
        None
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let size = self.parse(units::size, "a size in quotes such as \"1MiB\"")?;
        if range.contains(&size) {
            return Some(size);
        }
        let from = units::write_size(*range.start());
        let to = units::write_size(*range.end());
        self.refuse(
            format!("\"{}\" is out of range", units::write_size(size)),
            format!("write a size from {from} to {to}"),
        );
        None
    }

    pub(super) fn rate(&self) -> Option<(u32, Duration)> {
        self.parse(units::rate, "a rate in quotes such as \"50/s\"")
    }

    /// An address or prefix, with IPv4 written as IPv4 and no bits beyond the prefix.
    pub(super) fn prefix(&self) -> Option<IpNet> {
        let text = self.text()?;
        match prefix::parse(text) {
            Ok(net) => Some(net),
            Err(error) => {
                self.refuse(format!("{} {}", quoted(text), error.what()), error.instead());
                None
            }
        }
    }

    pub(super) fn socket(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        let socket: Option<SocketAddr> = text.parse().ok();
        let socket = socket.filter(|socket| socket.port() != 0);
        if socket.is_none() {
            self.refuse(
                format!("{} is not an address with a port", quoted(text)),
                "write one such as \"0.0.0.0:443\" or \"[::]:443\"",
            );
        }
        let socket = socket?;
        let plain = SocketAddr::new(socket.ip().to_canonical(), socket.port());
        if socket.ip() == plain.ip() {
            return Some(socket);
        }
        self.refuse(format!("\"{socket}\" is IPv4 in disguise"), format!("write \"{plain}\""));
        None
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| quoted(name)).collect();
        let names = names.join(" or ");
        let DeValue::String(text) = self.value else { return self.wrong_type(&names) };
        let found = choices.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            self.refuse(format!("{} is not known here", quoted(text)), format!("write {names}"));
        }
        found
    }

    /// An absolute path: a relative one would mean another file for each process.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.starts_with('/') && text.len() < 4096 && !text.contains('\0') {
            return Some(PathBuf::from(text));
        }
        self.refuse(
            format!("{} is not an absolute path", quoted(text)),
            "write the whole path, from /",
        );
        None
    }

    pub(super) fn section(&self) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value else {
            return self.wrong_type("a table of keys");
        };
        let (path, at) = (self.path.clone(), self.span.start);
        Some(Section { log: self.log, path, at, table: Some(table), known: Vec::new() })
    }

    /// The values of a list; nothing if it is none or has too many.
    pub(super) fn list(&self, most: usize) -> Vec<Entry<'a>> {
        let DeValue::Array(values) = self.value else {
            self.wrong_type::<()>("a list in square brackets");
            return Vec::new();
        };
        if values.len() > most {
            let what = format!("has {} entries", values.len());
            self.refuse(what, format!("write {most} at most"));
            return Vec::new();
        }
        let entry = |(i, value)| Entry::new(self.log, format!("{}[{}]", self.path, i + 1), value);
        values.iter().enumerate().map(entry).collect()
    }

    fn parse<T>(&self, parser: fn(&str) -> Result<T, units::UnitError>, wanted: &str) -> Option<T> {
        let DeValue::String(text) = self.value else { return self.wrong_type(wanted) };
        match parser(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.to_string();
                let (what, instead) = error.split_once("; ").unwrap_or((&error, "write another"));
                self.refuse(format!("{} is {what}", quoted(text)), instead);
                None
            }
        }
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(format!("is {found}"), format!("write {wanted}"));
        None
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
