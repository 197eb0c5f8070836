//! `[[route]]`: which requests go where, for whom, and how many of them.

use std::{collections::HashMap, time::Duration};

use http::Method;

use super::{
    parties::{self, Named},
    proxy, target,
};
use crate::config::{
    fault::{nearest, quoted},
    model::{Identity, LimitKey, Proxy, Route, RouteLimit, Supplier},
    tree::{Entry, Section},
};

const ROUTES: usize = 10_000;
const METHODS: usize = 16;
const PATH_BYTES: usize = 1024;

/// What routes may refer to and fall back on.
pub(super) struct Known<'k> {
    identities: Vec<&'k str>,
    suppliers: Vec<&'k str>,
    body_bytes: u64,
    timeout: Duration,
}

impl<'k> Known<'k> {
    pub(super) fn new(
        identities: &'k Named<Identity>,
        suppliers: &'k Named<Supplier>,
        proxy: &Proxy,
    ) -> Self {
        Self {
            identities: identities.names.iter().map(String::as_str).collect(),
            suppliers: suppliers.names.iter().map(String::as_str).collect(),
            body_bytes: proxy.body_bytes,
            timeout: proxy.timeouts.request,
        }
    }
}

pub(super) fn read(root: &mut Section<'_>, known: &Known<'_>) -> Vec<Route> {
    let mut tables = Tables::default();
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut routes = Vec::new();
    for mut section in root.sections("route", ROUTES) {
        if let Some(route) = one(&mut section, known) {
            tables.insert(&section, &route);
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
    let path = section.need("path", "\"/v1/payments/{id}\"").and_then(|entry| path(&entry));
    let methods = methods(section);
    let supplier = section
        .need("supplier", "the name of a [[supplier]]")
        .and_then(|entry| reference(&entry, "supplier", &known.suppliers));
    let identity = identity(section, known);
    let limit = optional(section.get("limit"), limit);
    let body_bytes = section.size("body", known.body_bytes, proxy::BODY);
    let timeout = proxy::route_timeout(section, known.timeout);
    let (host, path) = (host.ok()?, path?);
    let own_name = || label(&methods, host.as_deref(), &path);
    Some(Route {
        name: name.ok()?.unwrap_or_else(own_name),
        host,
        path,
        methods,
        supplier: supplier?,
        identity: identity.ok()?,
        limit: limit.ok()?,
        body_bytes,
        timeout,
    })
}

/// The value is faulty, which has been noted.
struct Noted;

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
fn optional<'a, T>(
    entry: Option<Entry<'a>>,
    read: impl FnOnce(&Entry<'a>) -> Option<T>,
) -> Result<Option<T>, Noted> {
    entry.map(|entry| read(&entry).ok_or(Noted)).transpose()
}

/// The name of a route without one: unique, since no two routes take the same requests.
fn label(methods: &[Method], host: Option<&str>, path: &str) -> String {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let gap = if methods.is_empty() { "" } else { " " };
    format!("{}{gap}{}{path}", methods.join(","), host.unwrap_or_default())
}

fn host(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
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

/// A template that a normalized path can match: the router compares segments as they stand.
fn path(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let wrong = wrong_path(text);
    if let Some((what, instead)) = wrong {
        entry.refuse(format!("{} {what}", quoted(text)), instead);
        return None;
    }
    Some(text.to_owned())
}

fn wrong_path(text: &str) -> Option<(&'static str, &'static str)> {
    let Some(rest) = text.strip_prefix('/') else {
        return Some(("does not start with /", "write it from /"));
    };
    if text.len() > PATH_BYTES {
        return Some(("is too long", "write 1024 bytes at most"));
    }
    let segments: Vec<&str> = rest.split('/').collect();
    let last = segments.len() - 1;
    let mut names: Vec<&str> = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        // The last one may be empty: `/` and a trailing slash.
        if segment.is_empty() && i < last {
            return Some(("has an empty segment", "write each slash once"));
        }
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if let Some(wrong) = wrong_literal(segment) {
                return Some(wrong);
            }
            continue;
        };
        let name = match name.strip_prefix('*') {
            Some(_) if i < last => {
                return Some(("has {*…} before its end", "write it as the last segment"));
            }
            Some(name) => name,
            None => name,
        };
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(lawful) {
            return Some((
                "has a badly named segment",
                "write {name} or {*name}, letters, digits and _",
            ));
        }
        if names.contains(&name) {
            return Some(("names two segments alike", "give each its own name"));
        }
        names.push(name);
    }
    None
}

fn wrong_literal(segment: &str) -> Option<(&'static str, &'static str)> {
    if segment == "." || segment == ".." {
        return Some(("has a dot segment", "write where it leads to"));
    }
    // RFC 3986 pchar without escapes, which the proxy has decoded before it looks for a route.
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    if segment.contains(['{', '}']) {
        return Some(("mixes {name} with other text", "let {name} be a segment of its own"));
    }
    (!segment.bytes().all(lawful)).then_some((
        "has a character that no plain path has",
        "write a path without escapes and query",
    ))
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

fn reference(entry: &Entry<'_>, kind: &str, known: &[&str]) -> Option<String> {
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

/// The routes so far, to find two that would take the same request.
#[derive(Default)]
struct Tables {
    /// One matcher a host: the one the proxy uses, so that it cannot refuse what passed here.
    hosts: HashMap<Option<String>, matchit::Router<()>>,
    /// The routes with the same host and path.
    paths: HashMap<(Option<String>, String), Vec<Taken>>,
}

/// Methods that a route takes, and its place in the text.
type Taken = (Vec<Method>, usize);

impl Tables {
    fn insert(&mut self, section: &Section<'_>, route: &Route) {
        let place = (route.host.clone(), route.path.clone());
        let alike = self.paths.entry(place).or_default();
        let taken = alike.iter().find(|(methods, _)| overlap(methods, &route.methods));
        if let Some((_, other)) = taken {
            let line = section.line_of(*other);
            let what = format!("{} is taken by the route on line {line}", quoted(&route.path));
            section.refuse_inside(
                "path",
                what,
                "give the routes different methods, hosts or paths",
            );
        }
        let first = alike.is_empty();
        alike.push((route.methods.clone(), section.place()));
        let router = self.hosts.entry(route.host.clone()).or_default();
        if first && let Err(error) = router.insert(&route.path, ()) {
            let what = format!("{} cannot be told apart: {error}", quoted(&route.path));
            section.refuse_inside("path", what, "name the segment as the other route does");
        }
    }
}

/// No methods takes all of them.
fn overlap(a: &[Method], b: &[Method]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
}
