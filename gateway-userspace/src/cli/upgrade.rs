//! `gateway upgrade`: guard and proxy go over to the program that is installed by now.

use std::time::Duration;

use anyhow::bail;

use super::{
    Context,
    client::{self, Client},
    output::{escape, print},
};
use crate::{
    clock,
    control::{Request, Response, Status},
};

/// A guard loads its filter, reads its store, and waits for the proxy that serves.
const PATIENCE: Duration = Duration::from_mins(1);

const LOOK: Duration = Duration::from_millis(200);

/// `gateway upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every command runs by its arguments")]
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut client = Client::connect(&context.socket)?;
        let before = status(&mut client)?;
        let Response::Done { message } = client.ask(&Request::Upgrade)? else {
            return Err(client::unexpected());
        };
        print(&escape(&message))?;
        let until = clock::now() + PATIENCE;
        while clock::now() < until {
            // Nothing is said unasked: this waits, until the guard that took the order is gone.
            if matches!(client.next(LOOK), Ok(None)) && is_of(&mut client, before.started_ns) {
                continue;
            }
            // The next one keeps the socket, and whoever calls there waits for it.
            client = Client::connect(&context.socket)?;
            let after = status(&mut client)?;
            if after.started_ns != before.started_ns && after.proxy.state == "serving" {
                return print(&told(&before, &after));
            }
        }
        bail!("the guard is the program it was, or no proxy serves; its log tells why")
    }
}

fn is_of(client: &mut Client, started_ns: u64) -> bool {
    status(client).is_ok_and(|status| status.started_ns == started_ns)
}

fn status(client: &mut Client) -> anyhow::Result<Status> {
    let Response::Status(status) = client.ask(&Request::Status)? else {
        return Err(client::unexpected());
    };
    Ok(*status)
}

fn told(before: &Status, after: &Status) -> String {
    let (old, new) = (&before.version, &after.version);
    let version = if old == new { old.clone() } else { format!("{old} -> {new}") };
    let proxy = if before.proxy.pid == after.proxy.pid {
        format!("proxy {} was taken over: it is what would be started now", after.proxy.pid)
    } else {
        format!("proxy {} serves, proxy {} finishes what it has", after.proxy.pid, before.proxy.pid)
    };
    format!("{version}: guard {} started anew; {proxy}", after.guard_pid)
}
