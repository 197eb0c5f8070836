//! Matches host and path to a place, and conditions to a route of it; the method is judged
//! afterwards, so that 405 can be told from 404. What no route of the nearest place takes is not
//! found: a request that leaves out a header must not fall through to a wider route elsewhere.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, request::Parts};

use crate::config::model::{self, Conditions, Destination, Places, Redirect, Template};

/// A route as requests meet it: settings, no code.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its place in the configuration.
    pub(crate) index: usize,
    #[cfg(test)]
    name: String,
    methods: Vec<Method>,
    when: Conditions,
    /// All methods of this host and path.
    pub(crate) allow: HeaderValue,
    pub(crate) goal: Goal,
    pub(crate) identity: Option<String>,
    pub(crate) body_bytes: u64,
    pub(crate) timeout: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) retry: model::Retry,
    pub(crate) websocket: bool,
    pub(crate) encoded: model::Encoded,
}

/// Where a route leads; suppliers by their place in the configuration.
#[derive(Debug)]
pub(crate) enum Goal {
    Forward(Forward),
    Redirect(Redirect),
}

/// To suppliers.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) shares: Vec<Share>,
    /// The same client gets the same supplier.
    pub(crate) sticky: bool,
    rewrite: Option<Template>,
    pub(crate) mirror: Option<Mirror>,
}

/// A supplier's part of a route's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) supplier: usize,
    pub(crate) weight: u32,
}

/// Copies for another supplier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mirror {
    pub(crate) supplier: usize,
    pub(crate) percent: u32,
    pub(crate) credentials: bool,
}

impl Route {
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// What a request is matched by. Host and path are the normalized ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    host: &'r str,
    path: &'r str,
    method: &'r Method,
    headers: &'r HeaderMap,
    query: Option<&'r str>,
}

impl<'r> Asked<'r> {
    pub(crate) fn new(host: &'r str, path: &'r str, head: &'r Parts) -> Self {
        let Parts { method, headers, uri, .. } = head;
        Self { host, path, method, headers, query: uri.query() }
    }

    /// The same by another method.
    pub(crate) fn by(self, method: &'r Method) -> Self {
        Self { method, ..self }
    }
}

/// A request's route.
#[derive(Debug)]
pub(crate) struct Matched<'t, 'r> {
    pub(crate) route: &'t Arc<Route>,
    parameters: matchit::Params<'t, 'r>,
}

impl Matched<'_, '_> {
    /// The path the request is sent on with; `None` leaves it as it is.
    pub(crate) fn path(&self) -> Option<String> {
        let template = match &self.route.goal {
            Goal::Forward(forward) => forward.rewrite.as_ref()?,
            Goal::Redirect(redirect) => &redirect.path,
        };
        Some(template.fill(|name| self.parameters.get(name)))
    }
}

/// Why routes cannot stand together.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("path {path} is unlawful or contradicts another route's")]
    Path {
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

/// Routes of one host and path, the narrower before the wider.
type Entry = Arc<[Arc<Route>]>;

/// Immutable after start; shared by all workers.
#[derive(Debug)]
pub(crate) struct Router {
    places: Places<Entry>,
}

impl Router {
    pub(crate) fn new(config: &model::Config) -> Result<Self, RouterError> {
        let mut groups: BTreeMap<(Option<&str>, &str), Vec<usize>> = BTreeMap::new();
        for (index, route) in config.routes.iter().enumerate() {
            groups.entry((route.host.as_deref(), &route.path)).or_default().push(index);
        }
        let compiled = groups.into_iter().map(|(place, here)| Ok((place, entry(config, &here)?)));
        let compiled = compiled.collect::<Result<BTreeMap<_, _>, RouterError>>()?;
        let places = Places::build(&compiled)
            .map_err(|(path, source)| RouterError::Path { path: path.to_owned(), source })?;
        Ok(Self { places })
    }

    /// The route for this request; with another method than the request's only where no route that
    /// it meets takes it.
    pub(crate) fn find<'r>(&self, asked: Asked<'r>) -> Option<Matched<'_, 'r>> {
        let found = self.places.find(asked.host, asked.path)?;
        let met = |route: &&Arc<Route>| route.when.hold(asked.headers, asked.query);
        let here = || found.value.iter().filter(met);
        let route = here().find(|route| route.takes(asked.method)).or_else(|| here().next())?;
        Some(Matched { route, parameters: found.parameters })
    }

    /// Whether the path means another route to a server that cuts path parameters (`/admin;x` is
    /// `/admin` to servlet containers): such a server would serve what this route does not guard.
    pub(crate) fn ambiguous(&self, asked: Asked<'_>) -> bool {
        let Some(cut) = without_parameters(asked.path) else { return false };
        let index = |path| self.find(Asked { path, ..asked }).map(|found| found.route.index);
        // No route to compare is not found, not ambiguous.
        let as_sent = index(asked.path);
        as_sent.is_some() && as_sent != index(&cut)
    }
}

