//! `gateway diff`: what a file would change of the running configuration, and how.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};

use super::{
    Context, client,
    output::{self, Output, escape, table},
};
use crate::{
    config::{
        Settled,
        changes::{Change, How, between},
        load_settled, text_of,
    },
    control::{Request, Response},
};

/// As diff(1) has it.
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

/// Exit code 0 if nothing differs, 1 if something does, 2 if that cannot be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; the one the gateway runs by if left out.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> ExitCode {
        let compared = self.changes(context).and_then(|changes| {
            self.output.print(&changes, |changes| show(changes))?;
            Ok(changes.is_empty())
        });
        match compared {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(DIFFERENT),
            Err(error) => {
                output::complain(&format!("gateway: {}", output::chain(&error)));
                ExitCode::from(TROUBLE)
            }
        }
    }

    fn changes(&self, context: &Context) -> anyhow::Result<Vec<Change>> {
        let running = client::ask(&context.socket, &Request::Configuration)?;
        let Response::Configuration { file, text } = running else {
            return Err(client::unexpected());
        };
        let file = self.file.clone().unwrap_or_else(|| file.into());
        let origin = file.display().to_string();
        let wanted = text_of(&file).with_context(|| format!("reading {origin}"))?;
        match load_settled(&wanted, &origin) {
            Ok(Settled { text: wanted, .. }) => Ok(between(&text, &wanted)),
            Err(faults) => {
                output::complain(&faults.to_string());
                bail!("{origin} would not be loaded; correct it first")
            }
        }
    }
}

pub(crate) fn show(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing differs from the running configuration".to_owned();
    }
    let rows = changes.iter().map(|change| {
        let value = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), escape);
        [
            escape(&change.place()),
            value(&change.old),
            value(&change.new),
            way(change.how).to_owned(),
        ]
    });
    let listed = table(["WHERE", "RUNNING", "IN THE FILE", "HOW"], rows);
    format!("{listed}\n\n{}", next(changes))
}

const fn way(how: How) -> &'static str {
    match how {
        How::Live => "live",
        How::FreshProxy => "fresh proxy",
        How::Trial => "trial",
        How::Restart => "restart",
    }
}

/// What brings all of it into force.
fn next(changes: &[Change]) -> &'static str {
    match changes.iter().map(|change| change.how).max() {
        Some(How::Restart) => {
            "`gateway reload` refuses the file for what takes a restart; `gateway upgrade` loads all of it and refuses no request"
        }
        Some(How::Trial) => {
            "`gateway reload` loads it and puts [kernel] on trial; `gateway policy confirm` keeps it"
        }
        Some(How::FreshProxy) => {
            "`gateway reload` loads it in a fresh proxy on the same sockets; the one before finishes what it has"
        }
        Some(How::Live) | None => "`gateway reload` loads it in the running proxy",
    }
}
