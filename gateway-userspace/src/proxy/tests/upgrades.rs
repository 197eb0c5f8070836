//! WebSocket tunnels, long streams, and what a client may ask for before it sends a body.

use std::{net::SocketAddr, time::Duration};

use gateway_common::Reason;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

use super::{
    client::{PATIENCE, handshake},
    lab::{Lab, config},
    recorder::Recorder,
};
use crate::{
    config::model::{Config, Host, Protocol, SupplierKind, Target},
    proxy::testing,
};

const OPENING: &str = "GET /chat HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: WebSocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    x-forwarded-for: 6.6.6.6\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A supplier that gives each connection this answer and then sends back what it gets. It tells
/// the head it saw.
struct Switching {
    address: SocketAddr,
    heads: tokio::sync::mpsc::Receiver<String>,
    _task: JoinSet<()>,
}

impl Switching {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heads) = tokio::sync::mpsc::channel(16);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(echo(stream, answer, tell.clone()));
            }
        });
        Self { address, heads, _task: task }
    }

    fn config(&self) -> Config {
        let mut config = config();
        config.suppliers = vec![testing::supplier("echo", kind(self.address))];
        config.routes[0].websocket = true;
        config
    }
}

fn kind(address: SocketAddr) -> SupplierKind {
    SupplierKind::Http(vec![Target {
        tls: false,
        host: Host::Address(address.ip()),
        port: address.port(),
        protocol: Protocol::Http1,
        weight: 1,
    }])
}

async fn echo(mut stream: TcpStream, answer: &str, tell: tokio::sync::mpsc::Sender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    tell.send(String::from_utf8(head).unwrap()).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.split();
    drop(tokio::io::copy(&mut from, &mut to).await);
}

async fn connect(lab: &Lab) -> TlsStream<TcpStream> {
    handshake(lab.address, lab.identified.trusting(&[b"http/1.1"])).await.unwrap()
}

/// Reads the head of an answer, and no byte more.
async fn head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("a head in time");
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_and_is_recorded_at_its_end() {
    let mut supplier = Switching::start(SWITCH).await;
    let lab = Lab::start(supplier.config());
    let mut client = connect(&lab).await;
    // What is sent before the answer is the tunnel's, whatever it looks like.
    let early = "GET /evil HTTP/1.1\r\n\r\n";
    client.write_all(format!("{OPENING}{early}").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
    assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{answer}"
    );
    assert!(
        !answer.contains("content-length") && !answer.contains("transfer-encoding"),
        "{answer}"
    );

    let seen = supplier.heads.recv().await.unwrap();
    assert!(seen.starts_with("GET /chat HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\nconnection: upgrade\r\n") && seen.contains("\r\nupgrade: websocket\r\n")
    );
    assert!(!seen.contains("6.6.6.6"), "{seen}");

    let large = vec![b'x'; 1 << 20];
    let mut back = vec![0; early.len() + large.len()];
    let (mut from, mut to) = tokio::io::split(client);
    let exchange = async {
        let (sent, read) = tokio::join!(to.write_all(&large), from.read_exact(&mut back));
        sent.unwrap();
        read.unwrap();
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("all of it back");
    assert!(back.starts_with(early.as_bytes()) && back.ends_with(&large));
    assert_eq!(lab.instance().answer(&crate::ipc::message::Query::Status)["requests_in_flight"], 1);
    to.shutdown().await.unwrap();
    drop((from, to));
    lab.settled().await;
    let log = lab.finish();
    assert_eq!(log.len(), 1);
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&101.into(), &serde_json::Value::Null));
    let bytes = (early.len() + large.len()).into();
    assert_eq!((&log[0]["bytes_in"], &log[0]["bytes_out"]), (&bytes, &bytes));
}

