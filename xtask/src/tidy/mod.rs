//! `cargo xtask tidy`: what the compiler does not check. Every fault is printed, with its place.

mod dependencies;
mod documents;
mod paths;
mod sources;

use anyhow::{Context, Result, bail};

use crate::command;

/// One thing out of order.
#[derive(Debug)]
struct Fault {
    file: String,
    line: usize,
    what: String,
}

/// A tracked text file.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
}

/// Runs all checks.
pub(crate) fn run() -> Result<()> {
    let sources = tracked()?;
    let mut faults = Vec::new();
    for source in &sources {
        sources::check(source, &mut faults);
        dependencies::check(source, &mut faults);
    }
    documents::check(&sources, &mut faults);
    for fault in &faults {
        println!("{}:{}: {}", fault.file, fault.line, fault.what);
    }
    if !faults.is_empty() {
        bail!("{} untidy places", faults.len());
    }
    println!("tidy: {} files, nothing to complain of", sources.len());
    Ok(())
}

/// Every text file git knows or would add; a download without git has no such list.
fn tracked() -> Result<Vec<Source>> {
    let root = command::root();
    let folder = root.to_string_lossy();
    let arguments = ["-C", &*folder, "ls-files", "--cached", "--others", "--exclude-standard"];
    let list = command::output("git", &arguments).context("git ls-files gave no list of files")?;
    let read = |path: &str| {
        // Deleted but not yet committed, or not text: nothing to check.
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    };
    Ok(list.lines().filter_map(read).collect())
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.strip_suffix(".rs").is_some()
    }
}
