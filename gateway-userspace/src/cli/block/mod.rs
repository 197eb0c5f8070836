//! `gateway block`: bans by the operator.

mod add;
mod export;
mod import;
mod list;
mod list_parser;
mod lists;
mod remove;
mod unlist;

use clap::Subcommand;

pub(crate) use list::show;

use super::{Context, why};
use crate::control::NOTE_BYTES;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ban an address or prefix.
    Add(add::Args),
    /// Lift the ban on an address or prefix.
    #[command(alias = "remove")]
    Rm(remove::Args),
    /// Show every ban.
    List(list::Args),
    /// Ban what a file lists: one address or prefix a line, # starts a comment. The list replaces
    /// the one of its name, all of it or nothing.
    Import(import::Args),
    /// Show the lists that were imported.
    Lists(lists::Args),
    /// Take a list away, with all its bans.
    Unlist(unlist::Args),
    /// Print every ban as a list that `import` reads.
    Export,
    /// Explain why an address is banned, or why not.
    Why(why::AddressArgs),
}

/// A note that the guard takes.
pub(super) fn note(text: &str) -> Result<String, String> {
    if text.len() > NOTE_BYTES {
        return Err(format!("longer than {NOTE_BYTES} bytes; write a shorter one"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character; write plain text".to_owned());
    }
    Ok(text.to_owned())
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Add(args) => args.run(context),
            Self::Rm(args) => args.run(context),
            Self::List(args) => args.run(context),
            Self::Import(args) => args.run(context),
            Self::Lists(args) => args.run(context),
            Self::Unlist(args) => args.run(context),
            Self::Export => export::run(context),
            Self::Why(args) => args.run(context),
        }
    }
}
