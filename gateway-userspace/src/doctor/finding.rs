//! What an examination comes to.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    /// Worth knowing; nothing is lost.
    Note,
    /// The filter runs, but slower or weaker than it could.
    Warn,
    /// The filter does not run.
    Fail,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One fact with what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The machine, the kernel, or the name of an interface.
    pub(crate) place: String,
    pub(crate) about: &'static str,
    pub(crate) level: Level,
    /// One sentence.
    pub(crate) what: String,
    /// What to do, as a command where there is one.
    pub(crate) change: Option<String>,
}

impl Finding {
    pub(super) fn new(level: Level, about: &'static str, what: impl Into<String>) -> Self {
        Self { place: String::new(), about, level, what: what.into(), change: None }
    }

    pub(super) fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, what)
    }

    pub(crate) fn note(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Note, about, what)
    }

    pub(super) fn warn(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Warn, about, what)
    }

    pub(crate) fn fail(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Fail, about, what)
    }

    pub(crate) fn change(self, change: impl Into<String>) -> Self {
        Self { change: Some(change.into()), ..self }
    }
}

/// Every finding, in the order of looking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    /// Adds findings about one place.
    pub(crate) fn add(&mut self, place: &str, findings: Vec<Finding>) {
        let placed = findings.into_iter().map(|one| Finding { place: place.to_owned(), ..one });
        self.findings.extend(placed);
    }

    pub(crate) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}
