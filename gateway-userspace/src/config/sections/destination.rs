//! Where a route leads: `supplier`, `split` or `redirect`, with `rewrite`, `sticky` and `mirror`.

use super::{
    path,
    route::{optional, reference},
    target,
};
use crate::config::{
    fault::quoted,
    matching::Template,
    model::{Destination, Forward, Mirror, Redirect, Share},
    tree::{Entry, Section},
};

/// Suppliers of one split.
const SHARES: usize = 16;

/// Highest weight.
const WEIGHT: u32 = 10_000;

/// The suppliers that routes may name.
pub(super) struct Goals<'k>(Vec<&'k str>);

impl<'k> Goals<'k> {
    pub(super) fn new(names: &'k [String]) -> Self {
        Self(names.iter().map(String::as_str).collect())
    }

    fn supplier(&self, entry: &Entry<'_>) -> Option<String> {
        reference(entry, "supplier", &self.0)
    }
}

/// `path` is the route's own, where it is without fault.
pub(super) fn read(
    section: &mut Section<'_>,
    path: Option<&str>,
    goals: &Goals<'_>,
) -> Option<Destination> {
    let redirect = section.get("redirect");
    let split = section.get("split");
    let supplier = section.get("supplier");
    let ways = [redirect.is_some(), split.is_some(), supplier.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        section.refuse_here(
            "supplier",
            "is one of several destinations",
            "write one of supplier, split and redirect",
        );
        return None;
    }
    if let Some(entry) = redirect {
        return redirected(&entry, path).map(Destination::Redirect);
    }
    let shares = match (split, supplier) {
        (Some(entry), _) => shares(&entry, goals),
        (None, Some(entry)) => {
            goals.supplier(&entry).map(|supplier| vec![Share { supplier, weight: 1 }])
        }
        (None, None) => {
            section.need("supplier", "the name of a [[supplier]]");
            None
        }
    };
    forward(section, path, shares, goals).map(Destination::Forward)
}

fn forward(
    section: &mut Section<'_>,
    path: Option<&str>,
    shares: Option<Vec<Share>>,
    goals: &Goals<'_>,
) -> Option<Forward> {
    let rewrite = optional(section.get("rewrite"), |entry| {
        let text = entry.text()?;
        path::made_from(entry, text, path?).then(|| Template::new(text))
    });
    let sticky = section.flag("sticky", false);
    let mirror = optional(section.get("mirror"), |entry| mirror(entry, goals));
    let shares = shares?;
    if sticky && shares.len() < 2 {
        section.refuse_inside("sticky", "is of no use without a split", "leave it out");
    }
    if let Ok(Some(mirror)) = &mirror
        && shares.iter().any(|share| share.supplier == mirror.supplier)
    {
        let what = format!("{} gets these requests already", quoted(&mirror.supplier));
        section.refuse_inside("mirror", what, "name another supplier");
    }
    Some(Forward { shares, sticky, rewrite: rewrite.ok()?, mirror: mirror.ok()? })
}

fn shares(entry: &Entry<'_>, goals: &Goals<'_>) -> Option<Vec<Share>> {
    let entries = entry.list(SHARES);
    if entries.is_empty() {
        entry.refuse("leads nowhere", "write [{ supplier = \"a\", weight = 90 }, …]");
        return None;
    }
    let mut shares: Vec<Share> = Vec::new();
    for part in &entries {
        let Some(share) = share(part, goals) else { continue };
        if shares.iter().any(|other| other.supplier == share.supplier) {
            let what = format!("{} has a share already", quoted(&share.supplier));
            part.refuse(what, "write each supplier once");
        }
        shares.push(share);
    }
    (shares.len() == entries.len()).then_some(shares)
}

fn share(entry: &Entry<'_>, goals: &Goals<'_>) -> Option<Share> {
    let mut section = entry.section()?;
    let supplier = section.need("supplier", "the name of a [[supplier]]");
    let supplier = supplier.and_then(|entry| goals.supplier(&entry));
    let weight = section.need("weight", "10").and_then(|entry| entry.whole(1..=WEIGHT));
    section.finish();
    Some(Share { supplier: supplier?, weight: weight? })
}

fn mirror(entry: &Entry<'_>, goals: &Goals<'_>) -> Option<Mirror> {
    let mut section = entry.section()?;
    let supplier = section.need("supplier", "the name of a [[supplier]]");
    let supplier = supplier.and_then(|entry| goals.supplier(&entry));
    let percent = section.whole("percent", 100, 1..=100);
    let credentials = section.flag("credentials", false);
    section.finish();
    Some(Mirror { supplier: supplier?, percent, credentials })
}

fn redirected(entry: &Entry<'_>, path: Option<&str>) -> Option<Redirect> {
    let mut section = entry.section()?;
    let statuses = [301, 302, 303, 307, 308];
    let status = section.whole("status", 308, 300..=399);
    if !statuses.contains(&status) {
        section.refuse_inside(
            "status",
            "is not one of a redirect",
            "write 301, 302, 303, 307 or 308",
        );
    }
    let query = section.flag("query", true);
    let to = section.need("to", "\"https://www.example.com/{id}\"");
    let to = to.and_then(|entry| goal(&entry, path));
    section.finish();
    let (origin, path) = to?;
    Some(Redirect { origin, path, status, query })
}

/// Origin and path. Only the path is made from the request, so no client says where it leads.
fn goal(entry: &Entry<'_>, path: Option<&str>) -> Option<(Option<String>, Template)> {
    let text = entry.text()?;
    let (origin, rest) = match text.strip_prefix("https://") {
        None => (None, text),
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end)?;
            (Some(origin(entry, authority)?), if rest.is_empty() { "/" } else { rest })
        }
    };
    if !rest.starts_with('/') || rest.starts_with("//") {
        entry.refuse(
            format!("{} is neither a path nor https", quoted(text)),
            "write one such as \"https://www.example.com/{id}\" or \"/new/{id}\"",
        );
        return None;
    }
    let path = path?;
    if origin.is_none() && rest == path {
        entry.refuse("leads to the route itself", "write another path");
        return None;
    }
    path::made_from(entry, rest, path).then(|| (origin, Template::new(rest)))
}

fn origin(entry: &Entry<'_>, authority: &str) -> Option<String> {
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok().filter(|port| *port > 0).map(Some)),
        None => (authority, Some(None)),
    };
    let name = target::host_name(name).zip(port);
    if name.is_none() {
        let what = format!("{} is no host to lead to", quoted(authority));
        entry.refuse(
            what,
            "write a host name, and a port if it is not 443; it is never made from the request",
        );
    }
    let (name, port) = name?;
    Some(port.map_or_else(|| format!("https://{name}"), |port| format!("https://{name}:{port}")))
}
