//! What a request meets before its supplier, and what every response carries.

use gateway_common::Reason;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    client::{full, raw},
    lab::{Lab, config},
};
use crate::{config::model::Route, proxy::testing};

#[tokio::test]
async fn serves_both_versions_with_ids_traces_and_protective_fields() {
    let lab = Lab::start(config());
    for mut client in [lab.h1().await, lab.h2().await] {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let fields =
            [("traceparent", parent), ("x-request-id", "mine"), ("x-forwarded-for", "6.6.6.6")];
        let answer = client.get_with("/a?b=c", &fields).await;
        assert_eq!(answer.status, 200);
        let id = answer.header("x-request-id").to_owned();
        assert_eq!(id.len(), 32);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("strict-transport-security").starts_with("max-age="));
        let seen = answer.json();
        assert_eq!((&seen["path"], &seen["query"]), (&Value::from("/a"), &Value::from("b=c")));
        let headers = &seen["headers"];
        assert_eq!(headers["x-request-id"], id);
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "localhost");
        assert_eq!(headers["forwarded"], "for=127.0.0.1;proto=https");
        let trace = headers["traceparent"].as_str().unwrap();
        assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && trace != parent);
    }
}

#[tokio::test]
async fn refusals_are_problem_documents_with_a_strike_and_a_memory() {
    let mut only_get = config();
    only_get.routes =
        vec![Route { methods: vec![Method::GET, Method::HEAD], ..testing::route("/known/{id}") }];
    let mut lab = Lab::start(only_get);
    let mut client = lab.h2().await;

    let unknown = client.get("/nowhere").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("content-type"), "application/problem+json");
    assert_eq!(unknown.json()["title"], "Not found");
    assert_eq!(unknown.json()["request_id"], unknown.header("x-request-id"));

    let delete = client.request(Method::DELETE, "/known/1").body(full("")).unwrap();
    let refused = client.send(delete).await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET, HEAD"));
    let trace = client.request(Method::TRACE, "/known/1").body(full("")).unwrap();
    assert_eq!(client.send(trace).await.status, 405);

    let strikes = [Reason::RouteUnknown, Reason::MethodRefused, Reason::MethodRefused];
    assert_eq!(lab.strikes(3).await, strikes);
    let why = lab.why(unknown.header("x-request-id"));
    assert!(why.to_string().contains("route_unknown"), "{why}");
}

#[tokio::test]
async fn a_path_has_one_reading_or_none() {
    let mut lab = Lab::start(config());
    let tricks = [
        "/a/../b",
        "/a/%2e%2e/b",
        "/a//b",
        "/a%2fb",
        "/a%5cb",
        "/a%00b",
        "/%zz",
        "/a\\b",
        "/%252e%252e",
        "/..;/a",
        "/%c0%ae",
    ];
    for path in tricks {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let tls = lab.identified.trusting(&[b"http/1.1"]);
        let answer = raw(lab.address, tls, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert_eq!(lab.strikes(1).await, [Reason::PathInvalid], "{path}");
    }
    let mut client = lab.h1().await;
    assert_eq!(client.get("/%61%2Db/%e2%82%ac").await.json()["path"], "/a-b/%E2%82%AC");
}

#[tokio::test]
async fn a_host_has_one_reading_or_none() {
    let mut lab = Lab::start(config());
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\r\nhost: a.example\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n",
        "GET / HTTP/1.1\r\nhost: a@b\r\n",
        "GET https://a.example/ HTTP/1.1\r\nhost: b.example\r\n",
    ] {
        let request = format!("{head}connection: close\r\n\r\n");
        let tls = lab.identified.trusting(&[b"http/1.1"]);
        let answer = raw(lab.address, tls, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        assert_eq!(lab.strikes(1).await, [Reason::HostInvalid], "{head}");
    }
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_counted_and_a_strike_too() {
    let mut lab = Lab::start(config());
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(80));
    for (bytes, reason) in [
        ("GET / HTTP/1.1\r\nhost : x\r\n\r\n", Reason::FieldInvalid),
        ("\u{1}\u{2}\u{3} garbage\r\n\r\n", Reason::HeadMalformed),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            Reason::LengthInvalid,
        ),
        (&long, Reason::HeadTooLarge),
        (&many, Reason::HeadTooLarge),
    ] {
        let tls = lab.identified.trusting(&[b"http/1.1"]);
        let answer = raw(lab.address, tls, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{bytes:.80}: {answer}");
        assert_eq!(lab.strikes(1).await, [reason], "{answer}");
    }
}

#[tokio::test]
async fn protocol_switches_and_tunnels_are_refused() {
    let mut lab = Lab::start(config());
    let upgrade = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
    let tunnel = "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n";
    for (bytes, status, reason) in
        [(upgrade, "501", Reason::UpgradeRefused), (tunnel, "405", Reason::MethodRefused)]
    {
        let tls = lab.identified.trusting(&[b"http/1.1"]);
        let mut stream = super::client::handshake(lab.address, tls).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
        assert_eq!(lab.strikes(1).await, [reason]);
    }
}

#[tokio::test]
async fn the_access_log_has_one_line_a_request_and_no_query() {
    let lab = Lab::start(config());
    let mut client = lab.h1().await;
    let served = client.get("/a?token=secret").await;
    let refused = client.get("/keyed").await;
    drop(client);
    let log = lab.finish();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0]["request_id"], served.header("x-request-id"));
    assert_eq!((&log[0]["path"], &log[0]["status"]), (&Value::from("/a"), &Value::from(200)));
    assert_eq!(log[1]["request_id"], refused.header("x-request-id"));
    assert_eq!(log[1]["reason"], "credential_missing");
    assert!(!log.iter().any(|line| line.to_string().contains("secret")));
}

