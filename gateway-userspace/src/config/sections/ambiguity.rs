//! Two routes that would take the same request, with nothing to say which goes first.

use std::collections::HashMap;

use http::Method;

use crate::config::{
    fault::quoted,
    matching::{Conditions, Places},
    model::Route,
    tree::Section,
};

/// Routes at one place, at most: each is held against all others.
const AT_ONE_PLACE: usize = 256;

/// The routes so far.
#[derive(Default)]
pub(super) struct Taken {
    /// What the proxy matches by, so that it cannot refuse what passed here.
    places: Places<()>,
    /// The routes with the same host and path.
    alike: HashMap<(Option<String>, String), Vec<Claim>>,
}

/// What a route asks beside its place, and where it stands in the text.
struct Claim {
    name: String,
    methods: Vec<Method>,
    when: Conditions,
    place: usize,
}

impl Taken {
    pub(super) fn insert(&mut self, section: &Section<'_>, route: &Route) {
        let place = (route.host.clone(), route.path.clone());
        let alike = self.alike.entry(place).or_default();
        if alike.len() >= AT_ONE_PLACE {
            let what = format!("{} has {AT_ONE_PLACE} routes already", quoted(&route.path));
            section.refuse_inside("path", what, "let fewer routes share a host and path");
            return;
        }
        if let Some(other) = alike.iter().find(|other| other.contests(route)) {
            refuse(section, route, other);
        }
        let first = alike.is_empty();
        alike.push(Claim {
            name: route.name.clone(),
            methods: route.methods.clone(),
            when: route.when.clone(),
            place: section.place(),
        });
        let host = route.host.as_deref();
        if first && let Err(error) = self.places.insert(host, &route.path, ()) {
            let what = format!("{} cannot be told apart: {error}", quoted(&route.path));
            section.refuse_inside("path", what, "name the segment as the other route does");
        }
    }
}

impl Claim {
    /// Whether a request may meet both, neither being a case of the other.
    fn contests(&self, route: &Route) -> bool {
        let narrower = self.when.are_a_case_of(&route.when);
        let wider = route.when.are_a_case_of(&self.when);
        overlap(&self.methods, &route.methods)
            && !self.when.exclude(&route.when)
            && narrower == wider
    }
}

fn refuse(section: &Section<'_>, route: &Route, other: &Claim) {
    let line = section.line_of(other.place);
    let (own, name) = (quoted(&route.name), quoted(&other.name));
    let (key, what) = if route.when.is_empty() {
        ("path", format!("{} is taken by the route on line {line}", quoted(&route.path)))
    } else {
        let key = if route.when.headers.is_empty() { "query" } else { "headers" };
        (key, format!("a request may meet {own} as well as {name} on line {line}"))
    };
    section.refuse_inside(
        key,
        what,
        "give the routes different methods, hosts or paths, or one all conditions of the other and more",
    );
}

/// No methods takes all of them.
fn overlap(a: &[Method], b: &[Method]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    const START: &str = "[[listener]]\naddress = \"127.0.0.1:1\"\n\
        [[supplier]]\nname = \"s\"\ntargets = [\"echo\"]\n";

    /// The faults of routes on one path, each with these keys more.
    fn faults(routes: &[&str]) -> Vec<String> {
        let route = |(index, keys): (usize, &&str)| {
            format!(
                "[[route]]\nname = \"r{index}\"\npath = \"/a\"\nsupplier = \"s\"\nidentity = \"none\"\n{keys}\n"
            )
        };
        let routes: Vec<String> = routes.iter().enumerate().map(route).collect();
        let loaded = load(&format!("{START}{}", routes.concat()), "t");
        let faults = loaded.err().map(|faults| faults.faults).unwrap_or_default();
        faults.into_iter().map(|fault| format!("{}: {}", fault.key, fault.what)).collect()
    }

    #[test]
    fn routes_that_conditions_tell_apart_or_order_stand_together() {
        for routes in [
            &["headers = { x-v = \"1\" }", "headers = { x-v = \"2\" }", ""][..],
            &["headers = { x-v = { prefix = \"beta-\" } }", "headers = { x-v = \"beta-1\" }"],
            &["query = { v = true }", "query = { v = false }"],
            &["query = { v = \"1\" }\nheaders = { x = true }", "query = { v = \"1\" }"],
            &["methods = [\"GET\"]", "methods = [\"POST\"]", "headers = { x = true }"],
            &["host = \"a.example\"", "host = \"*.example\"", ""],
        ] {
            assert_eq!(faults(routes), <[String; 0]>::default(), "{routes:?}");
        }
    }

    #[test]
    fn two_that_one_request_may_meet_are_a_fault_that_names_both() {
        for (routes, told) in [
            (["", ""], "route[2].path: \"/a\" is taken by the route on line 6"),
            (
                ["headers = { x = \"1\" }", "headers = { y = \"1\" }"],
                "route[2].headers: a request may meet \"r1\" as well as \"r0\" on line 6",
            ),
            (
                ["query = { x = true }", "query = { x = true }"],
                "route[2].query: a request may meet \"r1\" as well as \"r0\" on line 6",
            ),
        ] {
            assert_eq!(faults(&routes), [told]);
        }
    }

    #[test]
    fn what_no_route_can_ask_for_or_lead_to_is_a_fault() {
        for keys in [
            "headers = { host = \"x\" }",
            "headers = { X-Upper = \"x\" }",
            "headers = { x = \"\" }",
            "headers = { x = 5 }",
            "query = { x = { suffix = \"a\" } }",
            "host = \"*.\"",
            "host = \"a.*.example\"",
            "host = \"*\"",
            "host = \"*.2.3.4\"",
            "split = [{ supplier = \"s\", weight = 1 }]",
            "redirect = { to = \"/b\" }",
            "rewrite = \"b\"",
            "rewrite = \"/{id}\"",
            "rewrite = \"/b//c\"",
            "sticky = true",
            "mirror = { supplier = \"s\" }",
            "mirror = { supplier = \"t\" }",
        ] {
            assert!(!faults(&[keys]).is_empty(), "{keys}");
        }
    }

    #[test]
    fn a_redirect_names_its_host_in_the_file_and_leads_elsewhere() {
        let fault = |to: &str| {
            let text = format!(
                "{START}[[route]]\npath = \"/a/{{id}}/{{*rest}}\"\nidentity = \"none\"\nredirect = {{ to = \"{to}\" }}\n"
            );
            load(&text, "t").err().map(|faults| faults.to_string())
        };
        for good in
            ["/b", "/{id}", "https://b.example", "https://b.example:8443/x/{*rest}", "/{*rest}"]
        {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "//evil.example",
            "http://b.example/",
            "javascript:alert(1)",
            "b.example",
            "https://{id}/",
            "https://{id}.example/",
            "https://user@b.example/",
            "https://b.example:0/",
            "https:///x",
            "/{other}",
            "/a{id}",
            "/{rest}",
            "/a/{id}/{*rest}",
            "/b\\\\c",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
