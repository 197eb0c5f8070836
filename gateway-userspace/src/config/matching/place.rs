//! Host and path to what stands there. A host's own paths go before those of a `*.` name that
//! covers it, and these before those for any host; literal segments before parameters.

use std::collections::{BTreeMap, HashMap};

/// How a name with a wildcard label begins. The label is one, as in certificates (RFC 6125 6.4.3).
pub(in crate::config) const WILDCARD: &str = "*.";

/// Values by host and path. Immutable once built.
#[derive(Debug)]
pub struct Places<T> {
    hosts: HashMap<String, matchit::Router<T>>,
    /// By what follows the wildcard label.
    wildcards: HashMap<String, matchit::Router<T>>,
    any: matchit::Router<T>,
}

/// What stands at a place, and what the template's parameters took.
#[derive(Debug)]
pub struct Found<'t, 'p, T> {
    pub value: &'t T,
    pub parameters: matchit::Params<'t, 'p>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::default(),
            wildcards: HashMap::default(),
            any: matchit::Router::default(),
        }
    }
}

impl<T> Places<T> {
    /// Adds one place; an error if it contradicts another of the same host.
    pub fn insert(
        &mut self,
        host: Option<&str>,
        path: &str,
        value: T,
    ) -> Result<(), matchit::InsertError> {
        self.of_host(host).insert(path, value)
    }

    /// What a request for this host and normalized path meets.
    pub fn find<'p>(&self, host: &str, path: &'p str) -> Option<Found<'_, 'p, T>> {
        let own = self.hosts.get(host).and_then(|table| table.at(path).ok());
        let covering = || {
            let (_, rest) = host.split_once('.')?;
            self.wildcards.get(rest)?.at(path).ok()
        };
        let found = own.or_else(covering).or_else(|| self.any.at(path).ok())?;
        Some(Found { value: found.value, parameters: found.params })
    }

    fn of_host(&mut self, host: Option<&str>) -> &mut matchit::Router<T> {
        let Some(host) = host else { return &mut self.any };
        match host.strip_prefix(WILDCARD) {
            Some(rest) => self.wildcards.entry(rest.to_owned()).or_default(),
            None => self.hosts.entry(host.to_owned()).or_default(),
        }
    }
}

impl<T: Clone> Places<T> {
    /// Builds from groups; the error names the path that contradicts another.
    pub fn build<'a>(
        groups: &BTreeMap<(Option<&'a str>, &'a str), T>,
    ) -> Result<Self, (&'a str, matchit::InsertError)> {
        let mut places = Self::default();
        for (&(host, path), value) in groups {
            places.insert(host, path, value.clone()).map_err(|error| (path, error))?;
        }
        for (&(host, path), value) in groups {
            if let Some(bare) = above_catch_all(path) {
                // `/files/{*rest}` is meant to take `/files/` too, unless another route does.
                let taken = places.insert(host, bare, value.clone());
                drop(taken);
            }
        }
        Ok(places)
    }
}

/// A host that meets the routes of this one.
pub(in crate::config) fn sample_host(host: Option<&str>) -> String {
    match host {
        Some(host) => host.strip_prefix('*').map_or(host.to_owned(), |rest| format!("x{rest}")),
        // No route can name it.
        None => String::new(),
    }
}

/// The path before a final `{*name}`.
fn above_catch_all(path: &str) -> Option<&str> {
    let (parent, last) = path.rsplit_once('/')?;
    last.starts_with("{*").then(|| path.get(..=parent.len())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: &[(Option<&'static str>, &'static str)]) -> Places<String> {
        let named = |(host, path): &(Option<&'static str>, &'static str)| {
            ((*host, *path), format!("{}{path}", host.unwrap_or("any")))
        };
        Places::build(&all.iter().map(named).collect()).unwrap()
    }

    #[test]
    fn the_nearest_name_that_has_the_path_goes_first() {
        let all = places(&[
            (None, "/{*rest}"),
            (Some("*.example.com"), "/a"),
            (Some("*.example.com"), "/b"),
            (Some("api.example.com"), "/a"),
        ]);
        for (host, path, found) in [
            ("api.example.com", "/a", "api.example.com/a"),
            ("api.example.com", "/b", "*.example.com/b"),
            ("www.example.com", "/a", "*.example.com/a"),
            ("www.example.com", "/c", "any/{*rest}"),
            // One label, no more and no less.
            ("a.b.example.com", "/a", "any/{*rest}"),
            ("example.com", "/a", "any/{*rest}"),
            ("", "/a", "any/{*rest}"),
        ] {
            assert_eq!(all.find(host, path).unwrap().value, found, "{host}{path}");
        }
    }

    #[test]
    fn a_catch_all_takes_its_own_folder_unless_another_does() {
        let all = places(&[(None, "/files/{*rest}"), (None, "/own/{*rest}"), (None, "/own/")]);
        assert_eq!(all.find("h", "/files/").unwrap().value, "any/files/{*rest}");
        assert_eq!(all.find("h", "/own/").unwrap().value, "any/own/");
        assert!(all.find("h", "/files").is_none());
    }

    #[test]
    fn a_sample_meets_its_own_pattern() {
        for host in [None, Some("a.example"), Some("*.a.example")] {
            let all = places(&[(host, "/")]);
            assert!(all.find(&sample_host(host), "/").is_some(), "{host:?}");
        }
    }
}
