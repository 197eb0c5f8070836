//! `gateway block lists`.

use crate::{
    cli::{
        Context, client,
        output::{Output, span, table},
    },
    clock::{self, Wall},
    control::{List, Request, Response},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let Response::Lists { lists } = client::ask(&context.socket, &Request::Lists)? else {
            return Err(client::unexpected());
        };
        self.output.print(lists.as_slice(), |lists| show(lists, clock::wall()))
    }
}

fn show(lists: &[List], now: Wall) -> String {
    let rows = lists.iter().map(|list| {
        [
            list.name.clone(),
            list.source.clone(),
            list.given.to_string(),
            list.entries.to_string(),
            list.ipv4_addresses.to_string(),
            span(now.since(Wall(list.since)).as_secs()),
            list.left.map_or("for ever".to_owned(), span),
            list.note.clone(),
        ]
    });
    let heads = ["NAME", "SOURCE", "GIVEN", "MERGED", "IPV4 ADDRESSES", "AGE", "LEFT", "NOTE"];
    table(heads, rows)
}
