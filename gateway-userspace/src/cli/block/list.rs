//! `gateway block list`.

use crate::{
    cli::{
        Context, client,
        output::{Output, span, table},
    },
    clock::{self, Wall},
    config::prefix,
    control::{Ban, Request, Response},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let bans = fetch(context)?;
        self.output.print(bans.as_slice(), |bans| show(bans, clock::wall()))
    }
}

/// All bans of the running gateway.
pub(super) fn fetch(context: &Context) -> anyhow::Result<Vec<Ban>> {
    let Response::Bans { bans } = client::ask(&context.socket, &Request::BlockList)? else {
        return Err(client::unexpected());
    };
    Ok(bans)
}

/// The table of bans.
pub(crate) fn show(bans: &[Ban], now: Wall) -> String {
    let rows = bans.iter().map(|ban| {
        [
            prefix::write(ban.net),
            ban.source.clone(),
            ban.reason.clone(),
            span(now.since(Wall(ban.since)).as_secs()),
            ban.left.map_or("for ever".to_owned(), span),
            ban.hits.to_string(),
            ban.note.clone(),
        ]
    });
    table(["NET", "SOURCE", "REASON", "AGE", "LEFT", "PACKETS", "NOTE"], rows)
}
