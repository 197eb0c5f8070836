//! Checks of one file by itself: its first line, forgotten work, paths of one machine.

use super::{Fault, Source};

/// Words that mark unfinished work. Split so that this file does not accuse itself.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

/// Places that exist on somebody's machine only.
const MACHINE: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

pub(super) fn check(source: &Source, faults: &mut Vec<Fault>) {
    if source.path == "Cargo.lock" || source.path.starts_with("LICENSE") {
        return;
    }
    let mut report =
        |line: usize, what: String| faults.push(Fault { file: source.path.clone(), line, what });
    // A `tests.rs` belongs to the file beside it, which says what it is for.
    let explained = source.text.starts_with("//!") || source.path.ends_with("/tests.rs");
    if source.is_rust() && !explained {
        report(1, "starts without `//!` that says what the file is for".to_owned());
    }
    for (number, line) in source.text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            report(number + 1, format!("{word}: finish it, or file an issue"));
        }
        for place in MACHINE.iter().filter(|place| line.contains(**place)) {
            report(number + 1, format!("{place} is a path of one machine"));
        }
    }
}
