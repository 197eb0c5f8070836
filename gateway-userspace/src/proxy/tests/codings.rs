//! Content codings on the wire: answers that are packed, requests that are unpacked, and bombs.

use std::sync::Arc;

use bytes::Bytes;
use gateway_common::Reason;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use super::{
    client::{Answer, PATIENCE, full, handshake},
    lab::{Lab, config},
    origin::Bytewise,
    recorder::Recorder,
};
use crate::{
    config::{
        model::{Config, Host, Protocol, SupplierKind, Target},
        testing::sample,
    },
    proxy::{
        coding::{
            Coding,
            decode::{Bounds, Decoding, Fault},
            encode::Encoder,
        },
        testing,
    },
};

const WIDE: Bounds = Bounds { bytes: 1 << 30, ratio: 10_000 };

fn lab(keys: &str, kind: SupplierKind) -> Lab {
    let routes = format!(
        "[[route]]\npath = \"/{{*rest}}\"\nsupplier = \"echo\"\nidentity = \"none\"\nbody = \"64KiB\"\n{keys}\n"
    );
    let routes = sample(&routes).routes;
    Lab::start(Config { suppliers: vec![testing::supplier("echo", kind)], routes, ..config() })
}

fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding).unwrap();
    encoder.write(text).unwrap();
    encoder.finish().unwrap().to_vec()
}

