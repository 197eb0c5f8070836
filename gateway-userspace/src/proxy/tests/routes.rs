//! Routing as clients and suppliers see it: conditions, rewrites, redirects, splits and mirrors.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    client::{Client, full, raw},
    lab::{Identified, Lab},
    origin::{Origin, Speaks},
};
use crate::{
    config::{
        model::{Config, SupplierKind},
        testing::sample,
    },
    proxy::testing,
};

/// A configuration with these routes and an origin behind each supplier's name.
fn routed(routes: &str, suppliers: &[(&str, SupplierKind)]) -> Config {
    let named = |(name, _): &(&str, SupplierKind)| {
        format!("[[supplier]]\nname = \"{name}\"\ntargets = [\"https://x.example\"]\n")
    };
    let named: String = suppliers.iter().map(named).collect();
    let mut config = Config { routes: Vec::new(), ..testing::config() };
    config.routes = sample(&format!("{named}{routes}")).routes;
    config.suppliers =
        suppliers.iter().map(|(name, kind)| testing::supplier(name, kind.clone())).collect();
    config
}

async fn origin() -> Origin {
    Origin::start(Speaks::First, &Identified::new()).await
}

async fn seen(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Value {
    let answer = client.get_with(path, fields).await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    answer.json()
}

#[tokio::test]
async fn headers_and_query_choose_among_the_routes_of_a_place() {
    let (one, two) = (origin().await, origin().await);
    let routes = r#"
[[route]]
path = "/a"
supplier = "one"
identity = "none"
[[route]]
path = "/a"
headers = { x-version = "2" }
query = { preview = false }
rewrite = "/two"
supplier = "two"
identity = "none"
[[route]]
path = "/only"
headers = { x-version = { prefix = "2" } }
supplier = "one"
identity = "none"
[[route]]
path = "/{*rest}"
supplier = "two"
identity = "none"
"#;
    let lab = Lab::start(routed(routes, &[("one", one.kind()), ("two", two.kind())]));
    let mut client = lab.h1().await;
    let two = [("x-version", "2")];
    for (path, fields, uri) in [
        ("/a", &[][..], "/a"),
        ("/a?x=1", &two, "/two?x=1"),
        ("/a?preview=1", &two, "/a?preview=1"),
        ("/a?%70review", &two, "/a?%70review"),
        ("/a", &[("x-version", "2"), ("x-version", "2")], "/a"),
        ("/only", &[("x-version", "2.1")], "/only"),
    ] {
        assert_eq!(seen(&mut client, path, fields).await["uri"], uri, "{path} {fields:?}");
    }
    // No other place's route takes what asks for less than the nearest one.
    assert_eq!(client.get("/only").await.status, 404);
}

#[tokio::test]
async fn a_rewrite_is_made_of_the_one_reading_of_the_path() {
    let one = origin().await;
    let routes = r#"
[[route]]
path = "/api/{id}/{*rest}"
rewrite = "/internal/{*rest}"
supplier = "one"
identity = "none"
"#;
    let lab = Lab::start(routed(routes, &[("one", one.kind())]));
    let mut client = lab.h2().await;
    for (sent, uri) in [
        ("/api/7/a/b?q=%2e", "/internal/a/b?q=%2e"),
        ("/api/7/%61%20b", "/internal/a%20b"),
        ("/api/7/", "/internal/"),
    ] {
        assert_eq!(seen(&mut client, sent, &[]).await["uri"], uri);
    }
    for climbing in ["/api/7/../b", "/api/7/%2e%2e/b", "/api/7//b", "/api/7/a%2fb"] {
        assert_eq!(client.get(climbing).await.status, 400, "{climbing}");
    }
}

#[tokio::test]
async fn a_redirect_leads_where_the_file_says_and_nowhere_else() {
    let routes = r#"
[[route]]
path = "/old/{*rest}"
redirect = { to = "https://www.example.com:8443/{*rest}" }
identity = "none"
[[route]]
path = "/here/{*rest}"
redirect = { to = "/{*rest}", status = 302, query = false }
identity = "none"
"#;
    let lab = Lab::start(routed(routes, &[]));
    let mut client = lab.h1().await;
    for (path, status, location) in [
        ("/old/a/b?c=d", 308, "https://www.example.com:8443/a/b?c=d"),
        ("/old/", 308, "https://www.example.com:8443/"),
        ("/here/evil.example?x", 302, "/evil.example"),
        ("/here/@evil.example", 302, "/@evil.example"),
    ] {
        let answer = client.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (status, location));
        assert!(answer.header("x-request-id").len() > 8, "{answer:?}");
    }
    for path in ["/here//evil.example", "/here/%2f%2fevil.example", "/here/%5cevil.example"] {
        let answer = client.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""), "{path}");
    }
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let forged = b"GET /old/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = raw(lab.address, tls, forged).await;
    assert!(answer.contains("location: https://www.example.com:8443/a\r\n"), "{answer}");
}

