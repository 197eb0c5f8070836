//! `gateway block add`.

use std::time::Duration;

use ipnet::IpNet;

use crate::{
    cli::{Context, client},
    config::{prefix, units},
    control::Request,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address or prefix, such as 192.0.2.1 or 192.0.2.0/24.
    #[arg(value_parser = prefix::parse)]
    net: IpNet,
    /// How long, such as 15m or 7d; for ever if left out.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    ttl: Option<Duration>,
    /// Why, for those who find the ban later.
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = super::note)]
    note: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { net, ttl, note } = self;
        client::order(&context.socket, &Request::BlockAdd { net, ttl, note })
    }
}
