//! `gateway block unlist`.

use crate::{
    cli::{Context, client},
    control::Request,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the list, as `gateway block lists` shows it.
    name: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        client::order(&context.socket, &Request::ListRemove { name: self.name })
    }
}
