//! Suppliers: every way to speak with one, and every way it can fail.

use std::time::Duration;

use gateway_common::Reason;
use http::Method;

use super::{
    client::full,
    lab::{Identified, Lab, config},
    origin::{Bytewise, Origin, Speaks},
};
use crate::{
    config::model::{Config, Host, Protocol, SupplierKind, Target},
    ipc::message::FromProxy,
    proxy::testing,
};

fn behind(kind: SupplierKind) -> Config {
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", kind)];
    config
}

#[tokio::test]
async fn speaks_every_protocol_and_keeps_connections() {
    for speaks in [Speaks::First, Speaks::Second, Speaks::TlsFirst, Speaks::TlsSecond] {
        let identified = Identified::new();
        let origin = Origin::start(speaks, &identified).await;
        let mut config = behind(origin.kind());
        config.suppliers[0].ca = Some("ca.pem".into());
        let lab = Lab::with(config, None, &[("ca.pem", &identified.certificate)]);
        let mut client = lab.h1().await;
        for _ in 0..5 {
            let answer = client.get("/x?y=z").await;
            assert_eq!(answer.status, 200, "{speaks:?} {answer:?}");
            let seen = answer.json();
            let two = matches!(speaks, Speaks::Second | Speaks::TlsSecond);
            assert_eq!(seen["version"], if two { "HTTP/2.0" } else { "HTTP/1.1" });
            assert!(seen["uri"].as_str().unwrap().ends_with("/x?y=z"));
            if !two {
                assert_eq!(seen["headers"]["host"], origin.address.to_string());
            }
        }
        let post = client.request(Method::POST, "/").body(full("hello")).unwrap();
        assert_eq!(client.send(post).await.json()["body_bytes"], 5);
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(origin.connections(), 1, "{speaks:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_supplier_closed_costs_no_request() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let lab = Lab::start(behind(origin.kind()));
    let mut client = lab.h2().await;
    for _ in 0..10 {
        assert_eq!(client.get("/close").await.status, 200);
    }
    assert_eq!(origin.connections(), 10);
}

#[tokio::test]
async fn what_the_supplier_reveals_and_where_it_points_stays_its_own() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let lab = Lab::start(behind(origin.kind()));
    let mut client = lab.h1().await;
    let answer = client.get("/revealing").await;
    for name in ["server", "x-powered-by", "keep-alive"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    assert_eq!(client.get("/redirect").await.status, 302);
}

#[tokio::test]
async fn failures_have_their_status_and_never_the_suppliers_name() {
    let identified = Identified::new();
    let origin = Origin::start(Speaks::First, &identified).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = SupplierKind::Http(vec![Target {
        tls: false,
        host: Host::Address(gone.ip()),
        port: gone.port(),
        protocol: Protocol::Auto,
        weight: 1,
    }]);
    let garbage = Bytewise::start("not http at all\r\n\r\n").await;
    let silent = Bytewise::start("").await;
    let switching = Bytewise::start(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    )
    .await;
    let tls_origin = Origin::start(Speaks::TlsFirst, &identified).await;
    for (kind, path, status, reason) in [
        (down, "/", 502, Reason::SupplierUnreachable),
        (garbage.kind(), "/", 502, Reason::SupplierMalformed),
        (silent.kind(), "/", 502, Reason::SupplierUnreachable),
        (switching.kind(), "/", 502, Reason::SupplierMalformed),
        (origin.kind(), "/never", 504, Reason::SupplierTimeout),
        // Its certificate is not of a built-in authority.
        (tls_origin.kind(), "/", 502, Reason::SupplierUnreachable),
    ] {
        let mut config = behind(kind);
        config.proxy.timeouts.first_byte = Duration::from_millis(300);
        let mut lab = Lab::start(config);
        let mut client = lab.h2().await;
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{reason}");
        assert_eq!(answer.json()["title"], reason.info().title);
        assert!(!answer.json().to_string().contains("127.0.0.1"));
        let why = lab.why(answer.header("x-request-id")).to_string();
        assert!(why.contains(reason.name()), "{why}");
        lab.no_strike();
    }
}

#[tokio::test]
async fn connections_to_a_supplier_are_bounded() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = behind(origin.kind());
    config.suppliers[0].connections = 1;
    let lab = Lab::start(config);
    let (mut waiting, mut refused) = (lab.h2().await, lab.h2().await);
    let request = waiting.request(Method::GET, "/never").body(full("")).unwrap();
    let (stuck, answer) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(600), waiting.try_send(request)),
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            refused.get("/").await
        }
    );
    assert!(stuck.is_err());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["title"], "Supplier busy");
    waiting.abort();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(refused.get("/").await.status, 200);
}

#[tokio::test]
async fn a_response_that_stalls_is_cut() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = behind(origin.kind());
    config.proxy.timeouts.stall = Duration::from_millis(200);
    let lab = Lab::start(config);
    let mut client = lab.h2().await;
    let request = client.request(Method::GET, "/stall").body(full("")).unwrap();
    assert!(client.try_send(request).await.is_err());
    let log = lab.finish();
    assert_eq!(log[0]["reason"], "supplier_timeout");
}

#[tokio::test]
async fn a_target_that_is_down_hands_over_to_the_next() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = Target { port: gone.port(), ..origin.target() };
    let lab = Lab::start(behind(SupplierKind::Http(vec![down, origin.target()])));
    let mut client = lab.h1().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_supplier_inside_this_machine_needs_to_be_meant() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = behind(origin.kind());
    config.suppliers[0].local = false;
    let lab = Lab::start(config);
    assert_eq!(lab.h1().await.get("/").await.status, 502);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn the_guard_learns_addresses_before_they_are_spoken_to() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut config = behind(origin.kind());
    let named = Target { host: Host::Name("localhost".to_owned()), ..origin.target() };
    config.suppliers[0].kind = SupplierKind::Http(vec![named]);
    let mut lab = Lab::start(config);
    let told = lab.outbox.asks.try_recv().unwrap();
    let FromProxy::Resolved { name, addresses } = told else { panic!("{told:?}") };
    assert_eq!(name, "localhost");
    assert!(addresses.contains(&"127.0.0.1".parse().unwrap()));
    assert_eq!(lab.h1().await.get("/").await.status, 200);
}
