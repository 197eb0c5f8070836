//! Matches host and path to a route; the method is judged afterwards, so that 405 can be told
//! from 404. Hosts of their own go before routes for any host; literal segments before parameters.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderValue, Method};

use crate::config::model;

/// A route as requests meet it: settings, no code.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its place in the configuration.
    pub(crate) index: usize,
    pub(crate) name: String,
    methods: Vec<Method>,
    /// All methods of this host and path.
    pub(crate) allow: HeaderValue,
    /// Its supplier's place in the configuration.
    pub(crate) supplier: usize,
    pub(crate) identity: Option<String>,
    pub(crate) body_bytes: u64,
    pub(crate) timeout: Duration,
}

impl Route {
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// Why routes cannot stand together.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("route {name}: path {path} is unlawful or contradicts another route's")]
    Path {
        name: String,
        path: String,
        #[source]
        source: matchit::InsertError,
    },
    #[error("route {name}: supplier {supplier} does not exist")]
    Supplier { name: String, supplier: String },
    #[error("route {name}: a method is not a header value")]
    Methods {
        name: String,
        #[source]
        source: http::header::InvalidHeaderValue,
    },
}

/// Routes of one host and path.
type Entry = Vec<Arc<Route>>;

/// Immutable after start; shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Router {
    hosts: HashMap<String, matchit::Router<Entry>>,
    any: matchit::Router<Entry>,
}

impl Router {
    pub(crate) fn new(config: &model::Config) -> Result<Self, RouterError> {
        let mut router = Self::default();
        let mut rest = Vec::new();
        for (host, path) in places(&config.routes) {
            let entry = entry(config, host, path)?;
            if let Some(parent) = above_catch_all(path) {
                rest.push((host, parent, entry.clone()));
            }
            router.insert(host, path, entry)?;
        }
        for (host, parent, entry) in rest {
            // `/files/{*rest}` is meant to take `/files/` too, unless another route does.
            let taken = router.table(host).insert(parent, entry);
            drop(taken);
        }
        Ok(router)
    }

    /// The route for this request; with another method than the request's only where no route of
    /// this host and path takes it.
    pub(crate) fn find(&self, host: &str, path: &str, method: &Method) -> Option<&Arc<Route>> {
        let own = self.hosts.get(host).and_then(|table| table.at(path).ok());
        let entry = own.or_else(|| self.any.at(path).ok())?.value;
        entry.iter().find(|route| route.takes(method)).or_else(|| entry.first())
    }

    /// Whether `path` means another route to a server that cuts path parameters (`/admin;x` is
    /// `/admin` to servlet containers): such a server would serve what this route does not guard.
    pub(crate) fn ambiguous(&self, host: &str, path: &str, method: &Method) -> bool {
        let Some(cut) = without_parameters(path) else { return false };
        let [as_sent, as_cut] = [path, cut.as_str()].map(|path| self.find(host, path, method));
        // No route to compare is not found, not ambiguous.
        as_sent.is_some() && as_sent.map(|route| route.index) != as_cut.map(|route| route.index)
    }

    fn table(&mut self, host: Option<&str>) -> &mut matchit::Router<Entry> {
        match host {
            Some(host) => self.hosts.entry(host.to_owned()).or_default(),
            None => &mut self.any,
        }
    }

    fn insert(&mut self, host: Option<&str>, path: &str, entry: Entry) -> Result<(), RouterError> {
        let name = entry.first().map(|route| route.name.clone()).unwrap_or_default();
        self.table(host).insert(path, entry).map_err(|source| RouterError::Path {
            name,
            path: path.to_owned(),
            source,
        })
    }
}

