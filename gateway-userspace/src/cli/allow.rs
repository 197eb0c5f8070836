//! `gateway allow`: addresses that pass, within the aggregate limit of allowed traffic.

use clap::Subcommand;
use ipnet::IpNet;

use super::{
    Context, client,
    output::{Output, span, table},
};
use crate::{
    clock::{self, Wall},
    config::prefix,
    control::{Allow, Request, Response},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let an address or prefix pass.
    Add(AddArgs),
    /// Let it pass no longer.
    #[command(alias = "remove")]
    Rm(RemoveArgs),
    /// Show what passes.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Address or prefix, such as 192.0.2.1 or 192.0.2.0/24.
    #[arg(value_parser = prefix::parse)]
    net: IpNet,
    /// Why, for those who find it later.
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = super::block::note)]
    note: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Address or prefix, as `gateway allow list` shows it.
    #[arg(value_parser = prefix::parse)]
    net: IpNet,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: Output,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let socket = &context.socket;
        match self {
            Self::Add(AddArgs { net, note }) => {
                client::order(socket, &Request::AllowAdd { net, note })
            }
            Self::Rm(RemoveArgs { net }) => client::order(socket, &Request::AllowRemove { net }),
            Self::List(args) => args.run(context),
        }
    }
}

impl ListArgs {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let allows = client::pages(
            &context.socket,
            |after| Request::AllowList { after },
            |answer| {
                let Response::Allows { allows, more } = answer else { return None };
                Some((allows, more))
            },
            |allow| allow.net,
        )?;
        self.output.print(allows.as_slice(), |allows| show(allows, clock::wall()))
    }
}

/// The table of what passes.
pub(crate) fn show(allows: &[Allow], now: Wall) -> String {
    let rows = allows.iter().map(|allow| {
        let age = span(now.since(Wall(allow.since)).as_secs());
        [prefix::write(allow.net), allow.source.clone(), age, allow.note.clone()]
    });
    table(["NET", "SOURCE", "AGE", "NOTE"], rows)
}