#[tokio::test]
async fn a_split_keeps_its_shares_and_a_sticky_one_its_clients() {
    let (one, two) = (origin().await, origin().await);
    let routes = r#"
[[route]]
path = "/split"
split = [{ supplier = "one", weight = 90 }, { supplier = "two", weight = 10 }]
identity = "none"
[[route]]
path = "/sticky"
split = [{ supplier = "one", weight = 1 }, { supplier = "two", weight = 1 }]
sticky = true
identity = "none"
"#;
    let lab = Lab::start(routed(routes, &[("one", one.kind()), ("two", two.kind())]));
    let mut client = lab.h1().await;
    let mut to_two = 0;
    for _ in 0..200 {
        let host = seen(&mut client, "/split", &[]).await["headers"]["host"].clone();
        to_two += usize::from(host == two.address.to_string());
    }
    assert!((17..=23).contains(&to_two), "{to_two} of 200 for a tenth");
    let first = seen(&mut client, "/sticky", &[]).await["headers"]["host"].clone();
    for _ in 0..20 {
        assert_eq!(seen(&mut client, "/sticky", &[]).await["headers"]["host"], first);
    }
}

#[tokio::test]
async fn a_mirror_gets_copies_without_credentials_and_delays_nobody() {
    let (one, two) = (origin().await, origin().await);
    let routes = r#"
[[route]]
path = "/{*rest}"
supplier = "one"
mirror = { supplier = "two" }
identity = "none"
"#;
    let suppliers = [("one", one.kind()), ("two", two.kind())];
    let lab = Lab::start(routed(routes, &suppliers));
    let mut client = lab.h1().await;
    for (size, outcome) in [(0, "answered"), (5, "answered"), (70_000, "dropped")] {
        let before = mirrored(&lab, outcome).await;
        let post = client.request(Method::POST, "/x").body(full(vec![b'x'; size])).unwrap();
        let answer = client.send(post).await;
        assert_eq!((answer.status, &answer.json()["body_bytes"]), (StatusCode::OK, &size.into()));
        until(&lab, outcome, before + 1).await;
    }
    assert_eq!(two.connections(), 1, "the copies' connection is used again");
    // More than may be under way, and none of them ever answered.
    drop(two);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = one.target();
    target.port = silent.local_addr().unwrap().port();
    let suppliers = [("one", one.kind()), ("two", SupplierKind::Http(vec![target]))];
    let lab = Lab::start(routed(routes, &suppliers));
    let mut client = lab.h1().await;
    for _ in 0..100 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert!(mirrored(&lab, "dropped").await >= 30);
}

#[tokio::test]
async fn a_mirror_sees_no_credential_unless_the_route_says_so() {
    for said in [false, true] {
        let one = origin().await;
        let (listener, address) = listening().await;
        let routes = format!(
            "[[route]]\npath = \"/{{*rest}}\"\nsupplier = \"one\"\nidentity = \"none\"\nmirror = {{ supplier = \"two\", credentials = {said} }}\n"
        );
        let mut target = one.target();
        target.port = address.port();
        let suppliers = [("one", one.kind()), ("two", SupplierKind::Http(vec![target]))];
        let lab = Lab::start(routed(&routes, &suppliers));
        let fields =
            [("authorization", "Basic c2VjcmV0"), ("cookie", "session=secret"), ("x-o", "o")];
        let primary = seen(&mut lab.h1().await, "/x", &fields).await;
        assert_eq!(primary["headers"]["authorization"], "Basic c2VjcmV0");
        let copy = head(listener).await;
        assert!(copy.contains("x-o: o\r\n"), "{copy}");
        assert_eq!(copy.contains("c2VjcmV0"), said, "{copy}");
        assert_eq!(copy.contains("session=secret"), said, "{copy}");
    }
}

async fn listening() -> (tokio::net::TcpListener, std::net::SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The first request head that arrives.
async fn head(listener: tokio::net::TcpListener) -> String {
    use tokio::io::AsyncReadExt as _;
    let read = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    };
    tokio::time::timeout(super::client::PATIENCE, read).await.expect("a copy in time")
}

/// A number of `gateway_mirrored_total`.
async fn mirrored(lab: &Lab, outcome: &str) -> u64 {
    let text = super::connections::scrape(lab).await;
    let series = format!("gateway_mirrored_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("the series").parse().unwrap()
}

async fn until(lab: &Lab, outcome: &str, count: u64) {
    for _ in 0..100 {
        if mirrored(lab, outcome).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {outcome} copy");
}
