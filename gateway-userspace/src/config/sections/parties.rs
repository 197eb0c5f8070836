//! `[[identity]]` and `[[supplier]]`: who calls, and what is called.

use std::{net::IpAddr, path::Path};

use http::HeaderName;

use super::{profile, reserved, target, tokens};
use crate::config::{
    defaults,
    fault::quoted,
    model::{Host, Identity, IdentityMethod, Protocol, Supplier, SupplierKind, Target},
    tree::{Entry, Section},
};

const IDENTITIES: usize = 1000;
const SUPPLIERS: usize = 1000;
const TARGETS: usize = 64;
const NAME_BYTES: usize = 63;

/// Besides those that are the gateway's, fields that mean something else already: a credential there
/// would be lost or leak.
const RESERVED: [&str; 3] = ["content-type", "cookie", "proxy-authorization"];

/// What a route writes in place of an identity that takes everybody.
pub(super) const NOBODY_IN_PARTICULAR: &str = "none";

/// Named tables: those without faults, and all names, so that a fault in one makes no reference to
/// it dangle.
pub(super) struct Named<T> {
    pub(super) complete: Vec<T>,
    pub(super) names: Vec<String>,
}

pub(super) fn identities(root: &mut Section<'_>, state: &Path) -> Named<Identity> {
    let sections = root.sections("identity", IDENTITIES);
    named(sections, |section, name| {
        if name == NOBODY_IN_PARTICULAR {
            section.refuse_inside("name", "means that a route is public", "choose another name");
        }
        if tokens::is_meant(section) {
            let tokens = tokens::read(section, &name, state)?;
            return Some(Identity { name, method: IdentityMethod::Tokens(Box::new(tokens)) });
        }
        let mut api_key = section.need("api_key", "{ header = \"x-api-key\" }")?.section()?;
        let header = api_key.get("header").map_or(Some("x-api-key".to_owned()), |e| header(&e));
        api_key.finish();
        Some(Identity { name, method: IdentityMethod::ApiKey { header: header? } })
    })
}

/// A header field's name, in lower case.
pub(super) fn field_name(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    let Some(name) = name.filter(|name| name.as_str().len() <= NAME_BYTES) else {
        let what = format!("{} is not the name of a header field", quoted(text));
        entry.refuse(what, "write one such as \"x-api-key\"");
        return None;
    };
    Some(name.as_str().to_owned())
}

/// A header field that may carry a key.
fn header(entry: &Entry<'_>) -> Option<String> {
    let name = field_name(entry)?;
    if reserved::is_ours(&name) || RESERVED.contains(&name.as_str()) {
        let what = format!("\"{name}\" means something else in HTTP");
        entry.refuse(what, "write \"x-api-key\" or \"authorization\"");
        return None;
    }
    Some(name)
}

pub(super) fn suppliers(root: &mut Section<'_>) -> Named<Supplier> {
    named(root.sections("supplier", SUPPLIERS), supplier)
}

fn supplier(section: &mut Section<'_>, name: String) -> Option<Supplier> {
    let protocols =
        [("auto", Protocol::Auto), ("http1", Protocol::Http1), ("http2", Protocol::Http2)];
    let protocol = section.choice("protocol", Protocol::Auto, &protocols);
    let local = section.flag("local", false);
    let most = defaults::SUPPLIER_CONNECTIONS;
    let connections = section.whole("connections", most, 1..=100_000);
    let ca = section.get("ca");
    let profile = profile::read(section);
    let entries = section.need("targets", "[\"https://ledger.example.net\"]")?.list(TARGETS);
    let echo = entries.len() == 1 && entries.iter().any(|entry| entry.is_text("echo"));
    let kind = if echo {
        SupplierKind::Echo
    } else {
        SupplierKind::Http(targets(section, &entries, protocol, local))
    };
    if let (Some(ca), false) = (&ca, uses_tls(&kind)) {
        ca.refuse("is of no use without an https:// target", "leave it out");
    }
    if !uses_tls(&kind) && (profile.certificate.is_some() || !profile.pins.is_empty()) {
        let key = if profile.pins.is_empty() { "certificate" } else { "pins" };
        section.refuse_inside(key, "is of no use without an https:// target", "leave it out");
    }
    let ca = ca.and_then(|entry| entry.path());
    Some(Supplier { name, kind, connections, ca, local, profile })
}

fn uses_tls(kind: &SupplierKind) -> bool {
    matches!(kind, SupplierKind::Http(targets) if targets.iter().any(|target| target.tls))
}

fn targets(
    section: &Section<'_>,
    entries: &[Entry<'_>],
    protocol: Protocol,
    local: bool,
) -> Vec<Target> {
    if entries.is_empty() {
        let instead = "name at least one such as \"https://ledger.example.net\"";
        section.refuse_inside("targets", "leads nowhere", instead);
    }
    let mut targets: Vec<Target> = Vec::new();
    for entry in entries {
        let Some((text, weight)) = weighted(entry) else { continue };
        let known = |target: &Target| {
            targets.iter().any(|one| (&one.host, one.port) == (&target.host, target.port))
        };
        match target::parse(text, protocol).map(|target| Target { weight, ..target }) {
            Err((what, instead)) => entry.refuse(format!("{} {what}", quoted(text)), instead),
            Ok(target) if known(&target) => {
                entry.refuse(format!("{} is listed twice", quoted(text)), "write it once");
            }
            Ok(target) if !local && is_local(&target.host) => entry.refuse(
                format!("{} is this machine or its link", quoted(text)),
                "add local = true to the supplier if that is meant",
            ),
            Ok(target) => targets.push(target),
        }
    }
    targets
}

/// A target's text and weight.
fn weighted<'a>(entry: &Entry<'a>) -> Option<(&'a str, u32)> {
    if !entry.is_table() {
        return entry.text().map(|text| (text, defaults::WEIGHT));
    }
    let mut section = entry.section()?;
    let url = section.need("url", "\"https://ledger.example.net\"").and_then(|entry| entry.text());
    let weight = section.whole("weight", defaults::WEIGHT, 1..=1000);
    section.finish();
    Some((url?, weight))
}

/// Addresses through which a request could reach what only this machine should: its own services,
/// and a cloud's metadata service (169.254.169.254).
fn is_local(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Address(address) => match address.to_canonical() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
        },
    }
}

fn named<T>(
    sections: Vec<Section<'_>>,
    mut read: impl FnMut(&mut Section<'_>, String) -> Option<T>,
) -> Named<T> {
    let mut found = Named { complete: Vec::new(), names: Vec::new() };
    for mut section in sections {
        let name = section.need("name", "\"ledger\"").and_then(|entry| name(&entry));
        if name.as_ref().is_some_and(|name| found.names.contains(name)) {
            section.refuse_inside("name", "is given twice", "choose another name");
        }
        found.complete.extend(read(&mut section, name.clone().unwrap_or_default()));
        found.names.extend(name);
        section.finish();
    }
    found
}

/// A name that is a metric label, a log value and a command line argument.
pub(super) fn name(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let lawful = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts && text.len() <= NAME_BYTES && text.bytes().all(lawful) {
        return Some(text.to_owned());
    }
    entry.refuse(
        format!("{} is not a name", quoted(text)),
        format!("write lower case letters, digits, -, _ and ., {NAME_BYTES} at most"),
    );
    None
}
