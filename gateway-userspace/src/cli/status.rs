//! `gateway status`.

use serde_json::Value;

use super::{
    Context,
    client::{self, Client},
    output::{Output, bytes, escape, json, span, table},
    policy::summary,
    privileges,
};
use crate::control::{
    ConfigurationStatus, CookieStatus, KernelStatus, ProtectedStatus, ProxyStatus, RefusedReload,
    Request, Response, Status, SysctlStatus, Told, Usage,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut client = Client::connect(&context.socket)?;
        privileges::drop_all()?;
        let Response::Status(mut status) = client.ask(&Request::Status)? else {
            return Err(client::unexpected());
        };
        status.proxy.detail.read();
        self.output.print(&*status, show)
    }
}

/// Which file's, since when, and the last one that was not loaded.
fn configuration(status: &ConfigurationStatus) -> String {
    let ConfigurationStatus { file, digest, seconds, reloads, watched, refused } = status;
    let watched = if *watched { ", watched" } else { "" };
    let mut text =
        format!("{} ({digest}) for {}, {reloads} reloads{watched}", escape(file), span(*seconds));
    if let Some(RefusedReload { seconds_ago, why }) = refused {
        let first = escape(why.lines().next().unwrap_or(""));
        text.extend(["; REFUSED ", &span(*seconds_ago), " ago: ", &first]);
    }
    text
}

/// What an operator wants to see first, first.
pub(crate) fn show(status: &Status) -> String {
    let mut parts: Vec<String> =
        status.warnings.iter().map(|warning| format!("warning: {}", escape(warning))).collect();
    let usage = |usage: Usage| {
        format!("{} of {}, {} turned away", usage.used, usage.capacity, usage.refused)
    };
    let rows = [
        (
            "gateway",
            format!(
                "{}, guard {}, up {}",
                status.version,
                status.guard_pid,
                span(status.uptime_seconds)
            ),
        ),
        ("kernel", kernel(&status.kernel)),
        ("configuration", configuration(&status.configuration)),
        ("policy", summary(&status.policy)),
        ("syn cookies", cookies(&status.kernel.syn_cookies)),
        ("proxy", proxy(&status.proxy)),
        ("bans", usage(status.bans)),
        ("strikes", usage(status.strikes)),
    ];
    parts.push(table(["PART", "STATE"], rows.map(|(part, state)| [part.to_owned(), state])));
    parts.extend(filter(&status.kernel));
    if !status.protected.is_empty() {
        parts.push(table(["PROTECTED NOW", "WHY", "LEFT"], status.protected.iter().map(protected)));
    }
    parts.extend(certificates(&status.proxy.detail));
    if !status.proxy.detail.is_nothing() {
        parts.push(json(&without_certificates(&status.proxy.detail)).unwrap_or_default());
    }
    parts.join("\n\n")
}

fn kernel(kernel: &KernelStatus) -> String {
    if !kernel.enabled {
        return "OFF: bans are kept but no packet is dropped".to_owned();
    }
    let KernelStatus { mode, slot, layout, pins, memory_bytes, .. } = kernel;
    let shadow = match kernel.shadow.join(", ") {
        classes if classes.is_empty() || mode == "shadow" => String::new(),
        classes => format!(" but for {classes} in shadow mode"),
    };
    let maps = bytes(*memory_bytes);
    format!("{mode}{shadow}, policy slot {slot}, layout {layout}, pins {pins}, {maps} of maps")
}

/// What the proxy says of its certificates: untrusted words, and shown as such.
fn certificates(detail: &Told) -> Vec<String> {
    let Told::Read(detail) = detail else { return Vec::new() };
    let Some(lines) = detail.get("certificates").and_then(Value::as_array) else {
        return Vec::new();
    };
    let text =
        |line: &Value, key: &str| escape(line.get(key).and_then(Value::as_str).unwrap_or(""));
    let warnings = lines
        .iter()
        .filter(|line| line.get("warning").is_some())
        .map(|line| format!("warning: {}: {}", text(line, "source"), text(line, "warning")));
    let rows = lines.iter().map(|line| {
        let left = line.get("seconds_left").and_then(Value::as_u64).unwrap_or(0);
        let left = if left == 0 { "ENDED".to_owned() } else { span(left) };
        [text(line, "listener"), names(line), text(line, "issuer"), left, text(line, "source")]
    });
    let header = ["LISTENER", "CERTIFICATE FOR", "ISSUED BY", "LEFT", "FROM"];
    warnings.chain((!lines.is_empty()).then(|| table(header, rows))).collect()
}

/// The rest of what the proxy says.
fn without_certificates(detail: &Told) -> Told {
    let mut rest = detail.clone();
    if let Told::Read(Value::Object(fields)) = &mut rest {
        fields.remove("certificates");
    }
    rest
}

fn names(line: &Value) -> String {
    let all = line.get("names").and_then(Value::as_array);
    let mut names: Vec<String> =
        all.into_iter().flatten().filter_map(Value::as_str).map(escape).collect();
    if let Some(more @ 1..) = line.get("more_names").and_then(Value::as_u64) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

fn protected(protected: &ProtectedStatus) -> [String; 3] {
    let left = protected.left.map_or_else(String::new, span);
    [protected.net.to_string(), escape(&protected.why), left]
}

/// With the kernel's settings, and what they are put back to.
fn cookies(cookies: &CookieStatus) -> String {
    let setting = |sysctl: &SysctlStatus| match sysctl.was {
        Some(was) => format!(", {} {} (was {was})", sysctl.name, sysctl.value),
        None => format!(", {} {}", sysctl.name, sysctl.value),
    };
    let settings: String = cookies.sysctls.iter().map(setting).collect();
    let problem = cookies.problem.as_ref().map(|problem| format!("; {}", escape(problem)));
    format!("{}{settings}{}", escape(&cookies.state), problem.unwrap_or_default())
}

fn proxy(proxy: &ProxyStatus) -> String {
    format!("{}, process {}, restarted {} times", proxy.state, proxy.pid, proxy.restarts)
}

/// Interfaces, maps and counters.
fn filter(kernel: &KernelStatus) -> Vec<String> {
    let interfaces = kernel.interfaces.iter().map(|interface| {
        let packets: u64 = interface.counters.iter().map(|counter| counter.packets).sum();
        [
            interface.name.clone(),
            interface.attached.clone(),
            interface.program_id.to_string(),
            packets.to_string(),
            interface.egress.clone(),
        ]
    });
    let maps = kernel.maps.iter().map(|map| {
        [map.name.clone(), map.used.to_string(), map.capacity.to_string(), bytes(map.bytes)]
    });
    let counters = kernel.counters.iter().map(|counter| {
        [
            counter.reason.clone(),
            counter.packets.to_string(),
            bytes(counter.bytes),
            counter.shadow_packets.to_string(),
        ]
    });
    let mut parts = Vec::new();
    if !kernel.interfaces.is_empty() {
        parts.push(table(["INTERFACE", "ATTACHED", "PROGRAM", "PACKETS", "SENT"], interfaces));
    }
    if !kernel.maps.is_empty() {
        parts.push(table(["MAP", "USED", "CAPACITY", "MEMORY"], maps));
    }
    if !kernel.counters.is_empty() {
        parts.push(table(["REASON", "PACKETS", "BYTES", "IN SHADOW"], counters));
    }
    parts
}
