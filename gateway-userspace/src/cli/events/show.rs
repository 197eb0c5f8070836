//! Drops as lines for people, and as JSON: one object a line while they come.

use serde::Serialize;

use super::{Live, Losses};
use crate::{
    cli::{
        output::{self, Output, escape, print, print_on},
        why::protocol,
    },
    sampled::{Icmp, Sampled},
    telemetry::Timestamp,
};

const HEADINGS: [&str; 8] =
    ["TIME", "INTERFACE", "REASON", "SOURCE", "DESTINATION", "PROTOCOL", "DETAIL", "BYTES"];

/// Widths of the columns while the longest entry is not known.
const WIDTHS: [usize; 8] = [24, 10, 22, 24, 24, 8, 16, 0];

/// Flags of TCP from the lowest bit on (RFC 9293 section 3.1).
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// A drop with the time as people read it.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    time: String,
    #[serde(flatten)]
    drop: &'a Sampled,
}

pub(super) fn shown(drops: &[Sampled]) -> Vec<Shown<'_>> {
    drops.iter().map(|drop| Shown { time: time(drop), drop }).collect()
}

pub(super) fn table(drops: &[Shown<'_>]) -> String {
    output::table(HEADINGS, drops.iter().map(|shown| cells(shown.drop)))
}

/// Prints them as they come.
pub(super) fn follow(output: Output, mut live: Live) -> anyhow::Result<()> {
    let mut losses = Losses(0);
    if output.is_table() {
        print(&line(&HEADINGS.map(str::to_owned)))?;
    }
    while let Some(portion) = live.next()? {
        for drop in shown(&portion.drops) {
            let text =
                if output.is_table() { line(&cells(drop.drop)) } else { output::json_line(&drop)? };
            if !print_on(&text)? {
                return Ok(());
            }
        }
        losses.tell(portion.lost);
    }
    Ok(())
}

fn line(cells: &[String; 8]) -> String {
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{:width$}", escape(cell)));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn cells(drop: &Sampled) -> [String; 8] {
    let ports = drop.ports;
    let reason = if drop.shadow { format!("({})", drop.reason) } else { drop.reason.clone() };
    [
        time(drop),
        drop.interface.clone(),
        reason,
        end(drop.source, ports.map(|ports| ports.source)),
        end(drop.destination, ports.map(|ports| ports.destination)),
        kind(drop),
        detail(drop),
        drop.frame_length.to_string(),
    ]
}

fn time(drop: &Sampled) -> String {
    Timestamp(drop.at_ns / 1_000_000).to_string()
}

fn end(address: Option<std::net::IpAddr>, port: Option<u16>) -> String {
    match (address, port) {
        (None, _) => "?".to_owned(),
        (Some(address), None) => address.to_string(),
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
    }
}

/// The protocol, or what is there in place of IP.
fn kind(drop: &Sampled) -> String {
    match drop.ether_type {
        0x0800 | 0x86dd => protocol(drop.protocol),
        0x0806 => "arp".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

fn detail(drop: &Sampled) -> String {
    let icmp = drop.icmp.map(|Icmp { kind, code }| format!("type {kind} code {code}"));
    icmp.or(drop.tcp_flags.map(flags)).unwrap_or_default()
}

fn flags(flags: u8) -> String {
    let set = FLAGS.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}
