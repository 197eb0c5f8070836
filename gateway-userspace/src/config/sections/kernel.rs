//! `[kernel]`: the XDP filter.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use gateway_common::Class;
use ipnet::IpNet;

use crate::config::{
    defaults,
    fault::quoted,
    model::{
        Acme, Admin, Answer, Answers, Attach, Capacity, Kernel, Listener, Mode, Policy, Rate,
        Service, SynCookies,
    },
    tree::{Entry, Section},
};

/// The longest tick of `bpf_jiffies64`, at `CONFIG_HZ` 100.
const TICK: Duration = Duration::from_millis(10);

/// Prefixes in one list.
const LIST: usize = 1000;

const INTERFACES: usize = 64;

/// How long SYN cookies stay on. The guard follows within a tenth of a second.
const HOLD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Entries of one map, at most: 16 M hosts are 1 GiB of locked memory.
const CAPACITY: u32 = 1 << 24;

/// The least leaves a resolver its time, the most is that of a connection tracker.
const FLOW_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_mins(10);

/// ICMP, TCP, UDP and `ICMPv6` have rules of their own.
const JUDGED: [u8; 4] = [1, 6, 17, 58];
/// Too short to type a word in, or so long that nobody would come back for it.
const CONFIRM: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(1);

const ANSWERS: &[(&str, Answer)] = &[("pass", Answer::Pass), ("drop", Answer::Drop)];

pub(super) fn read(mut section: Section<'_>) -> Kernel {
    let default = defaults::kernel();
    let interfaces = interfaces(&mut section);
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
        policy: section.choice(
            "policy",
            default.policy,
            &[("open", Policy::Open), ("closed", Policy::Closed)],
        ),
        services: services(&mut section),
        listening: Vec::new(),
        amplifiers: ports(&mut section, "amplifiers", default.amplifiers),
        flow_timeout: section.time("flow_timeout", default.flow_timeout, FLOW_TIMEOUT),
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
        syn_cookies: syn_cookies(section.section("syn_cookies"), default.syn_cookies),
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

fn syn_cookies(mut section: Section<'_>, default: SynCookies) -> SynCookies {
    let cookies = SynCookies {
        enabled: section.flag("enabled", default.enabled),
        above: plain_rate(&mut section, "above", default.above),
        hold: section.time("hold", default.hold, HOLD),
        most: plain_rate(&mut section, "most", default.most),
        timestamps: section.flag("timestamps", default.timestamps),
        veth: section.flag("veth", default.veth),
    };
    section.finish();
    cookies
}

/// A rate without a burst of its own: a second's worth may come at once.
fn plain_rate(section: &mut Section<'_>, key: &'static str, default: Rate) -> Rate {
    let Some((count, per)) = section.get(key).and_then(|entry| entry.rate()) else {
        return default;
    };
    let second = u128::from(count) * Duration::from_secs(1).as_nanos() / per.as_nanos().max(1);
    Rate { count, per, burst: u32::try_from(second).unwrap_or(u32::MAX).max(1) }
}

fn capacity(mut section: Section<'_>, default: Capacity) -> Capacity {
    let capacity = Capacity {
        hosts: section.whole("hosts", default.hosts, 1..=CAPACITY),
        prefixes: section.whole("prefixes", default.prefixes, 1..=CAPACITY),
        dynamic: section.whole("dynamic", default.dynamic, 1..=CAPACITY),
        allow: section.whole("allow", default.allow, 1..=CAPACITY),
        limits: section.whole("limits", default.limits, 1..=CAPACITY),
        flows: section.whole("flows", default.flows, 1..=CAPACITY),
    };
    section.finish();
    capacity
}

fn answers(mut section: Section<'_>, default: Answers) -> Answers {
    let answers = Answers::rows().fold(default, |answers, row| {
        answers.with(row, section.choice(row.name(), default.of(row), ANSWERS))
    });
    section.finish();
    answers
}

/// What `services` lists besides the listeners.
fn services(section: &mut Section<'_>) -> Vec<Service> {
    let entries = section.get("services").map(|entry| entry.list(LIST)).unwrap_or_default();
    entries.iter().filter_map(service).collect()
}

/// `"tcp/22"`, `"udp/53"`, `"ip/50"`
fn service(entry: &Entry<'_>) -> Option<Service> {
    let text = entry.text()?;
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let service = match text.split_once('/') {
        Some(("tcp", number)) => port(number).map(Service::Tcp),
        Some(("udp", number)) => port(number).map(Service::Udp),
        Some(("ip", number)) => {
            number.parse().ok().filter(|number| !JUDGED.contains(number)).map(Service::Ip)
        }
        _ => None,
    };
    if service.is_none() {
        let instead = "write \"tcp/PORT\", \"udp/PORT\", or \"ip/NUMBER\" for an IP protocol \
                       other than TCP, UDP and ICMP";
        entry.refuse(format!("{} is no service", quoted(text)), instead);
    }
    service
}

fn ports(section: &mut Section<'_>, key: &'static str, default: Vec<u16>) -> Vec<u16> {
    let Some(entry) = section.get(key) else { return default };
    entry.list(LIST).iter().filter_map(|entry| entry.whole(1..=u16::MAX)).collect()
}

/// The TCP ports that the gateway itself serves.
pub(super) fn listening(listeners: &[Listener], admin: &Admin, acme: Option<&Acme>) -> Vec<u16> {
    let others = admin.metrics.into_iter().chain(acme.and_then(|acme| acme.http));
    let others = others.filter(|address| !address.ip().is_loopback());
    let addresses = listeners.iter().map(|listener| listener.address).chain(others);
    let mut ports: Vec<u16> = addresses.map(|address| address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
