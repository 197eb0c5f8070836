//! `gateway block import`: a list from elsewhere becomes bans. What is good is taken; what is bad
//! is told with its line, and makes the exit code 1.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use ipnet::IpNet;
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

/// Refused entries that are told one by one.
const TOLD: usize = 100;

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
    /// Where the list is from; its file name if left out.
    #[arg(long, value_name = "TEXT", value_parser = super::note)]
    note: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What became of a list.
#[derive(Debug, Default, Serialize)]
struct Report {
    added: usize,
    known: usize,
    /// Entries the guard did not take.
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
        let name =
            if stdin { "standard input".to_owned() } else { self.file.display().to_string() };
        let note = self.note.unwrap_or_else(|| super::note(&name).unwrap_or_default());
        let mut list = List::new(BufReader::new(input));
        let mut report = Report::default();
        let mut progress = Progress::start();
        while let Some(nets) =
            list.portion(IMPORT_PORTION).with_context(|| format!("reading {name}"))?
        {
            send(&mut client, nets, self.ttl, &note, &mut report)?;
            progress.show(report.added.saturating_add(report.known));
        }
        progress.end();
        report.untold = report.untold.saturating_add(list.untold);
        report.bad = list.bad;
        self.output.print(&report, |report| show(report, &name))?;
        finish(&report, &name)
    }
}

fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(Box::new(file))
}

fn send(
    client: &mut Client,
    nets: Vec<IpNet>,
    ttl: Option<Duration>,
    note: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let done = report.added.saturating_add(report.known);
    let request = Request::BlockImport { nets, ttl, note: note.to_owned() };
    let answer = client.ask(&request).with_context(|| format!("after {done} entries"))?;
    let Response::Imported { added, known, refused } = answer else {
        return Err(unexpected());
    };
    report.added = report.added.saturating_add(added);
    report.known = report.known.saturating_add(known);
    for entry in refused {
        if report.refused.len() < TOLD {
            report.refused.push(entry);
        } else {
            report.untold = report.untold.saturating_add(1);
        }
    }
    Ok(())
}

fn show(report: &Report, name: &str) -> String {
    for BadLine { line, text, why } in &report.bad {
        complain(&format!("{name}:{line}: {text} {why}"));
    }
    for RefusedEntry { net, why } in &report.refused {
        complain(&format!("{}: {}", prefix::write(*net), escape(why)));
    }
    format!("{} banned, {} were banned already", report.added, report.known)
}

fn finish(report: &Report, name: &str) -> anyhow::Result<()> {
    let bad = report.bad.len() + report.refused.len() + report.untold;
    if bad > 0 {
        let entries = if bad == 1 { "entry" } else { "entries" };
        bail!("{bad} {entries} of {name} not taken; the others are banned");
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
