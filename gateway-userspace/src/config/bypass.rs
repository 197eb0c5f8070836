//! Guarded routes that an open one beside them undoes: `/admin` is what a server may serve for
//! `/admin/`, `/Admin` and `/admin/x` too, and `/{*rest}` takes those. No fault, for it may be
//! meant, but told whenever a configuration is checked or started.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    matching::{Places, sample_host},
    model::{Config, Host, Route, Supplier, SupplierKind},
};

/// Warnings of one configuration.
const TOLD: usize = 16;

/// Paths named in one warning.
const NAMED: usize = 3;

/// Look-ups for all routes together: what ten thousand routes over as many hosts must not exceed.
const LOOKUPS: usize = 1_000_000;

/// What a parameter's segment is tried with.
const SEGMENT: &str = "x";

/// A line for each guarded route and the route that lets others through to the same supplier.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let tables = Tables::new(&config.routes);
    let mut left = LOOKUPS;
    let mut warnings: Vec<String> = config
        .routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.identity.is_some())
        .flat_map(|(index, _)| around(config, &tables, index, &mut left))
        .take(TOLD + 1)
        .collect();
    if warnings.len() > TOLD {
        warnings.truncate(TOLD);
        warnings.push("more routes can be reached around their identity in like ways".to_owned());
    } else if left == 0 {
        warnings.push("there are too many routes and hosts to try all against all".to_owned());
    }
    warnings
}

/// The warnings about one guarded route.
fn around(config: &Config, tables: &Tables<'_>, index: usize, left: &mut usize) -> Vec<String> {
    let Some(guarded) = config.routes.get(index) else { return Vec::new() };
    let mut ways: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (host, path) in tries(guarded, tables) {
        if *left == 0 {
            break;
        }
        *left -= 1;
        for &other in tables.find(host, &path) {
            let lets = config.routes.get(other).is_some_and(|other| undoes(config, guarded, other));
            if lets && other != index {
                ways.entry(other).or_default().push(request(guarded, host, path.clone()));
            }
        }
    }
    for other in tables.rewriting.iter().filter(|other| **other != index) {
        *left = left.saturating_sub(1);
        let Some(rewriting) = config.routes.get(*other).filter(|_| *left > 0) else { break };
        if undoes(config, guarded, rewriting) && reaches(rewriting, guarded) {
            let way = request(guarded, rewriting.host.as_deref(), rewriting.path.clone());
            ways.entry(*other).or_default().push(way);
        }
    }
    let told = ways.into_iter().filter_map(|(other, ways)| {
        config.routes.get(other).map(|other| warning(guarded, other, &ways))
    });
    told.collect()
}

/// Requests that a server behind both routes may take for one of `route`.
fn tries<'t>(route: &Route, tables: &Tables<'t>) -> Vec<(Option<&'t str>, String)> {
    let own = tables.host(route.host.as_deref());
    let path = sample(&route.path);
    let mut tries: Vec<_> = near(&route.path, &path).into_iter().map(|path| (own, path)).collect();
    // Without the header or the query parameter that the route asks for.
    tries.push((own, path.clone()));
    // The supplier need not look at the host at all: the same path, by whatever name.
    let others = tables.hosts.iter().copied().filter(|host| *host != own);
    tries.extend(others.map(|host| (host, path.clone())));
    tries
}

