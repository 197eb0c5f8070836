//! `gateway block rm`.

use ipnet::IpNet;

use crate::{
    cli::{Context, client},
    config::prefix,
    control::Request,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address or prefix, as `gateway block list` shows it.
    #[arg(value_parser = prefix::parse)]
    net: IpNet,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        client::order(&context.socket, &Request::BlockRemove { net: self.net })
    }
}
