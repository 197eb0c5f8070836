//! What processes use: their processor time and their memory, all of one server together.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Pid,
};

/// Raises the limit of this process and those it starts, as far as it goes.
pub(crate) fn raise_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of files")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of files")
}

/// A process and all below it.
pub(crate) fn family(root: Pid) -> Vec<i32> {
    let mut all = vec![root.as_raw()];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        let children = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(children).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
        next += 1;
    }
    all
}

/// Time on a processor so far, of all threads.
pub(crate) fn busy(family: &[i32]) -> Duration {
    let threads = family.iter().flat_map(|pid| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        tasks.map(|task| task.path().join("schedstat")).collect::<Vec<_>>()
    });
    let of = |path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(threads.map(of).sum())
}

/// Resident memory in KiB, pages shared among the family divided among it.
pub(crate) fn resident_kib(family: &[i32]) -> u64 {
    let of = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    family.iter().map(of).sum()
}
