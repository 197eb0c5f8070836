//! Whether the maps fit into memory when they are full.

use super::super::{
    facts::Memory,
    finding::{Finding, Level},
};

const MEBIBYTE: u64 = 1 << 20;
const ABOUT: &str = "memory";

pub(super) fn judge(memory: &Memory) -> Finding {
    let needed = mebibytes(memory.needed);
    if memory.loaded {
        return Finding::ok(ABOUT, format!("a filter is loaded; full maps take about {needed}"));
    }
    let (left, place) = match (&memory.group, memory.available) {
        (Some((group, left)), Some(available)) if *left < available => {
            (*left, format!("control group {group}"))
        }
        (_, Some(available)) => (available, "machine".to_owned()),
        (Some((group, left)), None) => (*left, format!("control group {group}")),
        (None, None) => {
            return Finding::note(
                ABOUT,
                format!("full maps take about {needed} of unknown memory"),
            );
        }
    };
    let what = format!("full maps take about {needed}; the {place} has {} left", mebibytes(left));
    let smaller = "lower kernel.capacity, or make room";
    match level(memory.needed, left) {
        Level::Ok => Finding::ok(ABOUT, what),
        Level::Fail => Finding::fail(ABOUT, what).change(smaller),
        Level::Note | Level::Warn => {
            Finding::warn(ABOUT, format!("{what}, too little for a change of capacity"))
                .change(smaller)
        }
    }
}

/// A changed capacity or layout is loaded beside the old one, so there must be room for two.
fn level(needed: u64, left: u64) -> Level {
    match (needed <= left, needed.saturating_mul(2) <= left) {
        (false, _) => Level::Fail,
        (true, false) => Level::Warn,
        (true, true) => Level::Ok,
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MEBIBYTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(needed: u64, available: u64, group: Option<u64>) -> Memory {
        let group = group.map(|left| ("/system.slice".to_owned(), left * MEBIBYTE));
        let available = Some(available * MEBIBYTE);
        Memory { needed: needed * MEBIBYTE, available, group, loaded: false }
    }

    #[test]
    fn maps_must_fit_once_and_should_fit_twice() {
        for (facts, expected) in [
            (memory(100, 1000, None), Level::Ok),
            (memory(100, 150, None), Level::Warn),
            (memory(100, 50, None), Level::Fail),
            (memory(100, 1000, Some(50)), Level::Fail),
            (memory(100, 1000, Some(5000)), Level::Ok),
        ] {
            let found = judge(&facts);
            assert_eq!(found.level, expected, "{found:?}");
            assert_eq!(found.change.is_some(), expected > Level::Ok);
        }
        let group = judge(&memory(100, 1000, Some(50)));
        assert!(group.what.contains("control group /system.slice has 50 MiB"), "{}", group.what);
    }

    #[test]
    fn a_loaded_filter_has_its_memory() {
        let facts = Memory { loaded: true, ..memory(100, 10, None) };
        assert_eq!(judge(&facts).level, Level::Ok);
    }
}
