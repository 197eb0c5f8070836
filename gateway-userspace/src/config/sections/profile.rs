//! A supplier's `balance`, `health`, `eject`, `breaker`, `requests` and what belongs to them, and a
//! route's `retry`.

use std::{ops::RangeInclusive, time::Duration};

use http::HeaderName;

use crate::config::{
    defaults,
    fault::quoted,
    model::{Balance, Bound, Breaker, Ejection, HashKey, Health, Pair, Profile, Retry},
    tree::{Entry, Section},
};

const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
const SPELL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);
const PINS: usize = 16;
const STATUSES: usize = 16;

pub(super) fn read(section: &mut Section<'_>) -> Profile {
    let default = defaults::profile();
    Profile {
        balance: section.get("balance").and_then(|e| balance(&e)).unwrap_or(default.balance),
        slow_start: off_or(section, "slow_start", Some(default.slow_start), |section| {
            section.get("slow_start").and_then(|entry| entry.time(SPELL))
        })
        .unwrap_or_default(),
        health: section.get("health").and_then(|entry| health(&entry)),
        ejection: off_or(section, "eject", default.ejection, |section| {
            Some(eject(section.section("eject")))
        }),
        breaker: off_or(section, "breaker", None, |section| {
            Some(breaker(section.section("breaker")))
        }),
        bound: off_or(section, "requests", None, |section| bound(section.section("requests"))),
        retry_budget: section.whole("retry_budget", default.retry_budget, 0..=100),
        connect: section.get("connect").and_then(|entry| entry.time(WAIT)),
        first_byte: section.get("first_byte").and_then(|entry| entry.time(WAIT)),
        certificate: certificate(section),
        pins: pins(section),
    }
}

/// A route's retries.
pub(super) fn retry(section: &mut Section<'_>) -> Retry {
    let default = defaults::retry();
    if section.is_off("retry") {
        return Retry { attempts: 0, statuses: Vec::new(), idempotent: false };
    }
    let mut inner = section.section("retry");
    let attempts = inner.whole("attempts", default.attempts, 0..=5);
    let statuses = inner.get("statuses").map_or(default.statuses, |e| statuses(&e, 400..=599));
    let idempotent = inner.flag("idempotent", default.idempotent);
    inner.finish();
    Retry { attempts, statuses, idempotent }
}

/// `"off"`, a value, or left out.
fn off_or<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    default: Option<T>,
    read: impl FnOnce(&mut Section<'a>) -> Option<T>,
) -> Option<T> {
    if section.is_off(key) {
        return None;
    }
    if section.get(key).is_some() { read(section) } else { default }
}

/// The ways that take no name.
#[derive(Clone, Copy)]
enum Simple {
    LeastRequest,
    RoundRobin,
    Client,
    Address,
}

impl Simple {
    fn balance(self) -> Balance {
        match self {
            Self::LeastRequest => Balance::LeastRequest,
            Self::RoundRobin => Balance::RoundRobin,
            Self::Client => Balance::Hash(HashKey::Client),
            Self::Address => Balance::Hash(HashKey::Address),
        }
    }
}

fn balance(entry: &Entry<'_>) -> Option<Balance> {
    if !entry.is_table() {
        let choices = [
            ("least_request", Simple::LeastRequest),
            ("round_robin", Simple::RoundRobin),
            ("client", Simple::Client),
            ("address", Simple::Address),
        ];
        return entry.choice(&choices).map(Simple::balance);
    }
    let mut section = entry.section()?;
    let header = section.get("header");
    let cookie = section.get("cookie");
    if header.is_some() == cookie.is_some() {
        section.refuse_here("header", "stands alone", "write one of header and cookie");
    }
    section.finish();
    if let Some(entry) = header {
        return token(&entry).map(|name| Balance::Hash(HashKey::Header(name)));
    }
    // A cookie's name is a token too (RFC 6265 4.1.1), but its case counts.
    let cookie = cookie?;
    token(&cookie)?;
    cookie.text().map(|name| Balance::Hash(HashKey::Cookie(name.to_owned())))
}

