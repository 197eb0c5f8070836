//! What a route changes on the way, against origins that say more than they should.

use http::Method;

use super::{
    client::full,
    lab::{Lab, config},
    origin::Bytewise,
    recorder,
};
use crate::{
    config::{model::Config, testing::sample},
    proxy::testing,
};

/// One public route with these keys, to one origin.
async fn lab(keys: &str, answer: &'static str) -> (Lab, Bytewise) {
    let origin = Bytewise::start(answer).await;
    let routes = format!(
        "[[route]]\npath = \"/{{*rest}}\"\nsupplier = \"echo\"\nidentity = \"none\"\n{keys}\n"
    );
    let routes = sample(&routes).routes;
    let suppliers = vec![testing::supplier("echo", origin.kind())];
    let config = Config { suppliers, routes, ..config() };
    (Lab::start(config), origin)
}

const REFUSED: &str = "HTTP/1.1 404 No\r\ncontent-length: 6\r\n\r\nno db7";

#[tokio::test]
async fn what_a_supplier_says_of_its_faults_stays_inside() {
    const TRACE: &str = "HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\nx-db: db7.internal\r\n\
        retry-after: 7\r\ncontent-length: 21\r\n\r\nat Ledger.java:42 db7";
    let (lab, _origin) = lab("", TRACE).await;
    let answer = lab.h1().await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (500, "7"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    assert!(!format!("{answer:?}").contains("db7"), "{answer:?}");

    let (lab, _origin) = self::lab("errors = \"off\"", TRACE).await;
    assert!(lab.h1().await.get("/").await.body.ends_with(b"db7"));

    let (lab, _origin) = self::lab("", REFUSED).await;
    assert_eq!(&lab.h1().await.get("/").await.body[..], b"no db7");
    let (lab, _origin) = self::lab("errors = \"4xx\"", REFUSED).await;
    let answer = lab.h2().await.get("/").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["title"]), (404, &"Not Found".into()));
}

#[tokio::test]
async fn header_fields_and_statuses_are_changed_both_ways() {
    const ANSWER: &str = "HTTP/1.1 418 Tea\r\nx-old: 1\r\nx-old: 2\r\nx-gone: 3\r\nvary: a\r\n\
        cache-control: public\r\ncontent-length: 2\r\n\r\nok";
    let keys = "status = { 418 = 202 }\n\
        response_headers = { remove = [\"x-gone\"], rename = { x-old = \"x-new\" }, set = { cache-control = \"no-store\" }, add = { vary = \"b\" } }";
    let (lab, _origin) = lab(keys, ANSWER).await;
    let answer = lab.h1().await.get("/").await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b"ok"[..]));
    let all = |name: &str| -> Vec<_> { answer.headers.get_all(name).iter().cloned().collect() };
    assert_eq!(all("x-new"), ["1", "2"]);
    assert!(all("x-old").is_empty() && all("x-gone").is_empty());
    assert_eq!(
        (all("cache-control"), all("vary")),
        (vec!["no-store".parse().unwrap()], vec!["a".parse().unwrap(), "b".parse().unwrap()])
    );

    let origin = recorder::Recorder::start().await;
    let routes = "[[route]]\npath = \"/{*rest}\"\nsupplier = \"echo\"\nidentity = \"none\"\n\
        request_headers = { remove = [\"x-gone\"], rename = { x-old = \"x-new\" }, set = { x-edge = \"1\" } }\n";
    let suppliers = vec![testing::supplier("echo", origin.kind())];
    let lab = Lab::start(Config { routes: sample(routes).routes, suppliers, ..config() });
    let fields = [("x-gone", "a"), ("x-old", "b"), ("x-edge", "forged")];
    lab.h1().await.get_with("/", &fields).await;
    let seen = format!("{:?}", origin.take());
    for (text, there) in [
        ("x-gone", false),
        ("x-old", false),
        ("x-new", true),
        ("x-edge: 1", true),
        ("forged", false),
    ] {
        assert_eq!(seen.contains(text), there, "{text}: {seen}");
    }
}

#[tokio::test]
async fn json_is_changed_or_refused() {
    const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/hal+json; charset=utf-8\r\n\
        etag: \"1\"\r\ncontent-length: 48\r\n\r\n{\"id\":12345678901234567890.10,\"pan\":\"4\",\"d\":[1]}";
    let keys = "json = { redact = [\"/pan\"], remove = [\"/d\"], size = \"1KiB\" }";
    let changed = "{\"id\":12345678901234567890.10,\"pan\":\"[redacted]\"}";
    let (lab, _origin) = lab(keys, JSON).await;
    let answer = lab.h1().await.get("/").await;
    assert_eq!(String::from_utf8_lossy(&answer.body), changed, "{answer:?}");
    assert_eq!(answer.header("etag"), "");
    for (what, reply) in [
        (
            "another type",
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 11\r\n\r\n{\"pan\":\"4\"}",
        ),
        (
            "no JSON",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"pan\":\"4\"",
        ),
        (
            "encoded",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 11\r\n\r\n{\"pan\":\"4\"}",
        ),
        (
            "part",
            "HTTP/1.1 206 Part\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"pan\":\"4\"}",
        ),
        (
            "too long",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n{\"pan\":\"4\"",
        ),
    ] {
        let (lab, _origin) = self::lab(keys, reply).await;
        let answer = lab.h1().await.get("/").await;
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
        assert!(!answer.body.contains(&b'4') || answer.header("content-type").contains("problem"));
        let why = lab.why(answer.header("x-request-id"));
        assert_eq!(why["reason"], "supplier_body", "{what}: {why}");
    }
    let passing = "json = { redact = [\"/pan\"], otherwise = \"pass\" }";
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nfour";
    let (lab, _origin) = self::lab(passing, plain).await;
    let mut client = lab.h1().await;
    let request = client.request(Method::GET, "/").body(full("")).unwrap();
    assert_eq!(&client.send(request).await.body[..], b"four");
}
