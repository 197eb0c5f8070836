//! `cors` of a route: which origins may read its answers. What would give them to everybody, with
//! the visitor's cookies, is a fault rather than a warning.

use std::{ops::RangeInclusive, time::Duration};

use http::{HeaderName, Method};

use crate::config::{
    fault::quoted,
    model::{Cors, Pattern},
    tree::{Entry, Section},
};

const ORIGINS: usize = 256;
const NAMES: usize = 64;

/// Browsers keep none longer than a day.
const MAX_AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const USUAL_AGE: Duration = Duration::from_mins(10);

/// Answered without a word in a preflight where a route names no methods.
const SIMPLE: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// `of_route` are the methods the route takes; none is all.
pub(super) fn read(entry: &Entry<'_>, of_route: &[Method]) -> Option<Cors> {
    let mut section = entry.section()?;
    let credentials = section.flag("credentials", false);
    let private_network = section.flag("private_network", false);
    let origins = section.need("origins", "[\"https://app.example.com\"]");
    let origins = origins.and_then(|entry| origins_of(&entry));
    let methods = methods(&mut section, of_route);
    let headers = names(section.get("headers"));
    let expose = names(section.get("expose"));
    let max_age = section.time("max_age", USUAL_AGE, MAX_AGE);
    let (anyone, origins) = origins?;
    let cors = Cors {
        anyone,
        origins,
        methods: methods?,
        headers: headers?,
        expose: expose?,
        credentials,
        max_age,
        private_network,
    };
    let safe = is_safe(&section, &cors);
    section.finish();
    safe.then_some(cors)
}

/// Whether it is everybody, else who.
fn origins_of(entry: &Entry<'_>) -> Option<(bool, Vec<Pattern>)> {
    let entries = entry.list(ORIGINS);
    if entries.is_empty() {
        entry.refuse("has no origin", "name one, or leave cors out");
        return None;
    }
    let anyone = entries.iter().any(|entry| entry.is_text("*"));
    if anyone && entries.len() > 1 {
        entry.refuse("names \"*\" beside others", "\"*\" is every origin: write it alone, or not");
        return None;
    }
    if anyone {
        return Some((true, Vec::new()));
    }
    let patterns: Vec<_> = entries.iter().map(pattern).collect();
    patterns.into_iter().collect::<Option<_>>().map(|patterns| (false, patterns))
}

fn pattern(entry: &Entry<'_>) -> Option<Pattern> {
    let text = entry.text()?;
    let pattern = Pattern::read(text);
    let found = match &pattern {
        None => "is no origin",
        Some(Pattern::Below(origin)) if !origin.host.contains('.') => "is half the Internet",
        Some(Pattern::Below(origin)) if origin.host.parse::<std::net::IpAddr>().is_ok() => {
            "has labels before an address"
        }
        Some(_) => return pattern,
    };
    entry.refuse(
        format!("{} {found}", quoted(text)),
        "write one as browsers do, such as \"https://app.example.com\" or \"https://*.example.com\"",
    );
    None
}

/// Those named; else the route's own, else those that need no preflight.
fn methods(section: &mut Section<'_>, of_route: &[Method]) -> Option<Vec<Method>> {
    let Some(entry) = section.get("methods") else {
        let usual = if of_route.is_empty() { &SIMPLE } else { of_route };
        return Some(usual.to_vec());
    };
    let one = |entry: &Entry<'_>| {
        let text = entry.text()?;
        let method = Method::from_bytes(text.as_bytes()).ok();
        let taken = |method: &Method| of_route.is_empty() || of_route.contains(method);
        let lawful = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let method = method.filter(|method| lawful && taken(method));
        if method.is_none() {
            let what = format!("{} is no method of this route", quoted(text));
            entry.refuse(what, "name methods that the route takes, in capitals");
        }
        method
    };
    entry.list(NAMES).iter().map(one).collect()
}

fn names(entry: Option<Entry<'_>>) -> Option<Vec<HeaderName>> {
    let one = |entry: &Entry<'_>| {
        let text = entry.text()?;
        let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|name| name != "*");
        if name.is_none() {
            let what = format!("{} is no name of a header", quoted(text));
            entry.refuse(what, "name each header, such as \"content-type\"");
        }
        name
    };
    entry.map(|entry| entry.list(NAMES)).unwrap_or_default().iter().map(one).collect()
}

/// Notes combinations that give away what they should guard.
fn is_safe(section: &Section<'_>, cors: &Cors) -> bool {
    let origin = |pattern: &Pattern| match pattern {
        Pattern::Exact(origin) | Pattern::Below(origin) => Some(origin.clone()),
        Pattern::Null => None,
    };
    let plain = cors.origins.iter().filter_map(origin);
    let plain = plain.filter(|origin| origin.scheme == "http" && !origin.is_loopback());
    let null = cors.origins.contains(&Pattern::Null);
    let faults = [
        (
            cors.credentials && cors.anyone,
            "lets every site read answers with its visitors' cookies",
            "name the origins, or leave out credentials = true",
        ),
        (
            cors.credentials && null,
            "lets \"null\" read answers with credentials: any sandboxed frame says it is that",
            "leave out \"null\" or credentials = true",
        ),
        (
            cors.credentials && plain.count() > 0,
            "lets an http:// origin read answers with credentials: whoever is on the way is that",
            "write https://, or leave out credentials = true",
        ),
        (
            cors.private_network && (cors.anyone || null),
            "opens a private network to every site",
            "name the origins, or leave out private_network = true",
        ),
    ];
    for (_, what, instead) in faults.iter().filter(|(found, ..)| *found) {
        section.refuse_here("origins", *what, *instead);
    }
    !faults.iter().any(|(found, ..)| *found)
}
