//! `[kernel]`: the XDP filter.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use gateway_common::Class;
use ipnet::IpNet;

use crate::config::{
    defaults,
    fault::quoted,
    model::{Answer, Answers, Attach, Capacity, Kernel, Mode, Rate},
    tree::{Entry, Section},
};

/// The longest tick of `bpf_jiffies64`, at `CONFIG_HZ` 100.
const TICK: Duration = Duration::from_millis(10);

/// Prefixes in one list.
const LIST: usize = 1000;

const INTERFACES: usize = 64;

/// Entries of one map, at most: 16 M hosts are 1 GiB of locked memory.
const CAPACITY: u32 = 1 << 24;

/// Too short to type a word in, or so long that nobody would come back for it.
const CONFIRM: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(1);

const ANSWERS: &[(&str, Answer)] = &[("pass", Answer::Pass), ("drop", Answer::Drop)];

pub(super) fn read(mut section: Section<'_>) -> Kernel {
    let default = defaults::kernel();
    let interfaces = interfaces(&mut section);
    if let Some(policy) = section.get("policy") {
        check_policy(&policy);
    }
    let kernel = Kernel {
        enabled: !interfaces.is_empty(),
        interfaces,
        attach: section.choice(
            "attach",
            default.attach,
            &[("auto", Attach::Auto), ("native", Attach::Native), ("generic", Attach::Generic)],
        ),
        mode: section.choice(
            "mode",
            default.mode,
            &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)],
        ),
        shadow: classes(&mut section),
        confirm: confirm(&mut section, default.confirm),
        protect: prefixes(&mut section, "protect"),
        trusted_proxies: prefixes(&mut section, "trusted_proxies"),
        shared: prefixes(&mut section, "shared"),
        allow_limit: packet_rate(&mut section, "allow_limit", default.allow_limit),
        packets: ceiling(&mut section, "packets", default.packets),
        packets_neighbourhood: ceiling(
            &mut section,
            "packets_neighbourhood",
            default.packets_neighbourhood,
        ),
        syns: ceiling(&mut section, "syns", default.syns),
        syns_neighbourhood: ceiling(&mut section, "syns_neighbourhood", default.syns_neighbourhood),
        limit_inserts: section.whole("limit_inserts", default.limit_inserts, 1..=10_000_000),
        capacity: capacity(section.section("capacity"), default.capacity),
        answers: answers(section.section("answers"), default.answers),
        events: section.whole("events", default.events, 0..=10_000),
        pins: section.path("pins", &default.pins),
    };
    section.finish();
    kernel
}

fn classes(section: &mut Section<'_>) -> Vec<Class> {
    let known = Class::ALL.map(|class| (class.name(), class));
    let listed = section.get("shadow").map(|entry| entry.list(known.len())).unwrap_or_default();
    let mut found = Vec::new();
    for entry in listed {
        let Some(class) = entry.choice(&known) else { continue };
        if found.contains(&class) {
            entry.refuse(format!("{} is listed twice", quoted(class.name())), "write it once");
        } else {
            found.push(class);
        }
    }
    found
}

fn confirm(section: &mut Section<'_>, default: Option<Duration>) -> Option<Duration> {
    if section.is_off("confirm") {
        return None;
    }
    Some(section.time("confirm", default?, CONFIRM))
}

/// Says what is coming rather than leaving an operator to believe in a policy that is not there.
fn check_policy(entry: &Entry<'_>) {
    match entry.text() {
        Some("closed") => entry.refuse(
            "\"closed\" is not in this build, which knows only \"open\"",
            "write \"open\" and close ports by other means",
        ),
        Some("open") | None => {}
        Some(other) => entry.refuse(format!("{} is no policy", quoted(other)), "write \"open\""),
    }
}

fn interfaces(section: &mut Section<'_>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for entry in section.get("interfaces").map(|entry| entry.list(INTERFACES)).unwrap_or_default() {
        let Some(name) = entry.text() else { continue };
        if !is_interface(name) {
            let what = format!("{} is not the name of an interface", quoted(name));
            entry.refuse(what, "write one that `ip link` lists");
        } else if found.iter().any(|known| known == name) {
            entry.refuse(format!("{} is listed twice", quoted(name)), "write it once");
        } else {
            found.push(name.to_owned());
        }
    }
    found
}

