//! `gateway block export`.

use std::fmt::Write as _;

use crate::{
    cli::{
        Context,
        output::{escape, print_bytes, span},
    },
    config::prefix,
    control::Ban,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let bans = super::list::fetch(context)?;
        print_bytes(text(&bans)?.as_bytes())
    }
}

/// A list that `import` reads: what is known beyond the address is a comment.
pub(super) fn text(bans: &[Ban]) -> anyhow::Result<String> {
    let mut text = format!("# {} bans of gateway\n", bans.len());
    for ban in bans {
        let net = prefix::write(ban.net);
        let left = ban.left.map_or("for ever".to_owned(), span);
        let (source, reason) = (escape(&ban.source), escape(&ban.reason));
        let gap = if ban.note.is_empty() { "" } else { ", " };
        writeln!(text, "{net} # {source}, {reason}, {left}{gap}{}", escape(&ban.note))?;
    }
    Ok(text)
}
