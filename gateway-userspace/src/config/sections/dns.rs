//! `[dns]`: how names of suppliers are found.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::target::host_name;
use crate::config::{
    defaults,
    fault::quoted,
    model::Dns,
    tree::{Entry, Section},
};

/// As many as resolv.conf(5) takes.
const SERVERS: usize = 3;
const SEARCHED: usize = 6;
const PORT: u16 = 53;

const WAIT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);
/// A question a second and name is the most that is asked.
const LIFE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);
const STALE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24 * 7);

pub(super) fn read(mut section: Section<'_>) -> Dns {
    let default = defaults::dns();
    let dns = Dns {
        servers: list(&mut section, "servers", SERVERS).iter().filter_map(server).collect(),
        search: list(&mut section, "search", SEARCHED).iter().filter_map(domain).collect(),
        timeout: section.time("timeout", default.timeout, WAIT),
        attempts: section.whole("attempts", default.attempts, 1..=10),
        ttl_min: section.time("ttl_min", default.ttl_min, LIFE),
        ttl_max: section.time("ttl_max", default.ttl_max, LIFE),
        negative_max: section.time("negative_max", default.negative_max, LIFE),
        stale: section.time("stale", default.stale, STALE),
    };
    if dns.ttl_min > dns.ttl_max {
        section.refuse_inside("ttl_min", "is longer than ttl_max", "write a shorter ttl_min");
    }
    section.finish();
    dns
}

fn list<'a>(section: &mut Section<'a>, key: &'static str, most: usize) -> Vec<Entry<'a>> {
    section.get(key).map(|entry| entry.list(most)).unwrap_or_default()
}

/// An address, or an address with a port.
fn server(entry: &Entry<'_>) -> Option<SocketAddr> {
    let text = entry.text()?;
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let found = address.or_else(|_not_alone| text.parse());
    let lawful = found.ok().filter(|one| one.port() != 0 && !one.ip().is_unspecified());
    if lawful.is_none() {
        let what = format!("{} is not the address of a name server", quoted(text));
        entry.refuse(what, "write one such as \"192.0.2.53\" or \"[2001:db8::53]:5353\"");
    }
    lawful
}

fn domain(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let found = host_name(text);
    if found.is_none() {
        let what = format!("{} is no domain", quoted(text));
        entry.refuse(what, "write one such as \"internal.example\"");
    }
    found
}
