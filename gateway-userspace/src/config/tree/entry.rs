//! One value of the tree: read as what is wanted, or a note of what it is instead.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use toml::{Spanned, de::DeValue};

use super::Section;
use crate::config::{
    fault::{FaultLog, quoted},
    prefix, units,
};

/// One value.
pub(in crate::config) struct Entry<'a> {
    log: &'a FaultLog<'a>,
    pub(super) path: String,
    span: Range<usize>,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        log: &'a FaultLog<'a>,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { log, path, span: value.span(), value: value.get_ref() }
    }

    pub(in crate::config) fn refuse(&self, what: impl Into<String>, instead: impl Into<String>) {
        self.log.note(self.span.start, &self.path, what, instead);
    }

    pub(in crate::config) fn is_text(&self, text: &str) -> bool {
        matches!(self.value, DeValue::String(value) if value == text)
    }

    pub(in crate::config) fn is_text_at_all(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(in crate::config) fn is_flag(&self) -> bool {
        matches!(self.value, DeValue::Boolean(_))
    }

    pub(in crate::config) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(in crate::config) fn text(&self) -> Option<&'a str> {
        if let DeValue::String(text) = self.value {
            return Some(text);
        }
        self.wrong_type("text in quotes")
    }

    pub(in crate::config) fn flag(&self) -> Option<bool> {
        if let DeValue::Boolean(flag) = self.value {
            return Some(*flag);
        }
        self.wrong_type("true or false")
    }

    pub(in crate::config) fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
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

    pub(in crate::config) fn time(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
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

    pub(in crate::config) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
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

    pub(in crate::config) fn rate(&self) -> Option<(u32, Duration)> {
        self.parse(units::rate, "a rate in quotes such as \"50/s\"")
    }

    /// An address or prefix, with IPv4 written as IPv4 and no bits beyond the prefix.
    pub(in crate::config) fn prefix(&self) -> Option<IpNet> {
        let text = self.text()?;
        match prefix::parse(text) {
            Ok(net) => Some(net),
            Err(error) => {
                self.refuse(format!("{} {}", quoted(text), error.what()), error.instead());
                None
            }
        }
    }

    pub(in crate::config) fn socket(&self) -> Option<SocketAddr> {
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

    pub(in crate::config) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
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
    pub(in crate::config) fn path(&self) -> Option<PathBuf> {
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

    /// The same, where it may be something else.
    pub(in crate::config) fn table(&self) -> Option<Section<'a>> {
        matches!(self.value, DeValue::Table(_)).then(|| self.section()).flatten()
    }

    pub(in crate::config) fn section(&self) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value else {
            return self.wrong_type("a table of keys");
        };
        let (path, at) = (self.path.clone(), self.span.start);
        Some(Section { log: self.log, path, at, table: Some(table), known: Vec::new() })
    }

    /// The values of a list; nothing if it is none or has too many.
    pub(in crate::config) fn list(&self, most: usize) -> Vec<Entry<'a>> {
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
