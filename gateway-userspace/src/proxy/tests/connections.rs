//! Connections: TLS, slow and idle peers, bounds, draining, and the admin listener.

use std::time::Duration;

use gateway_common::Reason;
use http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    client::{PATIENCE, full, handshake, raw},
    lab::{Identified, Lab, config},
    origin::{Origin, Speaks},
};
use crate::{
    ipc::message::{FromProxy, KernelReport, Query, ReasonCount},
    proxy::{net::WAKEFUL, testing},
};

#[tokio::test]
async fn bytes_that_are_no_tls_are_a_strike_but_a_bare_connect_is_none() {
    let mut lab = Lab::start(config());
    drop(TcpStream::connect(lab.address).await.unwrap());
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.no_strike();
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    drop(stream.read_to_end(&mut Vec::new()).await);
    assert_eq!(lab.strikes(1).await, [Reason::TlsHandshake]);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_earns_no_strike() {
    let mut lab = Lab::start(config());
    let stranger = Identified::new().trusting(&[b"h2"]);
    assert!(handshake(lab.address, stranger).await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    lab.no_strike();
    let why = lab.instance().answer(&Query::WhyAddress("127.0.0.1".parse().unwrap()));
    assert!(why.to_string().contains("tls_abandoned"), "{why}");
}

#[tokio::test]
async fn handshakes_and_heads_have_an_end_and_idle_connections_are_no_offence() {
    let mut impatient = config();
    impatient.proxy.timeouts.handshake = Duration::from_millis(200);
    impatient.proxy.timeouts.head = Duration::from_millis(300);
    impatient.proxy.timeouts.idle = Duration::from_millis(500);
    let mut lab = Lab::start(impatient);

    let mut silent = TcpStream::connect(lab.address).await.unwrap();
    // A connection opened ahead and let go, as browsers do.
    drop(silent.read_to_end(&mut Vec::new()).await);
    lab.no_strike();
    let mut slow = TcpStream::connect(lab.address).await.unwrap();
    slow.write_all(b"\x16\x03\x01").await.unwrap();
    drop(slow.read_to_end(&mut Vec::new()).await);
    assert_eq!(lab.strikes(1).await, [Reason::TlsTimeout]);

    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let answer =
        raw(lab.address, tls.clone(), b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("Request head timed out"));
    assert_eq!(lab.strikes(1).await, [Reason::HeadTimeout]);

    let idle = raw(lab.address, tls, b"").await;
    assert_eq!(idle, "");
    let tls = lab.identified.trusting(&[b"h2"]);
    drop(raw(lab.address, tls, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await);
    lab.no_strike();
}

#[tokio::test]
async fn who_comes_when_others_fill_the_gateway_earns_no_strike() {
    let mut full = config();
    full.proxy.connections = 0;
    let mut lab = Lab::start(full);
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    drop(stream.read_to_end(&mut Vec::new()).await);
    lab.no_strike();
    let why = lab.instance().answer(&Query::WhyAddress("127.0.0.1".parse().unwrap()));
    assert!(why.to_string().contains("proxy.connections"), "{why}");
}

#[tokio::test]
async fn a_kept_connection_may_rest_longer_than_a_head_may_take() {
    let mut quick = config();
    quick.proxy.timeouts.head = Duration::from_millis(100);
    let mut lab = Lab::start(quick);
    let mut client = lab.h1().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    lab.no_strike();
}

/// Long enough for a connection to have given back its buffers.
async fn slumber() {
    tokio::time::sleep(WAKEFUL + Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_connection_without_buffers_reads_heads_and_bodies_like_any_other() {
    let mut lab = Lab::start(config());
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let mut stream = handshake(lab.address, tls).await.unwrap();
    let asked: [&[&[u8]]; 3] = [
        &[b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"],
        &[b"GET", b" / HTTP/1.1\r\nhost: local", b"host\r\n\r\n"],
        // What waits for the sleeper is a head and part of a body.
        &[
            b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 31\r\n\r\nGET /smuggled",
            b" HTTP/1.1\r\nhost: x",
        ],
    ];
    for pieces in asked {
        slumber().await;
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut answer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    }
    slumber().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    drop(tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap());
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(lab.strikes(1).await.len(), 1);
}

#[tokio::test]
async fn a_connection_without_buffers_still_has_an_end() {
    let mut brief = config();
    brief.proxy.timeouts.idle = Duration::from_secs(4);
    brief.proxy.timeouts.head = Duration::from_millis(300);
    let mut lab = Lab::start(brief);
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    assert_eq!(raw(lab.address, tls.clone(), b"").await, "", "idle for too long");
    lab.no_strike();
    let mut stream = handshake(lab.address, tls.clone()).await.unwrap();
    slumber().await;
    stream.write_all(b"GET /").await.unwrap();
    let mut answer = String::new();
    drop(tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap());
    assert!(answer.starts_with("HTTP/1.1 408"), "a head has no longer than another: {answer}");
    assert_eq!(lab.strikes(1).await, [Reason::HeadTimeout]);
    drop(handshake(lab.address, tls).await.unwrap());
    lab.connected(0).await;
}

#[tokio::test]
async fn h2_faults_end_the_connection_and_are_a_strike() {
    let mut lab = Lab::start(config());
    let tls = lab.identified.trusting(&[b"h2"]);
    // DATA on stream 0 (RFC 9113 section 6.1).
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(b"\0\0\x01\0\0\0\0\0\0x");
    drop(raw(lab.address, tls, &bytes).await);
    assert_eq!(lab.strikes(1).await, [Reason::H2Protocol]);
}

#[tokio::test]
async fn one_source_gets_so_many_connections() {
    let mut few = config();
    few.proxy.connections_per_source = 2;
    let mut lab = Lab::start(few);
    let (first, _second) = (lab.h1().await, lab.h1().await);
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    assert!(handshake(lab.address, tls.clone()).await.is_err());
    assert_eq!(lab.strikes(1).await, [Reason::Connections]);
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(handshake(lab.address, tls).await.is_ok());
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_takes_no_more() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", origin.kind())];
    let lab = Lab::start(config);
    let mut client = lab.h2().await;
    assert_eq!(client.get("/").await.status, 200);
    let request = client.request(Method::GET, "/long").body(full("")).unwrap();
    let (answer, ()) = tokio::join!(client.send(request), async { lab.instance().drain() });
    assert_eq!(answer.body.len(), 64 * 16 * 1024);
    let address = lab.address;
    assert_eq!(lab.finish().len(), 2);
    let refused = TcpStream::connect(address).await;
    assert!(refused.is_err(), "nobody holds the socket any more");
}

#[tokio::test]
async fn a_connection_accepted_before_the_drain_gets_its_first_request_served() {
    let lab = Lab::start(config());
    let mut client = lab.h1().await;
    lab.connected(1).await;
    lab.instance().drain();
    // Long enough for the worker to hear of it, and far from the last chance.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(lab.finish().len(), 1);
}

#[tokio::test]
async fn the_admin_listener_shows_metrics_with_and_without_a_guard() {
    let mut lab = Lab::start(config());
    lab.h1().await.get("/nowhere/../x").await;
    let alone = scrape(&lab).await;
    assert!(alone.contains("gateway_requests_total{"), "{alone}");
    assert!(alone.contains("gateway_kernel_up 0"), "{alone}");
    let reasons = vec![ReasonCount { reason: 0, packets: 42, bytes: 4200, shadow_packets: 0 }];
    let report = KernelReport { reasons, ..KernelReport::default() };
    while lab.outbox.asks.try_recv().is_ok() {}
    let (text, ()) = tokio::join!(scrape(&lab), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The second question: the first one was given up.
        lab.instance().kernel_counters(1, report);
    });
    assert!(text.contains("gateway_kernel_up 1") && text.contains(" 42"), "{text}");
    assert!(matches!(lab.outbox.asks.try_recv(), Ok(FromProxy::KernelCounters { id: 1 })));
}

pub(super) async fn scrape(lab: &Lab) -> String {
    let mut stream = TcpStream::connect(lab.metrics).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}
