//! Who the client is, when a trusted proxy says so; and that nobody else can say it.

use std::time::Duration;

use gateway_common::Reason;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::lab::{Lab, config, pair};
use crate::{
    config::model::{Certificates, Config, Forwarded, Listener, Rate, Tls},
    ipc::message::FromProxy,
};

const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x07\xc0\0\x02\x01\xdc\x04\x01\xbb\x04\0\x01\0";

fn trusting() -> Config {
    let mut config = config();
    config.kernel.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    config
}

fn announced(trusted: bool) -> Config {
    let mut config = if trusted { trusting() } else { config() };
    let address = "127.0.0.1:0".parse().unwrap();
    let tls = Tls::of(Certificates::Files(vec![pair("edge")]));
    config.listeners = vec![Listener { address, proxy_protocol: true, tls }];
    config
}

/// One request behind `header`, and all that comes back; nothing where there was no handshake.
async fn behind(lab: &Lab, header: &[u8], head: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    // Byte by byte: where a read ends must not matter.
    for byte in header {
        stream.write_all(&[*byte]).await.ok()?;
    }
    let tls = TlsConnector::from(lab.identified.trusting(&[b"http/1.1"]));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tls.connect(name, stream).await.ok()?;
    let request = format!("GET {head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer).await);
    serde_json::from_str(answer.split("\r\n\r\n").nth(1)?).ok()
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_in_both_versions() {
    let mut lab = Lab::start(announced(true));
    for header in [&b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"[..], V2] {
        let seen = behind(&lab, header, "/").await.unwrap();
        assert_eq!(seen["headers"]["x-forwarded-for"], "203.0.113.7");
        assert_eq!(seen["headers"]["forwarded"], "for=203.0.113.7;proto=https");
        // What the client does counts for the client, and never bans in the kernel: its packets
        // are the proxy's.
        assert_eq!(behind(&lab, header, "/..").await.unwrap()["status"], 400);
        let strike = lab.outbox.feedback.recv().await.unwrap();
        let FromProxy::Strike { source, behind_proxy, .. } = strike else { panic!("{strike:?}") };
        assert_eq!((source.to_string().as_str(), behind_proxy), ("203.0.113.7", true));
    }
    let probe = behind(&lab, b"PROXY UNKNOWN\r\n", "/").await.unwrap();
    assert_eq!(probe["headers"]["x-forwarded-for"], "127.0.0.1");
    let log = lab.finish();
    assert!(log.iter().all(
        |line| line["client_address"] == "203.0.113.7" || line["client_address"] == "127.0.0.1"
    ));
}

#[tokio::test]
async fn without_a_header_or_the_right_to_send_one_nobody_is_served() {
    let mut lab = Lab::start(announced(true));
    let untrusted = Lab::start(announced(false));
    for header in [
        &b""[..],
        b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\n\r\n\r\n",
        b"PROXY TCP9 203.0.113.7 192.0.2.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff\xcb\0\x71\x07\xc0\0\x02\x01\xdc\x04\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0e\xcb\0\x71\x07\xc0\0\x02\x01\xdc\x04\x01\xbb\x01\xff",
    ] {
        assert!(behind(&lab, header, "/").await.is_none(), "{header:?}");
        assert_eq!(lab.strikes(1).await, [Reason::ProxyHeader], "{header:?}");
    }
    drop(TcpStream::connect(lab.address).await.unwrap());
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.no_strike();

    let mut lab = untrusted;
    assert!(behind(&lab, V2, "/").await.is_none());
    assert_eq!(lab.strikes(1).await, [Reason::ProxyHeader]);
}

#[tokio::test]
async fn a_header_that_is_not_announced_is_no_tls() {
    let mut lab = Lab::start(trusting());
    assert!(behind(&lab, V2, "/").await.is_none());
    let strikes = lab.strikes(1).await;
    assert_ne!(strikes, [Reason::ProxyHeader]);
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client_and_a_stranger_names_nobody() {
    let claims = [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=7.7.7.7"),
        ("x-real-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("cf_connecting_ip", "6.6.6.6"),
    ];
    for (trusted, client, scheme, host) in
        [(true, "203.0.113.7", "http", "shop.example"), (false, "127.0.0.1", "https", "localhost")]
    {
        let lab = Lab::start(if trusted { trusting() } else { config() });
        for mut connection in [lab.h1().await, lab.h2().await] {
            let seen = connection.get_with("/", &claims).await.json();
            let headers = &seen["headers"];
            assert_eq!(headers["x-forwarded-for"], client);
            assert_eq!(headers["forwarded"], format!("for={client};proto={scheme}"));
            assert_eq!(
                (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
                (&scheme.into(), &host.into())
            );
            assert!(
                !seen.to_string().contains("6.6.6.6") && !seen.to_string().contains("7.7.7.7"),
                "{seen}"
            );
        }
        assert!(lab.finish().iter().all(|line| line["client_address"] == client));
    }
}

#[tokio::test]
async fn limits_and_strikes_go_by_the_client_behind_the_proxy() {
    let mut limited = trusting();
    limited.proxy.forwarded = Forwarded::Forwarded;
    limited.proxy.anonymous = Rate { count: 1, per: Duration::from_hours(1), burst: 2 };
    let mut lab = Lab::start(limited);
    let mut proxy = lab.h2().await;
    let mut statuses = Vec::new();
    for client in ["203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.8"] {
        let claim = format!("for={client}");
        statuses.push(proxy.get_with("/", &[("forwarded", &claim)]).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    let strike = lab.outbox.feedback.recv().await.unwrap();
    let FromProxy::Strike { source, behind_proxy, .. } = strike else { panic!("{strike:?}") };
    assert_eq!((source.to_string().as_str(), behind_proxy), ("203.0.113.7", true));
}
