//! `[proxy]`: bounds of the request path.

use std::{ops::RangeInclusive, time::Duration};

use super::{compress, parties};
use crate::config::{
    defaults,
    model::{Forwarded, Proxy, Timeouts},
    places::MOST_WORKERS,
    tree::Section,
};

pub(super) const TIMES: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(24);

/// Bytes of a body cap: far more than any memory, since bodies stream.
pub(super) const BODY: RangeInclusive<u64> = 0..=1 << 40;

/// Further fields that claim to name a client.
const CLIENT_FIELDS: usize = 32;

const FORWARDED: [(&str, Forwarded); 3] = [
    ("x-forwarded-for", Forwarded::XForwardedFor),
    ("forwarded", Forwarded::Forwarded),
    ("none", Forwarded::None),
];

pub(super) fn read(mut section: Section<'_>) -> Proxy {
    let default = defaults::proxy();
    let head = section.size("head", u64::from(default.head_bytes), 1 << 10..=1 << 20);
    let proxy = Proxy {
        workers: workers(&mut section, default.workers),
        connections: section.whole("connections", default.connections, 1..=1_000_000),
        connections_per_source: section.whole(
            "connections_per_source",
            default.connections_per_source,
            1..=1_000_000,
        ),
        requests: section.whole("requests", default.requests, 1..=1_000_000),
        memory: memory(&mut section, default.memory),
        head_bytes: u32::try_from(head).unwrap_or(default.head_bytes),
        head_fields: section.whole("head_fields", default.head_fields, 8..=1000),
        streams: section.whole("streams", default.streams, 1..=10_000),
        body_bytes: section.size("body", default.body_bytes, BODY),
        compress: compress::read(&mut section, default.compress.as_ref()),
        anonymous: section.rate("anonymous", default.anonymous),
        limiter_keys: section.whole("limiter_keys", default.limiter_keys, 16..=10_000_000),
        forwarded: section.choice("forwarded", default.forwarded, &FORWARDED),
        client_fields: client_fields(&mut section, default.client_fields),
        timeouts: timeouts(section.section("timeouts"), &default.timeouts),
    };
    if proxy.connections_per_source > proxy.connections {
        section.refuse_inside(
            "connections_per_source",
            format!("is over proxy.connections ({})", proxy.connections),
            "write a smaller number",
        );
    }
    section.finish();
    proxy
}

fn client_fields(section: &mut Section<'_>, default: Vec<String>) -> Vec<String> {
    let Some(entry) = section.get("client_fields") else { return default };
    entry.list(CLIENT_FIELDS).iter().filter_map(parties::field_name).collect()
}

/// What a proxy without a connection uses, with room for a few hundred of them, is the least.
fn memory(section: &mut Section<'_>, default: u64) -> u64 {
    if section.is_off("memory") { 0 } else { section.size("memory", default, 64 << 20..=1 << 50) }
}

/// 0 is one for each processor.
fn workers(section: &mut Section<'_>, default: u16) -> u16 {
    let most = u16::try_from(MOST_WORKERS).unwrap_or(u16::MAX);
    let workers = section.whole("workers", 0, 0..=most);
    if workers == 0 { default } else { workers }
}

fn timeouts(mut section: Section<'_>, default: &Timeouts) -> Timeouts {
    let mut time = |key, default| section.time(key, default, TIMES);
    let timeouts = Timeouts {
        handshake: time("handshake", default.handshake),
        head: time("head", default.head),
        body: time("body", default.body),
        idle: time("idle", default.idle),
        request: time("request", default.request),
        connect: time("connect", default.connect),
        first_byte: time("first_byte", default.first_byte),
        stall: time("stall", default.stall),
        drain: time("drain", default.drain),
    };
    section.finish();
    timeouts
}

/// A route's own timeout.
pub(super) fn route_timeout(section: &mut Section<'_>, default: Duration) -> Duration {
    section.time("timeout", default, TIMES)
}