#[tokio::test]
async fn an_h2_head_over_the_caps_is_refused_with_its_reason() {
    let mut small = config();
    (small.proxy.head_bytes, small.proxy.head_fields) = (2048, 10);
    let mut lab = Lab::start(small);
    let mut client = lab.h2().await;
    let value = "x".repeat(2048);
    let names: Vec<String> = (0..11).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(client.get_with("/", &many[..9]).await.status, 200);
    for fields in [&many[..], &[("x-long", &value)]] {
        let answer = client.get_with("/", fields).await;
        assert_eq!(answer.status, 431);
        assert_eq!(lab.strikes(1).await, [Reason::HeadTooLarge]);
        assert_eq!(lab.why(answer.header("x-request-id"))["reason"], "head_too_large");
    }
    let answer = client.get_with("/", &[("x-long", &value[..1500])]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_path_parameter_does_not_lead_around_authentication() {
    let mut lab = Lab::start(config());
    for mut client in [lab.h1().await, lab.h2().await] {
        for path in ["/keyed;x", "/keyed;jsessionid=1", "/keyed%3bx"] {
            assert_eq!(client.get(path).await.status, 400, "{path}");
            assert_eq!(lab.strikes(1).await, [Reason::PathInvalid]);
        }
        assert_eq!(client.get("/other;x").await.status, 200);
    }
}

#[tokio::test]
async fn what_http1_refuses_as_ambiguous_fields_is_refused_in_h2() {
    let mut lab = Lab::start(config());
    let mut client = lab.h2().await;
    for (fields, status, reason) in [
        (&[("authorization", "a"), ("authorization", "b")][..], 400, Reason::FieldDuplicate),
        (&[("content-type", "a/b"), ("content-type", "a/b")], 400, Reason::FieldDuplicate),
        (&[("origin", "https://a"), ("origin", "https://b")], 400, Reason::FieldDuplicate),
        (&[("content_length", "5")], 400, Reason::FramingConflict),
        (&[("transfer_encoding", "chunked")], 400, Reason::FramingConflict),
        (&[("expect", "a-miracle")], 417, Reason::ExpectationUnknown),
    ] {
        assert_eq!(client.get_with("/", fields).await.status, status, "{fields:?}");
        assert_eq!(lab.strikes(1).await, [reason], "{fields:?}");
    }
    let lawful = [("accept", "a/b"), ("accept", "c/d"), ("authorization", "a")];
    assert_eq!(client.get_with("/", &lawful).await.status, 200);
}

#[tokio::test]
async fn options_of_the_gateway_itself_and_http10_without_host() {
    let mut lab = Lab::start(config());
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let star = b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = raw(lab.address, tls.clone(), star).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.contains("\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
    lab.no_strike();
    // Which site it is for, nobody can say.
    let answer = raw(lab.address, tls, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "), "{answer}");
    assert_eq!(lab.strikes(1).await, [Reason::HostInvalid]);
}