fn entry(config: &model::Config, here: &[usize]) -> Result<Entry, RouterError> {
    let routes = || here.iter().filter_map(|index| Some((*index, config.routes.get(*index)?)));
    let mut allowed: Vec<&str> = Vec::new();
    for method in routes().flat_map(|(_, route)| &route.methods) {
        if !allowed.contains(&method.as_str()) {
            allowed.push(method.as_str());
        }
    }
    let allow = allowed.join(", ");
    let compiled = routes().map(|(index, route)| compile(config, index, route, &allow));
    let mut compiled = compiled.map(|one| one.map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    // Of two that one request meets one is a case of the other, or takes other methods.
    compiled.sort_by_key(|route| std::cmp::Reverse(route.when.weight()));
    Ok(compiled.into())
}

fn compile(
    config: &model::Config,
    index: usize,
    route: &model::Route,
    allow: &str,
) -> Result<Route, RouterError> {
    let allow = HeaderValue::from_str(allow)
        .map_err(|source| RouterError::Methods { name: route.name.clone(), source })?;
    let goal = match &route.destination {
        Destination::Forward(forward) => Goal::Forward(forwarded(config, route, forward)?),
        Destination::Redirect(redirect) => Goal::Redirect(redirect.clone()),
    };
    Ok(Route {
        index,
        #[cfg(test)]
        name: route.name.clone(),
        methods: route.methods.clone(),
        when: route.when.clone(),
        allow,
        goal,
        identity: route.identity.clone(),
        body_bytes: route.body_bytes,
        timeout: route.timeout,
        first_byte: route.first_byte,
        retry: route.retry.clone(),
        websocket: route.websocket,
        encoded: route.encoded,
    })
}

fn forwarded(
    config: &model::Config,
    route: &model::Route,
    forward: &model::Forward,
) -> Result<Forward, RouterError> {
    let place = |wanted: &str| {
        let found = config.suppliers.iter().position(|supplier| supplier.name == wanted);
        let (name, supplier) = (route.name.clone(), wanted.to_owned());
        found.ok_or(RouterError::Supplier { name, supplier })
    };
    let share = |share: &model::Share| {
        Ok(Share { supplier: place(&share.supplier)?, weight: share.weight })
    };
    let mirror = |mirror: &model::Mirror| {
        let model::Mirror { ref supplier, percent, credentials } = *mirror;
        Ok(Mirror { supplier: place(supplier)?, percent, credentials })
    };
    Ok(Forward {
        shares: forward.shares.iter().map(share).collect::<Result<_, RouterError>>()?,
        sticky: forward.sticky,
        rewrite: forward.rewrite.clone(),
        mirror: forward.mirror.as_ref().map(mirror).transpose()?,
    })
}

/// The path as a server reads it that cuts path parameters; `None` where there are none.
fn without_parameters(path: &str) -> Option<String> {
    path.contains(';').then(|| {
        let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or(segment));
        segments.collect::<Vec<_>>().join("/")
    })
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

    fn table(routes: Vec<model::Route>) -> Router {
        Router::new(&model::Config { routes, ..testing::config() }).unwrap()
    }

    /// A head with this method and query, and `x-version` fields.
    fn head(method: &Method, query: &str, versions: &[&str]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(format!("/?{query}"));
        for version in versions {
            request = request.header("x-version", *version);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn find(routes: Vec<model::Route>, host: &str, path: &str, method: &Method) -> Option<String> {
        let head = head(method, "", &[]);
        let table = table(routes);
        table.find(Asked::new(host, path, &head)).map(|found| found.route.name.clone())
    }

    /// `x-version`, exactly.
    fn versioned(name: &str, path: &str, version: &str) -> model::Route {
        let field = http::HeaderName::from_static("x-version");
        let headers = vec![(field, model::Test::Exact(version.to_owned()))];
        model::Route {
            when: Conditions { headers, ..Conditions::default() },
            ..route(name, None, path, &[])
        }
    }

    #[test]
    fn a_narrower_route_goes_first_and_what_meets_none_falls_through_to_no_other_place() {
        let both = [route("wide", None, "/a", &[]), versioned("two", "/a", "2")];
        for routes in [both.to_vec(), both.iter().rev().cloned().collect()] {
            let table = table(routes);
            for (versions, name) in
                [(&["2"][..], "two"), (&[], "wide"), (&["3"], "wide"), (&["2", "2"], "wide")]
            {
                let head = head(&Method::GET, "", versions);
                let found = table.find(Asked::new("h", "/a", &head)).unwrap();
                assert_eq!(found.route.name, name, "{versions:?}");
            }
        }
        let alone = table(vec![versioned("two", "/a", "2"), route("rest", None, "/{*rest}", &[])]);
        let head = head(&Method::GET, "", &["3"]);
        assert!(alone.find(Asked::new("h", "/a", &head)).is_none());
    }

    #[test]
    fn paths_are_made_from_what_the_parameters_took() {
        let forward = model::Forward {
            rewrite: Some(Template::new("/in/{id}/{*rest}")),
            ..model::Forward::to("echo")
        };
        let destination = Destination::Forward(forward);
        let table = table(vec![model::Route { destination, ..testing::route("/v1/{id}/{*rest}") }]);
        let head = head(&Method::GET, "", &[]);
        let path = |path| table.find(Asked::new("h", path, &head)).unwrap().path();
        assert_eq!(path("/v1/7/a/b").as_deref(), Some("/in/7/a/b"));
        assert_eq!(path("/v1/7/").as_deref(), Some("/in/7/"));
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
        let table = table(routes);
        let find = |path: &str, method: &Method| {
            let head = head(method, "", &[]);
            table.find(Asked::new("h", path, &head)).map(|found| Arc::clone(found.route))
        };
        assert_eq!(find("/a", &Method::POST).unwrap().name, "write");
        let none = find("/a", &Method::DELETE).unwrap();
        assert!(!none.takes(&Method::DELETE));
        assert_eq!(none.allow, "GET, POST");
        assert!(find("/b", &Method::GET).is_none());
        assert!(find("/a/", &Method::GET).is_none());
    }

    #[test]
    fn a_parameter_does_not_lead_around_a_route() {
        let routes = vec![
            route("rest", None, "/{*rest}", &[]),
            route("admin", None, "/admin", &[]),
            route("one", None, "/users/{id}", &[]),
        ];
        let table = table(routes);
        let head = head(&Method::GET, "", &[]);
        let ambiguous = |path: &str| table.ambiguous(Asked::new("h", path, &head));
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