fn token(entry: &Entry<'_>) -> Option<HeaderName> {
    let text = entry.text()?;
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let what = format!("{} is no name of a field or cookie", quoted(text));
        entry.refuse(what, "write one such as \"x-session\"");
    }
    name
}

fn health(entry: &Entry<'_>) -> Option<Health> {
    let mut section = entry.section()?;
    let path = section.need("path", "\"/healthz\"").and_then(|entry| {
        let text = entry.text()?;
        let lawful =
            text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !lawful {
            entry.refuse(format!("{} is no path", quoted(text)), "write one such as \"/healthz\"");
        }
        lawful.then(|| text.to_owned())
    });
    let every = section.time("every", Duration::from_secs(5), SPELL);
    let timeout = section.time("timeout", Duration::from_secs(2), WAIT);
    let healthy = section.whole("healthy", 2, 1..=100);
    let unhealthy = section.whole("unhealthy", 3, 1..=100);
    let statuses = section.get("status").map(|e| statuses(&e, 200..=599)).unwrap_or_default();
    section.finish();
    Some(Health { path: path?, every, timeout, healthy, unhealthy, statuses })
}

fn statuses(entry: &Entry<'_>, range: RangeInclusive<u16>) -> Vec<u16> {
    entry.list(STATUSES).iter().filter_map(|entry| entry.whole(range.clone())).collect()
}

fn eject(mut section: Section<'_>) -> Ejection {
    let default = defaults::ejection();
    let faults = section.whole("faults", default.faults, 1..=1000);
    let first = section.time("first", default.first, SPELL);
    let longest = section.time("longest", default.longest, SPELL);
    let share = section.whole("share", default.share, 1..=100);
    if first > longest {
        section.refuse_inside("first", "is longer than longest", "write a shorter first");
    }
    section.finish();
    Ejection { faults, first, longest, share }
}

fn breaker(mut section: Section<'_>) -> Breaker {
    let faults = section.whole("faults", 50, 1..=100);
    let requests = section.whole("requests", 20, 1..=1_000_000);
    let window = section.time("window", Duration::from_secs(10), SPELL);
    let open = section.time("open", Duration::from_secs(5), SPELL);
    section.finish();
    Breaker { faults, requests, window, open }
}

fn bound(mut section: Section<'_>) -> Option<Bound> {
    let most = section.need("most", "1000").and_then(|entry| entry.whole(1..=1_000_000));
    let queue = section.whole("queue", 0, 0..=1_000_000);
    let wait = section.time("wait", Duration::from_secs(1), WAIT);
    section.finish();
    Some(Bound { most: most?, queue, wait })
}

fn certificate(section: &mut Section<'_>) -> Option<Pair> {
    let certificate = section.get("certificate");
    let key = section.get("key");
    if certificate.is_some() != key.is_some() {
        let (there, missing) =
            if key.is_some() { ("key", "certificate") } else { ("certificate", "key") };
        section.refuse_inside(there, "is half of a pair", format!("add {missing} = \"/…\""));
    }
    let (certificate, key) = (certificate?.path()?, key?.path()?);
    Some(Pair { certificate, key })
}

fn pins(section: &mut Section<'_>) -> Vec<[u8; 32]> {
    let entries = section.get("pins").map(|entry| entry.list(PINS)).unwrap_or_default();
    entries.iter().filter_map(pin).collect()
}

fn pin(entry: &Entry<'_>) -> Option<[u8; 32]> {
    let text = entry.text()?;
    let pin = unhex(text);
    if pin.is_none() {
        let what = format!("{} is no SHA-256 of a public key", quoted(text));
        entry.refuse(what, "write its 64 hexadecimal digits");
    }
    pin
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let pairs: Vec<u8> = digits?
        .chunks(2)
        .filter_map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None })
        .collect();
    if text.len() == 64 { pairs.try_into().ok() } else { None }
}
