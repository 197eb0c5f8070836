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

/// All bans of the running gateway, portion by portion.
pub(super) fn fetch(context: &Context) -> anyhow::Result<Vec<Ban>> {
    let mut guard = client::Client::connect(&context.socket)?;
    let mut bans: Vec<Ban> = Vec::new();
    loop {
        let after = bans.last().map(|ban| ban.net);
        let Response::Bans { bans: portion, more } = guard.ask(&Request::BlockList { after })?
        else {
            return Err(client::unexpected());
        };
        let over = !more || portion.is_empty();
        bans.extend(portion);
        if over {
            return Ok(bans);
        }
    }
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