fn unpacked(decoding: &mut Decoding, bytes: Bytes) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    decoding.feed(bytes);
    while let Some(piece) = decoding.next()? {
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// An answer of 4000 bytes with these fields.
fn text(fields: &str) -> String {
    let body = "a line of text\r\n".repeat(250);
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

const PLAIN: &str =
    "content-type: text/plain; charset=utf-8\r\netag: \"1\"\r\naccept-ranges: bytes\r\n";

async fn asked(fields: &str, keys: &str, request: &[(&str, &str)]) -> Answer {
    let origin = Bytewise::start(text(fields)).await;
    lab(keys, origin.kind()).h2().await.get_with("/", request).await
}

#[tokio::test]
async fn an_answer_is_packed_as_the_client_likes_it_best() {
    let origin = Bytewise::start(text(PLAIN)).await;
    let lab = lab("compress = true", origin.kind());
    for coding in Coding::ALL {
        for mut client in [lab.h1().await, lab.h2().await] {
            let accept = format!("{};q=0.9, identity;q=0.1", coding.token());
            let answer = client.get_with("/", &[("accept-encoding", &accept)]).await;
            assert_eq!(answer.header("content-encoding"), coding.token(), "{answer:?}");
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!((answer.header("etag"), answer.header("accept-ranges")), ("W/\"1\"", ""));
            assert!(answer.body.len() < 400, "{}", answer.body.len());
            let mut decoding = Decoding::new(coding, WIDE).unwrap();
            let out = unpacked(&mut decoding, answer.body).unwrap();
            assert_eq!((out.len(), decoding.finish()), (4000, Ok(())));
        }
    }
}

#[tokio::test]
async fn what_must_not_be_packed_is_not() {
    let gzip = ("accept-encoding", "gzip, br, zstd");
    let on = "compress = true";
    for (what, fields, keys, request) in [
        ("not asked for", PLAIN, on, &[("accept", "*/*")][..]),
        ("refused", PLAIN, on, &[("accept-encoding", "gzip;q=0, identity;q=0")]),
        ("off", PLAIN, "", &[gzip]),
        ("another type", "content-type: image/png\r\n", on, &[gzip]),
        ("no type", "", on, &[gzip]),
        ("too short", PLAIN, "compress = { size = \"8KiB\" }", &[gzip]),
        (
            "no-transform",
            "content-type: text/plain\r\ncache-control: no-transform\r\n",
            on,
            &[gzip],
        ),
        ("the client's no-transform", PLAIN, on, &[gzip, ("cache-control", "no-transform")]),
        ("a cookie", PLAIN, on, &[gzip, ("cookie", "session=1")]),
        ("basic credentials", PLAIN, on, &[gzip, ("authorization", "Basic YTpi")]),
        ("sets a cookie", "content-type: text/plain\r\nset-cookie: a=b\r\n", on, &[gzip]),
        ("events", "content-type: text/event-stream\r\n", on, &[gzip]),
    ] {
        let answer = asked(fields, keys, request).await;
        assert_eq!(answer.header("content-encoding"), "", "{what}");
        assert_eq!(answer.body.len(), 4000, "{what}");
    }
    let encoded = "content-type: text/plain\r\ncontent-encoding: br\r\n";
    assert_eq!(asked(encoded, on, &[gzip]).await.body.len(), 4000);
    let bearer = [gzip, ("authorization", "Bearer token")];
    assert_eq!(asked(PLAIN, on, &bearer).await.header("content-encoding"), "zstd");
    let meant = "compress = { credentials = true, codings = [\"gzip\"] }";
    let answer = asked(PLAIN, meant, &[gzip, ("cookie", "session=1")]).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
}

#[tokio::test]
async fn an_answer_without_a_body_stays_without_one() {
    let origin = Bytewise::start(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4000\r\n\r\n",
    )
    .await;
    let lab = lab("compress = true", origin.kind());
    let mut client = lab.h2().await;
    let request = client.request(Method::HEAD, "/").header("accept-encoding", "gzip");
    let answer = client.send(request.body(full("")).unwrap()).await;
    assert_eq!((answer.header("content-encoding"), answer.body.len()), ("", 0));
    assert_eq!(answer.header("vary"), "accept-encoding");
    let not_modified =
        "HTTP/1.1 304 Not Modified\r\ncontent-type: text/plain\r\netag: \"1\"\r\n\r\n";
    let origin = Bytewise::start(not_modified).await;
    let lab = self::lab("compress = true", origin.kind());
    let answer = lab.h1().await.get_with("/", &[("accept-encoding", "gzip")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (304, ""));
}

/// Writes one event, and the second once it is told to.
async fn events(listener: TcpListener, more: Arc<Notify>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}9\r\ndata: 1\n\n\r\n").as_bytes()).await.unwrap();
    more.notified().await;
    stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").await.unwrap();
}

#[tokio::test]
async fn an_event_is_with_the_client_before_the_next_is_made() {
    for coding in Coding::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let more = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(events(listener, Arc::clone(&more)));
        let (host, protocol) = (Host::Address(address.ip()), Protocol::Http1);
        let target = Target { tls: false, host, port: address.port(), protocol, weight: 1 };
        let lab = lab(
            "compress = { types = [\"text/event-stream\"], size = \"0B\" }",
            SupplierKind::Http(vec![target]),
        );
        let stream = handshake(lab.address, lab.identified.trusting(&[b"http/1.1"])).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tasks.spawn(async { drop(connection.await) });
        let request = Request::get("/").header("host", "localhost");
        let request = request.header("accept-encoding", coding.token()).body(full("")).unwrap();
        let mut response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.headers()["content-encoding"], coding.token());
        let mut decoding = Decoding::new(coding, WIDE).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"data: 1\n\n") {
            let frame = timeout(PATIENCE, response.body_mut().frame()).await;
            let data = frame.expect("the first event").unwrap().unwrap().into_data().unwrap();
            seen.extend(unpacked(&mut decoding, data).unwrap());
        }
        more.notify_one();
        let rest = timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
        seen.extend(unpacked(&mut decoding, rest.to_bytes()).unwrap());
        assert_eq!((&seen[..], decoding.finish()), (&b"data: 1\n\ndata: 2\n\n"[..], Ok(())));
    }
}

async fn posted(lab: &Lab, coding: &str, body: Vec<u8>) -> Answer {
    let mut client = lab.h2().await;
    let request = client.request(Method::POST, "/in").header("content-encoding", coding);
    let request = request.header("content-digest", "sha-256=:AA==:");
    client.send(request.body(full(body)).unwrap()).await
}

