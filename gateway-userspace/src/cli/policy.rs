//! `gateway policy` and `gateway reload`: a changed `[kernel]`, tried before it is kept.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::{
    Context, client,
    output::{self, Output, escape},
};
use crate::{
    config::{load_kernel, text_of, units},
    control::{PolicyReport, PolicyStatus, Request, Response},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the policy confirmed last, and the one on trial.
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Put the [kernel] of a file on trial: it holds at once, and without `confirm` no longer than
    /// the time given. The kernel goes back by itself, also if every daemon is dead.
    Apply {
        /// The file; the one the gateway runs by if left out. It may have [kernel] alone.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Time to confirm in, such as 60s; `kernel.confirm` if left out.
        #[arg(long, value_name = "TIME", value_parser = time)]
        confirm: Option<Duration>,
    },
    /// Keep the policy on trial, also after a restart.
    Confirm,
    /// End the trial: the policy before holds again.
    Rollback,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Show { output } => output.print(&report(context)?, show),
            Self::Apply { file, confirm } => apply(context, file, confirm),
            Self::Confirm => client::order(&context.socket, &Request::PolicyConfirm),
            Self::Rollback => client::order(&context.socket, &Request::PolicyRollback),
        }
    }
}

/// `gateway reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {}

impl Reload {
    #[expect(clippy::unused_self, reason = "every command runs by its arguments")]
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // What is wrong with one is no reason to leave the other undone.
        let renewed = client::order(&context.socket, &Request::Renew);
        client::order(&context.socket, &Request::Reload)?;
        renewed
    }
}

/// Too short to type a word in, or so long that nobody would come back for it.
fn time(text: &str) -> Result<Duration, String> {
    let time = units::duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(5)..=Duration::from_hours(1);
    if range.contains(&time) { Ok(time) } else { Err("write a time from 5s to 1h".to_owned()) }
}

fn report(context: &Context) -> anyhow::Result<PolicyReport> {
    let Response::Policy(report) = client::ask(&context.socket, &Request::PolicyShow)? else {
        return Err(client::unexpected());
    };
    Ok(*report)
}

/// The file is read and checked here, where its faults can be shown line by line.
fn apply(
    context: &Context,
    file: Option<PathBuf>,
    confirm: Option<Duration>,
) -> anyhow::Result<()> {
    let file = match file {
        Some(file) => std::path::absolute(&file).context("finding the file")?,
        None => report(context)?.status.file.into(),
    };
    let origin = file.display().to_string();
    let text = text_of(&file).with_context(|| format!("reading {origin}"))?;
    let text = match load_kernel(&text, &origin) {
        Ok(tables) => tables.table.text,
        Err(faults) => {
            output::complain(&faults.to_string());
            bail!("nothing of {origin} is applied; correct it first");
        }
    };
    client::order(&context.socket, &Request::PolicyApply { text, origin, confirm })
}

fn show(report: &PolicyReport) -> String {
    let mut parts = vec![summary(&report.status)];
    parts.push(format!("# confirmed\n{}", escaped_lines(&report.confirmed)));
    if let Some(trial) = &report.trial {
        parts.push(format!("# on trial\n{}", escaped_lines(trial)));
    }
    parts.join("\n\n")
}

/// In one line: what holds, and for how long.
pub(super) fn summary(status: &PolicyStatus) -> String {
    let mut line = format!("{} ({})", escape(&status.origin), status.digest);
    if status.differs {
        line.extend([" confirmed; ", &escape(&status.file), " has another"]);
    } else {
        line.push_str(" confirmed");
    }
    if let Some(trial) = &status.trial {
        line.extend([
            "; ON TRIAL: ",
            &escape(&trial.origin),
            &format!(" ({}), {} s left to confirm", trial.digest, trial.seconds_left),
        ]);
    }
    line
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}
