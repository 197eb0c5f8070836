//! What is wrong with a configuration: every fault at once, each with its place and what to write.

use std::{
    cell::{Cell, RefCell},
    error::Error,
    fmt,
};

/// Faults listed of one file; the rest are counted.
const LISTED: usize = 100;

/// Characters of a value that are repeated in a message.
const QUOTED: usize = 60;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The key's path, such as `route[2].limit.rate`; empty for a fault of the whole file.
    pub key: String,
    pub what: String,
    /// What to write or do; never empty.
    pub instead: String,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file's name.
    pub origin: String,
    /// In the order of the file; never empty.
    pub faults: Vec<Fault>,
    /// Found beyond those listed.
    pub unlisted: usize,
    /// The text is not TOML, so nothing behind its syntax was checked.
    pub syntax: bool,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: ", self.origin, fault.line, fault.column)?;
            if !fault.key.is_empty() {
                write!(f, "{}: ", fault.key)?;
            }
            write!(f, "{}; {}", fault.what, fault.instead)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n{}: {} more faults are not listed", self.origin, self.unlisted)?;
        }
        if self.syntax {
            write!(f, "\n{}: not TOML, so nothing else was checked yet", self.origin)?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// Gathers faults while a text is read.
pub(super) struct FaultLog<'t> {
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
    unlisted: Cell<usize>,
    /// Every key asked for, and whether it was there: what the reference file is held against.
    #[cfg(test)]
    pub(super) asked: RefCell<Vec<(String, bool)>>,
}

impl<'t> FaultLog<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            faults: RefCell::default(),
            unlisted: Cell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Notes a fault at byte `at`.
    pub(super) fn note(
        &self,
        at: usize,
        key: &str,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() >= LISTED {
            self.unlisted.set(self.unlisted.get().saturating_add(1));
            return;
        }
        let (line, column) = self.place(at);
        let (key, what, instead) = (key.to_owned(), what.into(), instead.into());
        faults.push(Fault { line, column, key, what, instead });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    pub(super) fn into_faults(self, origin: &str, syntax: bool) -> Faults {
        let mut faults = self.faults.into_inner();
        faults.sort();
        // The parser may stumble over one place many times.
        faults.dedup();
        Faults { origin: origin.to_owned(), faults, unlisted: self.unlisted.get(), syntax }
    }

    /// Line of a byte, for messages that point at another place.
    pub(super) fn line(&self, at: usize) -> usize {
        self.place(at).0
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = before.split(|byte| *byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |i| i + 1);
        let behind = before.get(start..).unwrap_or_default();
        // Continuation bytes of UTF-8 start no character.
        let column = behind.iter().filter(|byte| (**byte & 0xC0) != 0x80).count() + 1;
        (line, column)
    }
}

/// A value as it may be repeated in a message: quoted, without control characters, not too long.
pub(super) fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if value.chars().count() > QUOTED {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// The known word nearest to `word`, if one is near enough to be what was meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = word.chars().take(QUOTED).flat_map(char::to_lowercase).collect();
    let best = known.iter().map(|candidate| (distance(&word, candidate), *candidate)).min()?;
    let allowed = (best.1.len() / 3).max(1);
    (best.0 <= allowed).then_some(best.1)
}

/// Edits (insert, delete, replace) between two words, a row at a time.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (above, b) in row.iter().skip(1).zip(&to) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(a != b));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_and_leaves_strangers_alone() {
        let known = ["interfaces", "attach", "mode", "protect"];
        assert_eq!(nearest("interface", &known), Some("interfaces"));
        assert_eq!(nearest("atach", &known), Some("attach"));
        assert_eq!(nearest("Mode", &known), Some("mode"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn places_are_lines_and_characters_from_one() {
        let log = FaultLog::new("a\nbé = 1\n");
        assert_eq!(log.place(0), (1, 1));
        assert_eq!(log.place(2), (2, 1));
        assert_eq!(log.place(5), (2, 3));
        assert_eq!(log.place(999), (3, 1));
    }

    #[test]
    fn lists_a_bounded_number_of_faults_and_counts_the_rest() {
        let log = FaultLog::new("");
        for i in 0..LISTED + 7 {
            log.note(0, "k", format!("{i}"), "i");
        }
        let faults = log.into_faults("f", false);
        assert_eq!((faults.faults.len(), faults.unlisted), (LISTED, 7));
        assert!(faults.to_string().ends_with("f: 7 more faults are not listed"));
    }

    #[test]
    fn quoting_shows_no_control_character_and_no_novel() {
        assert_eq!(quoted("a\u{1b}[31m"), "\"a\\u{1b}[31m\"");
        assert!(quoted(&"x".repeat(10_000)).len() < 100);
    }
}
