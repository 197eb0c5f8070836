//! `gateway key`: API keys of the file's identities.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::{
    Context, client,
    output::{Output, complain, escape, span, table},
};
use crate::{
    clock::{self, Wall},
    config::units,
    control::{Key, Request, Response},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key. It is shown once and stored only as a hash.
    New(NewArgs),
    /// Show the keys, without what would let anyone use them.
    List(ListArgs),
    /// Make a key worthless, at once.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// Whose keys: the name of an [[identity]].
    #[arg(long, value_name = "NAME")]
    identity: String,
    /// Who will use the key, for logs and limits.
    #[arg(long, value_name = "NAME")]
    client: String,
    /// How long it works, such as 90d; for ever if left out.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    ttl: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The key's id, as `gateway key list` shows it.
    id: String,
}

/// What is printed of a new key as JSON.
#[derive(Serialize)]
struct New {
    id: String,
    key: String,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::New(args) => args.run(context),
            Self::List(args) => args.run(context),
            Self::Revoke(args) => {
                client::order(&context.socket, &Request::KeyRevoke { id: args.id })
            }
        }
    }
}

impl NewArgs {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { identity, client, ttl, output } = self;
        let request = Request::KeyNew { identity, client, ttl };
        let Response::KeyCreated { id, key } = client::ask(&context.socket, &request)? else {
            return Err(client::unexpected());
        };
        // The key alone goes to standard output, so that a script can catch it.
        output.print(&New { id, key }, |new| {
            complain(&format!("key {}, shown this once; `gateway key revoke` ends it", new.id));
            escape(&new.key)
        })
    }
}

impl ListArgs {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let keys = client::pages(
            &context.socket,
            |after| Request::KeyList { after },
            |answer| {
                let Response::Keys { keys, more } = answer else { return None };
                Some((keys, more))
            },
            |key| key.id.clone(),
        )?;
        self.output.print(keys.as_slice(), |keys| show(keys, clock::wall()))
    }
}

/// The table of keys.
pub(crate) fn show(keys: &[Key], now: Wall) -> String {
    let rows = keys.iter().map(|key| {
        [
            key.id.clone(),
            key.identity.clone(),
            key.client.clone(),
            span(now.since(Wall(key.since)).as_secs()),
            state(key, now),
        ]
    });
    table(["ID", "IDENTITY", "CLIENT", "AGE", "STATE"], rows)
}

fn state(key: &Key, now: Wall) -> String {
    match key.expires {
        _ if key.revoked => "revoked".to_owned(),
        None => "valid".to_owned(),
        Some(end) if end <= now.0 => "expired".to_owned(),
        Some(end) => format!("valid for {}", span(Wall(end).since(now).as_secs())),
    }
}