/// What the kernel takes as a name (`dev_valid_name`).
fn is_interface(name: &str) -> bool {
    let lawful = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | ':');
    (1..16).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(lawful)
}

fn prefixes(section: &mut Section<'_>, key: &'static str) -> Vec<IpNet> {
    let mut found: Vec<IpNet> = Vec::new();
    for entry in section.get(key).map(|entry| entry.list(LIST)).unwrap_or_default() {
        let Some(net) = entry.prefix() else { continue };
        if found.contains(&net) {
            entry.refuse(format!("\"{net}\" is listed twice"), "write it once");
        } else if let Some((what, instead)) = unfit(net) {
            entry.refuse(format!("\"{net}\" {what}"), instead);
        } else {
            found.push(net);
        }
    }
    found
}

/// Why a prefix may not be exempted from bans.
fn unfit(net: IpNet) -> Option<(&'static str, &'static str)> {
    let narrowest = if net.addr().is_ipv4() { 8 } else { 16 };
    if net.prefix_len() < narrowest {
        return Some((
            "would exempt too much of the Internet from bans",
            "write IPv4 prefixes of /8 or longer, IPv6 prefixes of /16 or longer",
        ));
    }
    let loopback = match net.addr() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback(),
    };
    if loopback {
        return Some(("is loopback, which is never banned", "leave it out"));
    }
    if net.addr().is_multicast() {
        return Some(("is multicast, which is nobody's source", "leave it out"));
    }
    None
}

/// A limit that may be `"off"`. Each has a default that is not.
fn ceiling(section: &mut Section<'_>, key: &'static str, default: Option<Rate>) -> Option<Rate> {
    if section.is_off(key) {
        return None;
    }
    Some(packet_rate(section, key, default?))
}

/// A rate the kernel can hold: its clock moves in ticks, so a burst must last for two.
fn packet_rate(section: &mut Section<'_>, key: &'static str, default: Rate) -> Rate {
    let rate = section.rate(key, default);
    let needed = TICK.as_nanos() * 2 * u128::from(rate.count) / rate.per.as_nanos().max(1);
    if u128::from(rate.burst) < needed {
        section.refuse_inside(
            key,
            format!("a burst of {} is over in less than two 10 ms ticks", rate.burst),
            format!("write burst = {needed} or more"),
        );
    }
    rate
}

fn capacity(mut section: Section<'_>, default: Capacity) -> Capacity {
    let capacity = Capacity {
        hosts: section.whole("hosts", default.hosts, 1..=CAPACITY),
        prefixes: section.whole("prefixes", default.prefixes, 1..=CAPACITY),
        dynamic: section.whole("dynamic", default.dynamic, 1..=CAPACITY),
        allow: section.whole("allow", default.allow, 1..=CAPACITY),
        limits: section.whole("limits", default.limits, 1..=CAPACITY),
    };
    section.finish();
    capacity
}

fn answers(mut section: Section<'_>, default: Answers) -> Answers {
    let mut answer = |key, default| section.choice(key, default, ANSWERS);
    let answers = Answers {
        ethernet_truncated: answer("ethernet_truncated", default.ethernet_truncated),
        vlan_depth: answer("vlan_depth", default.vlan_depth),
        ether_type_unknown: answer("ether_type_unknown", default.ether_type_unknown),
        ipv4_malformed: answer("ipv4_malformed", default.ipv4_malformed),
        ipv6_malformed: answer("ipv6_malformed", default.ipv6_malformed),
        extension_depth: answer("extension_depth", default.extension_depth),
        extension_malformed: answer("extension_malformed", default.extension_malformed),
        later_fragment: answer("later_fragment", default.later_fragment),
        transport_malformed: answer("transport_malformed", default.transport_malformed),
        limit_inserts: answer("limit_inserts", default.limit_inserts),
    };
    section.finish();
    answers
}
