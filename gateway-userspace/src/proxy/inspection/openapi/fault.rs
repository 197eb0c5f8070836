//! What is wrong with a contract: told when it is read, with the file and the place.

use std::fmt;

/// Why a contract cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Fault {
    file: String,
    /// A JSON pointer (RFC 6901); empty is the whole file.
    pointer: String,
    what: String,
}

impl Fault {
    pub(super) fn at(file: &str, pointer: &str, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), pointer: pointer.to_owned(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, pointer, what } = self;
        if pointer.is_empty() {
            return write!(f, "{file}: {what}");
        }
        write!(f, "{file}: {pointer} {what}")
    }
}
