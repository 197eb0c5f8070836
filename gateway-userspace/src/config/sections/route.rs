//! `[[route]]`: which requests go where, for whom, and how many of them.

use std::{collections::HashMap, time::Duration};

use http::Method;

use super::{
    ambiguity::Taken,
    compress, conditions, contract, cors,
    destination::{self, Goals},
    parties::{self, Named},
    path, profile, proxy, target, transform, waf,
};
use crate::config::{
    fault::{nearest, quoted},
    matching::WILDCARD,
    model::{
        Compress, Conditions, Identity, LimitKey, Priority, Proxy, Route, RouteLimit, RouteWaf,
        Supplier, Waf,
    },
    tree::{Entry, Section},
};

const ROUTES: usize = 10_000;
const METHODS: usize = 16;

const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

/// What routes may refer to and fall back on.
pub(super) struct Known<'k> {
    identities: Vec<&'k str>,
    goals: Goals<'k>,
    body_bytes: u64,
    compress: Option<&'k Compress>,
    timeout: Duration,
    waf: Option<&'k RouteWaf>,
}

impl<'k> Known<'k> {
    pub(super) fn new(
        identities: &'k Named<Identity>,
        suppliers: &'k Named<Supplier>,
        proxy: &'k Proxy,
        waf: Option<&'k Waf>,
    ) -> Self {
        Self {
            identities: identities.names.iter().map(String::as_str).collect(),
            goals: Goals::new(&suppliers.names),
            body_bytes: proxy.body_bytes,
            compress: proxy.compress.as_ref(),
            timeout: proxy.timeouts.request,
            waf: waf.map(|waf| &waf.route),
        }
    }
}

pub(super) fn read(root: &mut Section<'_>, known: &Known<'_>) -> Vec<Route> {
    let mut taken = Taken::default();
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut routes = Vec::new();
    for mut section in root.sections("route", ROUTES) {
        if let Some(route) = one(&mut section, known) {
            taken.insert(&section, &route);
            if let Some(other) = names.insert(route.name.clone(), section.place()) {
                let line = section.line_of(other);
                let what = format!("{} is the route on line {line} too", quoted(&route.name));
                section.refuse_inside("name", what, "choose another name");
            }
            routes.push(route);
        }
        section.finish();
    }
    routes
}

fn one(section: &mut Section<'_>, known: &Known<'_>) -> Option<Route> {
    let name = optional(section.get("name"), parties::name);
    let host = optional(section.get("host"), host);
    let path = section.need("path", "\"/v1/payments/{id}\"").and_then(|entry| path::path(&entry));
    let methods = methods(section);
    let when = conditions::read(section);
    let destination = destination::read(section, path.as_deref(), &known.goals);
    let identity = identity(section, known);
    let limit = optional(section.get("limit"), limit);
    let body_bytes = section.size("body", known.body_bytes, proxy::BODY);
    let encoded = compress::encoded(section);
    let compress = compress::read(section, known.compress);
    let timeout = proxy::route_timeout(section, known.timeout);
    let first_byte = section.get("first_byte").and_then(|entry| entry.time(proxy::TIMES));
    let retry = profile::retry(section);
    let websocket = upgrade(section);
    let transform = transform::read(section);
    let cors = optional(section.get("cors"), |entry| cors::read(entry, &methods));
    let openapi = contract::read(section);
    let waf = waf::route(section, known.waf);
    let priority = section.choice("priority", Priority::Normal, &PRIORITIES);
    let concurrency = optional(section.get("concurrency"), |entry| entry.whole(1..=1_000_000));
    let adaptive = section.flag("adaptive", false);
    let (host, path) = (host.ok()?, path?);
    let own_name = || label(&methods, host.as_deref(), &path, &when);
    Some(Route {
        name: name.ok()?.unwrap_or_else(own_name),
        host,
        path,
        methods,
        when,
        destination: destination?,
        identity: identity.ok()?,
        limit: limit.ok()?,
        body_bytes,
        encoded,
        compress,
        timeout,
        first_byte,
        retry,
        websocket,
        transform,
        cors: cors.ok()?,
        waf,
        openapi,
        priority,
        concurrency: concurrency.ok()?,
        adaptive,
    })
}