/// Whether a path that `rewriting` makes is one that the supplier gets from `guarded`.
fn reaches(rewriting: &Route, guarded: &Route) -> bool {
    let seen = |route: &Route| {
        let rewrite = route.destination.rewrite().map(|template| template.text().to_owned());
        rewrite.unwrap_or_else(|| route.path.clone())
    };
    let (made, wanted) = (seen(rewriting), seen(guarded));
    let (mut made, mut wanted) = (made.split('/'), wanted.split('/'));
    loop {
        match (made.next(), wanted.next()) {
            (None, None) => return true,
            (Some(any), _) | (_, Some(any)) if any.starts_with("{*") => return true,
            (Some(a), Some(b)) if a == b || a.starts_with('{') || b.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// Other spellings of a route's path, and what lies below it.
fn near(template: &str, path: &str) -> Vec<String> {
    let mut near = Vec::new();
    let catch_all = template.rsplit('/').next().is_some_and(|last| last.starts_with("{*"));
    match path.strip_suffix('/') {
        Some("") => {}
        Some(bare) => near.push(bare.to_owned()),
        None if !catch_all => near.extend([format!("{path}/"), format!("{path}/{SEGMENT}")]),
        None => near.extend(path.strip_suffix(&format!("/{SEGMENT}")).map(str::to_owned)),
    }
    let segments: Vec<&str> = path.split('/').collect();
    for (at, own) in template.split('/').enumerate().filter(|(_, own)| !own.starts_with('{')) {
        let mut letters = own.chars();
        let Some(first) = letters.next().filter(char::is_ascii_alphabetic) else { continue };
        let turned = if first.is_ascii_lowercase() {
            first.to_ascii_uppercase()
        } else {
            first.to_ascii_lowercase()
        };
        let turned = format!("{turned}{}", letters.as_str());
        let spelt = segments.iter().enumerate().map(|(i, s)| if i == at { &*turned } else { *s });
        near.push(spelt.collect::<Vec<_>>().join("/"));
    }
    near.retain(|path| !path.is_empty());
    near
}

/// A path of the template.
fn sample(template: &str) -> String {
    let segments = template.split('/').map(|one| if one.starts_with('{') { SEGMENT } else { one });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether `other` lets in whom `guarded` keeps out, to the same place.
fn undoes(config: &Config, guarded: &Route, other: &Route) -> bool {
    let methods = guarded.methods.is_empty()
        || other.methods.is_empty()
        || guarded.methods.iter().any(|method| other.methods.contains(method));
    methods && guarded.identity != other.identity && same_place(config, guarded, other)
}

/// Two names for one server are one place.
fn same_place(config: &Config, a: &Route, b: &Route) -> bool {
    let supplier = |name: &str| config.suppliers.iter().find(|one| one.name == name);
    let same = |a: &str, b: &str| {
        a == b
            || supplier(a).zip(supplier(b)).is_some_and(|(a, b)| {
                let targets = targets(a);
                targets.iter().any(|target| self::targets(b).contains(target))
            })
    };
    a.destination.suppliers().any(|a| b.destination.suppliers().any(|b| same(a, b)))
}

fn targets(supplier: &Supplier) -> Vec<(&Host, u16)> {
    match &supplier.kind {
        SupplierKind::Http(targets) => targets.iter().map(|one| (&one.host, one.port)).collect(),
        SupplierKind::Echo => Vec::new(),
    }
}

/// The request as a warning names it.
fn request(guarded: &Route, host: Option<&str>, path: String) -> String {
    match host {
        _ if host == guarded.host.as_deref() => path,
        Some(host) => format!("{host}{path}"),
        None => format!("{path} with another Host"),
    }
}

fn warning(guarded: &Route, other: &Route, ways: &[String]) -> String {
    let named: Vec<&str> = ways.iter().take(NAMED).map(String::as_str).collect();
    let more = if ways.len() > NAMED { " and more" } else { "" };
    let who = other.identity.as_deref().unwrap_or("everybody");
    format!(
        "route {} asks for {}, but route {} lets {who} through to the same supplier with {}{more}; give {} the same identity, or paths of its own, unless the supplier tells these apart",
        guarded.name,
        guarded.identity.as_deref().unwrap_or_default(),
        other.name,
        named.join(", "),
        other.name,
    )
}

/// Routes by place, found as the proxy's router finds them.
struct Tables<'r> {
    places: Places<Vec<usize>>,
    hosts: BTreeSet<Option<&'r str>>,
    /// Routes whose supplier sees another path than the client wrote.
    rewriting: Vec<usize>,
}

impl<'r> Tables<'r> {
    fn new(routes: &'r [Route]) -> Self {
        let mut groups: BTreeMap<(Option<&str>, &str), Vec<usize>> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            groups.entry((route.host.as_deref(), &route.path)).or_default().push(index);
        }
        let named = groups.keys().map(|(host, _)| *host);
        let hosts = named.chain([None]).collect();
        let rewrites = |(index, route): (usize, &Route)| {
            route.destination.rewrite().is_some().then_some(index)
        };
        let rewriting = routes.iter().enumerate().filter_map(rewrites).collect();
        // Contradictions were refused before.
        Self { places: Places::build(&groups).unwrap_or_default(), hosts, rewriting }
    }

    /// The host with the lifetime of the tables.
    fn host(&self, host: Option<&str>) -> Option<&'r str> {
        self.hosts.iter().copied().find(|known| *known == host).flatten()
    }

    fn find(&self, host: Option<&str>, path: &str) -> &[usize] {
        self.places.find(&sample_host(host), path).map_or(&[], |found| found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    const START: &str = "[[listener]]\naddress = \"127.0.0.1:1\"\n\
        [[identity]]\nname = \"staff\"\napi_key = {}\n[[identity]]\nname = \"guests\"\napi_key = {}\n\
        [[supplier]]\nname = \"app\"\ntargets = [\"https://app.example.net\"]\n\
        [[supplier]]\nname = \"alias\"\ntargets = [\"https://app.example.net:443\"]\n\
        [[supplier]]\nname = \"elsewhere\"\ntargets = [\"https://www.example.net\"]\n";

    /// `[host]path identity supplier methods more`, a route each.
    fn warned(routes: &[&str]) -> Vec<String> {
        let mut parts = vec![START.to_owned()];
        for (name, route) in routes.iter().enumerate() {
            let words: Vec<&str> = route.split(' ').collect();
            let (host, path) = words[0].split_at(words[0].find('/').unwrap());
            let host = if host.is_empty() { String::new() } else { format!("host = \"{host}\"\n") };
            let methods = words
                .get(3)
                .filter(|m| **m != "ANY")
                .map_or(String::new(), |m| format!("methods = [\"{m}\"]\n"));
            parts.push(format!(
                "[[route]]\nname = \"r{name}\"\n{host}path = \"{path}\"\nidentity = \"{}\"\nsupplier = \"{}\"\n{methods}{}\n",
                words[1],
                words[2],
                words.get(4..).unwrap_or_default().join(" ")
            ));
        }
        warnings(&load(&parts.concat(), "t.toml").unwrap_or_else(|faults| panic!("{faults}")))
    }

    #[test]
    fn an_open_catch_all_beside_a_guarded_path_is_told_with_ways_around() {
        let told = warned(&["/admin staff app", "/{*rest} none app"]);
        assert_eq!(told.len(), 1, "{told:#?}");
        for part in ["route r0 asks for staff", "r1 lets everybody", "/admin/, /admin/x, /Admin"] {
            assert!(told[0].contains(part), "{part}: {told:#?}");
        }
    }

    #[test]
    fn each_way_around_is_found_by_itself() {
        for routes in [
            // Letter case in the middle, where a parameter stands beside a literal.
            &["/v1/admin staff app", "/v1/{thing} none app"][..],
            // The catch-all's own path without its slash.
            &["/admin/{*rest} staff app", "/{page} none app"],
            // Another name for the same server.
            &["/admin staff app", "/{*rest} none alias"],
            // Another identity than the one asked for.
            &["/admin staff app", "/{*rest} guests app"],
            // Any host, around the one that is guarded; and one host, around any.
            &["a.example/admin staff app", "/{*rest} none app"],
            &["/admin staff app", "a.example/{*rest} none app"],
            &["/admin staff app GET", "/{*rest} none app GET"],
            &["/admin/{*rest} staff app", "/Admin/{*rest} none app"],
            &["/admin/ staff app", "/admin none app"],
            // A rewrite to what the supplier gets from the guarded route, and to one of its names.
            &["/admin staff app", "/x/{*rest} none app ANY rewrite = \"/{*rest}\""],
            &["/admin staff app", "/x none app ANY rewrite = \"/admin\""],
            // A condition that the client may leave out.
            &["/admin staff app ANY headers = { x-v = \"2\" }", "/admin none app"],
            &["/admin staff app", "/admin none app ANY headers = { x-v = \"2\" }"],
            // A name that the wildcard covers.
            &["a.example/admin staff app", "*.example/admin none app"],
        ] {
            assert!(!warned(routes).is_empty(), "{routes:?}");
        }
    }

    #[test]
    fn what_cannot_be_gone_around_is_not_told() {
        for routes in [
            &["/admin staff app"][..],
            &["/admin staff app", "/public none app"],
            &["/admin staff app", "/{*rest} none elsewhere"],
            &["/admin staff app", "/{*rest} staff app"],
            &["/{*rest} staff app", "/public none app"],
            &["/admin/{*rest} staff app", "/public/{*rest} none app"],
            &["/admin staff app POST", "/{*rest} none app GET"],
            &["/p staff app POST", "/p none app GET"],
            &["/{*rest} none app", "/public none app"],
            &["/admin staff app", "/x none app ANY rewrite = \"/y\""],
            &["/admin staff app", "/admin staff app ANY headers = { x-v = \"2\" }"],
        ] {
            assert_eq!(warned(routes), <[String; 0]>::default(), "{routes:?}");
        }
    }

    #[test]
    fn thousands_of_ways_around_are_a_few_lines() {
        let mut routes: Vec<String> = (0..200).map(|n| format!("/p{n} staff app")).collect();
        routes.push("/{*rest} none app".to_owned());
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        assert_eq!(warned(&routes).len(), TOLD + 1);
    }
}
