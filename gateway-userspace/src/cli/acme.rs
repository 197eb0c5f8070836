//! `gateway acme`: names whose certificates are issued by themselves. What is shown are the proxy's
//! words, partly an authority's: read without capabilities, and escaped.

use anyhow::bail;
use clap::Subcommand;
use serde_json::Value;

use super::{
    Context, client,
    output::{Output, escape, json, print, span, table},
};
use crate::control::{Request, Response, Told};

/// Names whose certificates are issued by themselves.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every name: its state, its time left, when it is renewed, and what went wrong.
    List {
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Have the certificate of a name issued anew, now.
    Renew { name: String },
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { output } => list(context, output),
            Self::Renew { name } => client::order_lines(&context.socket, &Request::Issue { name }),
        }
    }
}