#[tokio::test]
async fn only_a_lawful_opening_on_a_route_that_takes_it_reaches_the_supplier() {
    let mut supplier = Switching::start(SWITCH).await;
    let mut shut = supplier.config();
    shut.routes[0].websocket = false;
    let mut lab = Lab::start(shut);
    let mut open = Lab::start(supplier.config());
    let openings = [
        (false, OPENING.to_owned()),
        (true, OPENING.replace("GET ", "POST ")),
        (true, OPENING.replace("upgrade: WebSocket", "upgrade: h2c")),
        (true, OPENING.replace("upgrade: WebSocket", "upgrade: websocket, h2c")),
        (true, OPENING.replace("version: 13", "version: 12")),
        (true, OPENING.replace("nonce", "n")),
        (true, OPENING.replace("ZSBub25jZQ==", "")),
        (true, OPENING.replace("x-forwarded-for: 6.6.6.6", "content-length: 0")),
    ];
    for (to_open, opening) in openings {
        if opening == OPENING && to_open {
            continue;
        }
        let lab = if to_open { &mut open } else { &mut lab };
        let mut client = connect(lab).await;
        client.write_all(opening.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{opening}: {answer}");
        assert_eq!(lab.strikes(1).await, [Reason::UpgradeRefused]);
    }
    assert!(supplier.heads.try_recv().is_err());
}

#[tokio::test]
async fn a_supplier_that_says_no_leaves_a_connection_of_requests() {
    let recorder = Recorder::start().await;
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", recorder.kind())];
    config.routes[0].websocket = true;
    let lab = Lab::start(config);
    let mut client = connect(&lab).await;
    let next = "GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    client.write_all(format!("{OPENING}{next}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    drop(tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("an end"));
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    let told: Vec<String> = recorder.take().iter().map(super::recorder::Seen::told).collect();
    assert_eq!(told, ["GET /chat ", "GET /next "]);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_or_to_something_else_is_refused() {
    let elsewhere =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: Upgrade\r\n\r\n";
    for (answer, opening) in
        [(elsewhere, OPENING), (SWITCH, "GET /chat HTTP/1.1\r\nhost: localhost\r\n\r\n")]
    {
        let supplier = Switching::start(answer).await;
        let lab = Lab::start(supplier.config());
        let mut client = connect(&lab).await;
        client.write_all(opening.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_so_does_one_of_a_proxy_that_goes_down() {
    let supplier = Switching::start(SWITCH).await;
    for idle in [Duration::from_millis(300), Duration::from_mins(1)] {
        let mut config = supplier.config();
        config.proxy.timeouts.idle = idle;
        let lab = Lab::start(config);
        let mut client = connect(&lab).await;
        client.write_all(OPENING.as_bytes()).await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
        let drained = idle > Duration::from_secs(1);
        if drained {
            lab.instance().drain();
            client.write_all(b"still here").await.unwrap();
            let mut back = [0; 10];
            client.read_exact(&mut back).await.unwrap();
        }
        let ended = tokio::time::timeout(PATIENCE, client.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "the tunnel is still open");
        let reason = if drained { "draining".into() } else { serde_json::Value::Null };
        assert_eq!(lab.finish()[0]["reason"], reason);
    }
}

/// Sends an event now and then, so many times.
async fn events(every: Duration, count: usize) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 4096]).await);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            drop(stream.write_all(head.as_bytes()).await);
            for _ in 0..count {
                tokio::time::sleep(every).await;
                drop(stream.write_all(b"9\r\ndata: x\n\n\r\n").await);
            }
            // Neither an end nor another event.
            std::future::pending::<()>().await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn events_flow_past_the_routes_timeout_and_end_when_they_stop() {
    let (address, _task) = events(Duration::from_millis(200), 8).await;
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", kind(address))];
    config.routes[0].timeout = Duration::from_millis(400);
    config.proxy.timeouts.stall = Duration::from_secs(2);
    let lab = Lab::start(config);
    let mut client = connect(&lab).await;
    client.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    drop(tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("an end"));
    assert_eq!(answer.matches("data: x").count(), 8, "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "cut, not ended: {answer}");
    assert_eq!(lab.finish()[0]["reason"], "supplier_timeout");
}

#[tokio::test]
async fn a_client_is_told_to_go_on_only_where_its_body_is_wanted() {
    let recorder = Recorder::start().await;
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", recorder.kind())];
    let lab = Lab::start(config);
    let ask = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = connect(&lab).await;
    client.write_all(ask("/a").as_bytes()).await.unwrap();
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    let seen = recorder.take();
    assert_eq!(seen[0].told(), "POST /a hello");
    assert!(seen[0].values("expect").is_empty());

    let mut client = connect(&lab).await;
    client.write_all(ask("/keyed").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(recorder.take().is_empty());
}
