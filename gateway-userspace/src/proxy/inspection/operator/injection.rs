//! libinjection, in a port that may panic on odd input: a panic is "undecided", not "no match".

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Captures, Outcome, Undecided};

/// SQL injection; the fingerprint of its tokens is the capture.
pub(super) fn sql(value: &[u8], captures: Option<&mut Captures>) -> Outcome {
    if value.is_empty() {
        return Outcome::NoMatch;
    }
    let Ok(found) = catch_unwind(AssertUnwindSafe(|| libinjectionrs::detect_sqli(value))) else {
        return Outcome::Undecided(Undecided::Detector);
    };
    if !found.is_injection() {
        return Outcome::NoMatch;
    }
    if let (Some(captures), Some(fingerprint)) = (captures, found.fingerprint) {
        let bytes = fingerprint.as_bytes();
        let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
        captures.keep(0, bytes.get(..end).unwrap_or_default());
    }
    Outcome::Match
}

/// Script injection; the value is the capture.
pub(super) fn script(value: &[u8], captures: Option<&mut Captures>) -> Outcome {
    let found = catch_unwind(AssertUnwindSafe(|| libinjectionrs::detect_xss(value).is_injection()));
    match found {
        Ok(true) => {
            if let Some(captures) = captures {
                captures.keep(0, value);
            }
            Outcome::Match
        }
        Ok(false) => Outcome::NoMatch,
        Err(_) => Outcome::Undecided(Undecided::Detector),
    }
}
