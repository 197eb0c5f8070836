//! `gateway block import`: a list from elsewhere becomes bans, all of it or nothing. What is bad is
//! told with its line, and leaves what was in force as it was, unless it is to be skipped.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::list_parser::{BadLine, List};
use crate::{
    cli::{
        Context,
        client::{Client, unexpected},
        output::{Output, complain, escape},
        privileges,
    },
    clock,
    config::{prefix, units},
    control::{IMPORT_PORTION, RefusedEntry, Request, Response},
};

/// Nobody wants to read about what is over in a second.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The list, or - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How long, such as 15m or 7d; for ever if left out.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    ttl: Option<Duration>,
    /// Name of the list, which replaces the one of this name; that of the file if left out.
    #[arg(long)]
    name: Option<String>,
    /// Load the rest of a list with bad lines, or with entries that may not be banned.
    #[arg(long)]
    skip_invalid: bool,
    /// Where the list is from; its file name if left out.
    #[arg(long, value_name = "TEXT", value_parser = super::note)]
    note: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What became of a list.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Name of the list.
    list: String,
    loaded: bool,
    given: u64,
    /// Bans it came to: neighbours are merged.
    entries: usize,
    /// Entries that may not be banned.
    refused: Vec<RefusedEntry>,
    /// Lines that are no entries.
    bad: Vec<BadLine>,
    /// Further ones of both kinds.
    untold: usize,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut client = Client::connect(&context.socket)?;
        let input = open(&self.file)?;
        privileges::drop_all()?;
        let stdin = self.file == Path::new("-");
        let file =
            if stdin { "standard input".to_owned() } else { self.file.display().to_string() };
        let name = self.name.clone().or_else(|| name_of(&self.file));
        let name = name.context("no name for the list; give it one with --name")?;
        let note = self.note.clone().unwrap_or_else(|| super::note(&file).unwrap_or_default());
        let begin = Request::ImportBegin {
            name: name.clone(),
            ttl: self.ttl,
            note,
            skip_invalid: self.skip_invalid,
        };
        let Response::Staged { ticket } = client.ask(&begin)? else { return Err(unexpected()) };
        let mut list = List::new(BufReader::new(input));
        let mut report = Report { list: name, ..Report::default() };
        send(&mut client, ticket, &mut list, &file)?;
        report.untold = list.untold;
        report.bad = list.bad;
        if report.bad.is_empty() || self.skip_invalid {
            commit(&mut client, ticket, &mut report)?;
        } else {
            client.ask(&Request::ImportAbort { ticket })?;
        }
        self.output.print(&report, |report| show(report, &file))?;
        finish(&report, &file)
    }
}

/// The name of a list is that of its file, as far as a name can have its characters.
fn name_of(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let lawful = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(lawful).take(64).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    (!name.is_empty()).then(|| name.to_owned())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Box::new(file))
}

/// Sends all entries; none of them is in force by that.
fn send<R: BufRead>(
    client: &mut Client,
    ticket: u64,
    list: &mut List<R>,
    file: &str,
) -> anyhow::Result<()> {
    let mut progress = Progress::start();
    let mut sent = 0_usize;
    while let Some(nets) =
        list.portion(IMPORT_PORTION).with_context(|| format!("reading {file}"))?
    {
        sent = sent.saturating_add(nets.len());
        let part = Request::ImportPart { ticket, nets };
        let Response::Staged { .. } = client.ask(&part)? else { return Err(unexpected()) };
        progress.show(sent);
    }
    progress.end();
    Ok(())
}

fn commit(client: &mut Client, ticket: u64, report: &mut Report) -> anyhow::Result<()> {
    let answer = client.ask(&Request::ImportCommit { ticket })?;
    let untold = if let Response::Imported { given, entries, refused, untold } = answer {
        (report.loaded, report.given, report.entries) = (true, given, entries);
        report.refused = refused;
        untold
    } else if let Response::Unfit { refused, untold } = answer {
        report.refused = refused;
        untold
    } else {
        return Err(unexpected());
    };
    report.untold = report.untold.saturating_add(untold);
    Ok(())
}

fn show(report: &Report, file: &str) -> String {
    for BadLine { line, text, why } in &report.bad {
        complain(&format!("{file}:{line}: {text} {why}"));
    }
    for RefusedEntry { net, why } in &report.refused {
        complain(&format!("{} {}", prefix::write(*net), escape(why)));
    }
    let Report { list, given, entries, .. } = report;
    if report.loaded {
        format!("list {list} is in force: {given} entries, merged to {entries} bans")
    } else {
        format!("list {list} is as it was")
    }
}

fn finish(report: &Report, file: &str) -> anyhow::Result<()> {
    let bad = report.bad.len() + report.refused.len() + report.untold;
    let entries = if bad == 1 { "entry" } else { "entries" };
    if !report.loaded {
        bail!(
            "{bad} {entries} of {file} cannot be loaded, so none is; mend the list, or load the rest with --skip-invalid"
        );
    }
    if bad > 0 {
        bail!("{bad} {entries} of {file} skipped; the others are banned");
    }
    Ok(())
}

/// One line on a terminal that counts along.
struct Progress {
    started: Instant,
    shown: bool,
}

impl Progress {
    fn start() -> Self {
        Self { started: clock::now(), shown: false }
    }

    fn show(&mut self, done: usize) {
        let late = clock::now().duration_since(self.started) > PROGRESS_AFTER;
        if late && io::stderr().is_terminal() {
            self.shown = true;
            // Only decoration: what matters is said at the end.
            drop(write!(io::stderr(), "\r{done} entries"));
        }
    }

    fn end(&self) {
        if self.shown {
            complain("");
        }
    }
}