/// Whether WebSocket is among the protocols that a connection may become; there is no other yet.
fn upgrade(section: &mut Section<'_>) -> bool {
    let entries = section.get("upgrade").map(|entry| entry.list(1)).unwrap_or_default();
    let known = entries.iter().map(|entry| entry.choice(&[("websocket", ())]));
    known.flatten().count() > 0
}

/// The value is faulty, which has been noted.
pub(super) struct Noted;

/// Whom a route lets in; `None` is everybody. A key left out by oversight must not open a
/// route: a public one says so.
fn identity(section: &mut Section<'_>, known: &Known<'_>) -> Result<Option<String>, Noted> {
    let Some(entry) = section.get("identity") else {
        section.refuse_here(
            "identity",
            "is missing",
            "write identity = \"none\" if anyone may call it, else the name of an [[identity]]",
        );
        return Err(Noted);
    };
    if entry.is_text(parties::NOBODY_IN_PARTICULAR) {
        return Ok(None);
    }
    reference(&entry, "identity", &known.identities).map(Some).ok_or(Noted)
}

/// A key that may be left out.
pub(super) fn optional<'a, T>(
    entry: Option<Entry<'a>>,
    read: impl FnOnce(&Entry<'a>) -> Option<T>,
) -> Result<Option<T>, Noted> {
    entry.map(|entry| read(&entry).ok_or(Noted)).transpose()
}

/// The name of a route without one: unique, since no two routes take the same requests.
fn label(methods: &[Method], host: Option<&str>, path: &str, when: &Conditions) -> String {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let gap = if methods.is_empty() { "" } else { " " };
    let when = conditions::label(when);
    format!("{}{gap}{}{path}{when}", methods.join(","), host.unwrap_or_default())
}

fn host(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if let Some(rest) = text.strip_prefix(WILDCARD) {
        let name = target::host_name(rest).map(|rest| format!("{WILDCARD}{rest}"));
        if name.is_none() {
            let what = format!("{} is not a host", quoted(text));
            entry.refuse(what, "write one such as \"*.example.com\": * stands for one whole label");
        }
        return name;
    }
    let name = text.parse::<std::net::IpAddr>().map_or_else(
        |_| target::host_name(text),
        |address| {
            Some(match address {
                std::net::IpAddr::V4(v4) => v4.to_string(),
                std::net::IpAddr::V6(v6) => format!("[{v6}]"),
            })
        },
    );
    if name.is_none() {
        let what = format!("{} is not a host", quoted(text));
        entry.refuse(what, "write one such as \"api.example.com\", without port");
    }
    name
}

fn methods(section: &mut Section<'_>) -> Vec<Method> {
    let mut methods: Vec<Method> = Vec::new();
    for entry in section.get("methods").map(|entry| entry.list(METHODS)).unwrap_or_default() {
        let Some(text) = entry.text() else { continue };
        let lawful = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| lawful);
        let refused = matches!(method, None | Some(Method::CONNECT | Method::TRACE));
        match method {
            Some(method) if methods.contains(&method) => {
                entry.refuse(format!("\"{method}\" is listed twice"), "write it once");
            }
            Some(method) if !refused => methods.push(method),
            Some(_) | None => entry.refuse(
                format!("{} is no method a route can take", quoted(text)),
                "write one such as \"GET\" or \"POST\", in capitals",
            ),
        }
    }
    methods
}

pub(super) fn reference(entry: &Entry<'_>, kind: &str, known: &[&str]) -> Option<String> {
    let text = entry.text()?;
    if known.contains(&text) {
        return Some(text.to_owned());
    }
    let instead = match nearest(text, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("add a [[{kind}]] with this name"),
        None => format!("add it, or name one of: {}", some(known)),
    };
    entry.refuse(format!("no [[{kind}]] is named {}", quoted(text)), instead);
    None
}

fn some(names: &[&str]) -> String {
    let first: Vec<&str> = names.iter().take(8).copied().collect();
    first.join(", ")
}

fn limit(entry: &Entry<'_>) -> Option<RouteLimit> {
    let mut section = entry.section()?;
    let keys = [("client", LimitKey::Client), ("address", LimitKey::Address)];
    let per = section.choice("per", LimitKey::Client, &keys);
    let rate = section.rate_keys();
    section.finish();
    Some(RouteLimit { per, rate: rate? })
}