#[tokio::test]
async fn a_packed_request_arrives_unpacked_where_the_route_says_so() {
    let text = "{\"a\":1}".repeat(2000);
    for coding in Coding::ALL {
        let origin = Recorder::start().await;
        let lab = lab("encoded = \"decode\"", origin.kind());
        assert_eq!(posted(&lab, coding.token(), packed(coding, text.as_bytes())).await.status, 200);
        let seen = origin.take();
        assert!(seen[0].body == text.as_bytes(), "{coding:?}");
        for field in ["content-encoding", "content-digest"] {
            assert!(seen[0].values(field).is_empty(), "{}", seen[0].head);
        }
    }
    let origin = Recorder::start().await;
    let lab = lab("", origin.kind());
    let body = packed(Coding::Gzip, text.as_bytes());
    assert_eq!(posted(&lab, "gzip", body.clone()).await.status, 200);
    let seen = origin.take();
    assert_eq!((&seen[0].body, seen[0].values("content-encoding")), (&body, vec!["gzip"]));
}

#[tokio::test]
async fn bombs_and_lies_are_refused_each_with_its_reason_and_strike() {
    let origin = Recorder::start().await;
    let zeros = vec![0; 4 << 20];
    // Text that packs to a third or so: over the route's 64 KiB, far below the ratio.
    let numbers = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string());
    let long = numbers.collect::<Vec<_>>().join(" ");
    for coding in Coding::ALL {
        let mut lab = lab("encoded = \"decode\"", origin.kind());
        let name = coding.token();
        let whole = packed(coding, b"some text that is not that short");
        let cut = whole[..whole.len() - 1].to_vec();
        let slow = packed(coding, &long.as_bytes()[..120_000]);
        assert!(slow.len() < 64 << 10, "{}", slow.len());
        for (name, body, reason) in [
            (name, packed(coding, &zeros), Reason::DecodedRatio),
            (name, slow, Reason::DecodedTooLarge),
            (name, b"no such coding".to_vec(), Reason::CodingInvalid),
            (name, cut, Reason::CodingInvalid),
            ("deflate", whole.clone(), Reason::CodingUnsupported),
            ("gzip, gzip", whole, Reason::CodingUnsupported),
        ] {
            let answer = posted(&lab, name, body).await;
            assert_eq!(answer.status.as_u16(), reason.info().status, "{coding:?} {reason}");
            let why = lab.why(answer.header("x-request-id"));
            assert_eq!(why["reason"], reason.name(), "{why}");
            let unsupported = reason == Reason::CodingUnsupported;
            assert_eq!(answer.header("accept-encoding") == "gzip, br, zstd", unsupported);
            assert_eq!(lab.strikes(1).await, [reason]);
        }
    }
    let lab = lab("encoded = \"refuse\"", origin.kind());
    let answer = posted(&lab, "gzip", packed(Coding::Gzip, b"x")).await;
    assert_eq!((answer.status.as_u16(), answer.header("accept-encoding")), (415, "identity"));
    assert_eq!(posted(&lab, "identity", b"x".to_vec()).await.status, 200);
    assert_eq!(origin.take().len(), 1, "nothing of the rest was whole");
}

#[tokio::test]
async fn json_that_comes_packed_though_nobody_asked_is_changed_all_the_same() {
    let body = b"{\"id\":1,\"pan\":\"4111\"}";
    let keys = "json = { redact = [\"/pan\"], otherwise = \"pass\", size = \"1KiB\" }";
    let answer = |coding: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    for coding in Coding::ALL {
        let origin = Bytewise::start(answer(coding.token(), &packed(coding, body))).await;
        let changed = lab(keys, origin.kind()).h2().await.get("/").await;
        assert_eq!(&changed.body[..], b"{\"id\":1,\"pan\":\"[redacted]\"}", "{changed:?}");
        assert_eq!(changed.header("content-encoding"), "");
        // A bomb of a supplier's, over `json.size`.
        let origin =
            Bytewise::start(answer(coding.token(), &packed(coding, &vec![b' '; 100_000]))).await;
        assert_eq!(lab(keys, origin.kind()).h2().await.get("/").await.status, 502);
    }
    // What cannot be read is refused even with otherwise = "pass": it may hold what is to stay.
    for (coding, body) in [("deflate", &body[..]), ("gzip", body), ("identity", &body[..20])] {
        let origin = Bytewise::start(answer(coding, body)).await;
        let refused = lab(keys, origin.kind()).h2().await.get("/").await;
        assert_eq!(refused.status, 502, "{coding}: {refused:?}");
    }
}
