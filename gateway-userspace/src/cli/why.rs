//! `gateway why`: what happened to an address or a request, and why.

use std::net::IpAddr;

use super::{
    Context,
    client::{self, Client},
    output::{Output, escape, json, span, table},
    privileges,
};
use crate::{
    clock::{self, Wall},
    control::{DropRecord, Request, Response, Why},
    sampled::Icmp,
};

/// Characters of a request id, at most; ours have 32.
const ID: usize = 128;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An address, or a request's id (`X-Request-Id` of its answer).
    #[arg(value_name = "IP|REQUEST-ID", value_parser = subject)]
    subject: Subject,
    #[command(flatten)]
    output: Output,
}

/// `gateway block why`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddressArgs {
    #[arg(value_name = "IP", value_parser = address)]
    address: IpAddr,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Address(IpAddr),
    Request(String),
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        ask(self.subject, self.output, context)
    }
}

impl AddressArgs {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        ask(Subject::Address(self.address), self.output, context)
    }
}

fn ask(subject: Subject, output: Output, context: &Context) -> anyhow::Result<()> {
    let request = match subject {
        Subject::Address(address) => Request::WhyAddress { address },
        Subject::Request(id) => Request::WhyRequest { id },
    };
    let mut client = Client::connect(&context.socket)?;
    privileges::drop_all()?;
    let Response::Why(mut why) = client.ask(&request)? else {
        return Err(client::unexpected());
    };
    why.proxy.read();
    output.print(&*why, |why| show(why, clock::wall()))
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().map_err(|_ignored| "not an address".to_owned())?;
    Ok(address.to_canonical())
}

fn subject(text: &str) -> Result<Subject, String> {
    if let Ok(address) = address(text) {
        return Ok(Subject::Address(address));
    }
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=ID).contains(&text.len()) && text.bytes().all(lawful) {
        return Ok(Subject::Request(text.to_owned()));
    }
    Err("neither an address nor a request's id; ids are in the X-Request-Id of an answer"
        .to_owned())
}

/// The findings, and what they rest on.
pub(crate) fn show(why: &Why, now: Wall) -> String {
    let mut parts = vec![escape(&why.subject)];
    parts.extend(why.findings.iter().map(|finding| format!("- {}", escape(finding))));
    if let Some(ban) = &why.ban {
        parts.push(format!("\nban\n{}", super::block::show(std::slice::from_ref(ban), now)));
    }
    if !why.strikes.is_empty() {
        let rows = why.strikes.iter().map(|strike| {
            [span(strike.seconds_ago), strike.reason.clone(), strike.weight.to_string()]
        });
        parts.push(format!("\nstrikes\n{}", table(["AGO", "REASON", "WEIGHT"], rows)));
    }
    if !why.drops.is_empty() {
        let rows = why.drops.iter().map(|drop| {
            let reason = if drop.shadow {
                format!("{} (in shadow)", drop.reason)
            } else {
                drop.reason.clone()
            };
            [span(drop.seconds_ago), reason, protocol(drop.protocol), target(drop)]
        });
        let heads = ["AGO", "REASON", "PROTOCOL", "PORT OR TYPE"];
        parts.push(format!("\ndrops sampled in the kernel\n{}", table(heads, rows)));
    }
    if !why.proxy.is_nothing() {
        let memory = json(&why.proxy).unwrap_or_default();
        parts.push(format!("\nwhat the proxy remembers\n{memory}"));
    }
    parts.join("\n")
}

/// Where to, or what for.
fn target(drop: &DropRecord) -> String {
    let port = drop.destination_port.map(|port| port.to_string());
    let icmp = drop.icmp.map(|Icmp { kind, code }| format!("type {kind} code {code}"));
    port.or(icmp).unwrap_or_default()
}

/// The name of a protocol that is read, else its number.
pub(super) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_request_ids() {
        let v4 = Subject::Address("192.0.2.1".parse().unwrap());
        assert_eq!(subject("192.0.2.1"), Ok(v4.clone()));
        assert_eq!(subject("::ffff:192.0.2.1"), Ok(v4));
        assert_eq!(
            subject("0af7651916cd43dd"),
            Ok(Subject::Request("0af7651916cd43dd".to_owned()))
        );
        assert!(subject("").is_err());
        assert!(subject("192.0.2.0/24").is_err());
        assert!(subject("a b").is_err());
    }
}
