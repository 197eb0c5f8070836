//! `gateway acme`: names whose certificates are issued by themselves. What is shown are the proxy's
//! words, partly an authority's: read without capabilities, and escaped.

use clap::Subcommand;
use serde_json::Value;

use super::{
    Context,
    client::{self, Client},
    output::{Output, escape, span, table},
    privileges,
};
use crate::control::{Request, Response, Told};

/// Names whose certificates are issued by themselves.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every name: its state, its time left, when something is done next, what went wrong.
    List(List),
    /// Have the certificate of a name issued anew, now.
    Renew(Renew),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    /// A name that a listener has under `acme`.
    name: String,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List(List { output }) => list(context, output),
            Self::Renew(Renew { name }) => client::order(&context.socket, &Request::Issue { name }),
        }
    }
}

fn list(context: &Context, output: Output) -> anyhow::Result<()> {
    let mut client = Client::connect(&context.socket)?;
    privileges::drop_all()?;
    let Response::Status(mut status) = client.ask(&Request::Status)? else {
        return Err(client::unexpected());
    };
    status.proxy.detail.read();
    let lines = match &status.proxy.detail {
        Told::Read(detail) => detail.get("acme").cloned().unwrap_or_default(),
        Told::Unread(_) => Value::Null,
    };
    output.print(&lines, show)
}

/// A row a name; what went wrong below, since it is long.
pub(crate) fn show(lines: &Value) -> String {
    let lines = lines.as_array().map(Vec::as_slice).unwrap_or_default();
    if lines.is_empty() {
        return "no listener leaves a name to acme, or no proxy serves".to_owned();
    }
    let text =
        |line: &Value, key: &str| escape(line.get(key).and_then(Value::as_str).unwrap_or(""));
    let time = |line: &Value, key: &str| {
        line.get(key).and_then(Value::as_u64).map_or_else(|| "-".to_owned(), span)
    };
    let rows = lines.iter().map(|line| {
        let suggested = line.get("suggested_by_authority").and_then(Value::as_bool);
        let by = if suggested == Some(true) { " (suggested)" } else { "" };
        let next = time(line, "next_in_seconds");
        let left = time(line, "ends_in_seconds");
        [text(line, "name"), text(line, "state"), left, format!("{next}{by}")]
    });
    let whys = lines.iter().filter(|line| line.get("why").is_some());
    let whys = whys.map(|line| format!("{}: {}", text(line, "name"), text(line, "why")));
    let table = table(["NAME", "STATE", "LEFT", "NEXT"], rows);
    std::iter::once(table).chain(whys).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::show;

    #[test]
    fn a_failure_says_why_and_an_authoritys_words_cannot_steer_a_terminal() {
        let lines = json!([
            { "name": "a.example", "state": "issued", "ends_in_seconds": 86400,
              "next_in_seconds": 3600, "suggested_by_authority": true, "failures": 0 },
            { "name": "b.example", "state": "stand-in: not issued", "next_in_seconds": 60,
              "suggested_by_authority": false, "failures": 2, "why": "no\u{1b}[2J" },
        ]);
        let shown = show(&lines);
        assert!(shown.contains("(suggested)") && shown.contains("b.example: no"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(show(&json!(null)).contains("no listener"));
    }
}