/// Each host and path once, in the order of the file.
fn places(routes: &[model::Route]) -> Vec<(Option<&str>, &str)> {
    let mut places = Vec::new();
    for route in routes {
        let place = (route.host.as_deref(), route.path.as_str());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn entry(config: &model::Config, host: Option<&str>, path: &str) -> Result<Entry, RouterError> {
    let here = |route: &&model::Route| route.host.as_deref() == host && route.path == path;
    let mut allowed: Vec<&str> = Vec::new();
    for method in config.routes.iter().filter(here).flat_map(|route| &route.methods) {
        if !allowed.contains(&method.as_str()) {
            allowed.push(method.as_str());
        }
    }
    let allow = allowed.join(", ");
    let all = config.routes.iter().enumerate().filter(|(_, route)| here(route));
    all.map(|(index, route)| Ok(Arc::new(compile(config, index, route, &allow)?))).collect()
}

fn compile(
    config: &model::Config,
    index: usize,
    route: &model::Route,
    allow: &str,
) -> Result<Route, RouterError> {
    let name = route.name.clone();
    let found = config.suppliers.iter().position(|supplier| supplier.name == route.supplier);
    let Some(supplier) = found else {
        return Err(RouterError::Supplier { name, supplier: route.supplier.clone() });
    };
    let allow = HeaderValue::from_str(allow)
        .map_err(|source| RouterError::Methods { name: name.clone(), source })?;
    Ok(Route {
        index,
        name,
        methods: route.methods.clone(),
        allow,
        supplier,
        identity: route.identity.clone(),
        body_bytes: route.body_bytes,
        timeout: route.timeout,
    })
}

/// The path as a server reads it that cuts path parameters; `None` where there are none.
fn without_parameters(path: &str) -> Option<String> {
    path.contains(';').then(|| {
        let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
        segments.collect::<Vec<_>>().join("/")
    })
}

/// The path before a final `{*name}`.
fn above_catch_all(path: &str) -> Option<&str> {
    let (parent, last) = path.rsplit_once('/')?;
    last.starts_with("{*").then(|| path.get(..=parent.len())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing;

    fn route(name: &str, host: Option<&str>, path: &str, methods: &[Method]) -> model::Route {
        model::Route {
            name: name.to_owned(),
            host: host.map(str::to_owned),
            methods: methods.to_vec(),
            ..testing::route(path)
        }
    }

    fn find(routes: Vec<model::Route>, host: &str, path: &str, method: &Method) -> Option<String> {
        let config = model::Config { routes, ..testing::config() };
        let table = Router::new(&config).unwrap();
        table.find(host, path, method).map(|route| route.name.clone())
    }

    #[test]
    fn prefers_the_host_of_its_own_then_literals_then_parameters_then_the_rest() {
        let routes = vec![
            route("rest", None, "/{*rest}", &[]),
            route("one", None, "/a/{id}", &[]),
            route("literal", None, "/a/b", &[]),
            route("host", Some("api.example"), "/a/b", &[]),
        ];
        let at = |host: &str, path: &str| find(routes.clone(), host, path, &Method::GET);
        assert_eq!(at("api.example", "/a/b").as_deref(), Some("host"));
        assert_eq!(at("other", "/a/b").as_deref(), Some("literal"));
        assert_eq!(at("other", "/a/c").as_deref(), Some("one"));
        assert_eq!(at("api.example", "/a/c").as_deref(), Some("one"));
        assert_eq!(at("other", "/x/y").as_deref(), Some("rest"));
        assert_eq!(at("other", "/").as_deref(), Some("rest"));
    }

    #[test]
    fn tells_an_unknown_path_from_a_method_no_route_takes() {
        let routes = vec![
            route("read", None, "/a", &[Method::GET]),
            route("write", None, "/a", &[Method::POST]),
        ];
        let config = model::Config { routes, ..testing::config() };
        let table = Router::new(&config).unwrap();
        assert_eq!(table.find("h", "/a", &Method::POST).unwrap().name, "write");
        let none = table.find("h", "/a", &Method::DELETE).unwrap();
        assert!(!none.takes(&Method::DELETE));
        assert_eq!(none.allow, "GET, POST");
        assert!(table.find("h", "/b", &Method::GET).is_none());
        assert!(table.find("h", "/a/", &Method::GET).is_none());
    }

    #[test]
    fn a_parameter_does_not_lead_around_a_route() {
        let routes = vec![
            route("rest", None, "/{*rest}", &[]),
            route("admin", None, "/admin", &[]),
            route("one", None, "/users/{id}", &[]),
        ];
        let table = Router::new(&model::Config { routes, ..testing::config() }).unwrap();
        let ambiguous = |path: &str| table.ambiguous("h", path, &Method::GET);
        for path in ["/admin;x", "/users;a/42"] {
            assert!(ambiguous(path), "{path}");
        }
        for path in ["/admin", "/users/42;v=1", "/other;x/y", "/rest;a"] {
            assert!(!ambiguous(path), "{path}");
        }
    }

    #[test]
    fn refuses_routes_that_contradict_each_other() {
        let routes = vec![route("a", None, "/{x}", &[]), route("b", None, "/{y}", &[])];
        assert!(Router::new(&model::Config { routes, ..testing::config() }).is_err());
    }
}
