//! `gateway reload`: the configured file, whole or not at all.

use super::{Context, client};
use crate::control::Request;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every command runs by its arguments")]
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // What is wrong with one is no reason to leave the other undone.
        let renewed = client::order_lines(&context.socket, &Request::Renew);
        client::order_lines(&context.socket, &Request::Reload)?;
        renewed
    }
}
