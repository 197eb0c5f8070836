//! Each WebSocket on a stream of h2 (RFC 8441), to suppliers that know it from HTTP/1.1.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use gateway_common::Reason;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use super::{
    client::{PATIENCE, handshake},
    lab::{Lab, config},
};
use crate::{
    config::model::{Config, Host, Protocol as Speaks, SupplierKind, Target},
    proxy::testing,
};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
    connection: Upgrade\r\nsec-websocket-protocol: chat\r\nsec-websocket-accept: ACCEPT\r\n\r\n";

/// A supplier that gives this answer, with the answer to the key it saw in place of `ACCEPT`, and
/// sends back what it gets.
struct Supplier {
    address: SocketAddr,
    heads: mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Supplier {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heads) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(echo(stream, answer, tell.clone()));
            }
        });
        Self { address, heads, _tasks: tasks }
    }

    fn config(&self) -> Config {
        let mut config = config();
        let target = Target {
            tls: false,
            host: Host::Address(self.address.ip()),
            port: self.address.port(),
            protocol: Speaks::Http1,
            weight: 1,
        };
        config.suppliers = vec![testing::supplier("echo", SupplierKind::Http(vec![target]))];
        config.routes[0].websocket = true;
        config
    }
}

async fn echo(mut stream: TcpStream, answer: &str, tell: mpsc::Sender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let whole = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap_or_default());
    let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, whole.as_bytes()));
    tell.send(head).await.unwrap();
    stream.write_all(answer.replace("ACCEPT", &accept).as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.split();
    drop(tokio::io::copy(&mut from, &mut to).await);
}

struct Client {
    sender: http2::SendRequest<Empty<Bytes>>,
    _connection: JoinSet<()>,
}

impl Client {
    /// With the settings of the gateway read.
    async fn connect(lab: &Lab) -> Self {
        let stream = handshake(lab.address, lab.identified.trusting(&[b"h2"])).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let refused = Request::builder().method(Method::OPTIONS).uri("https://localhost/keyed");
        let answer = sender.send_request(refused.body(Empty::new()).unwrap()).await.unwrap();
        drop(answer.into_body().collect().await);
        Self { sender, _connection: tasks }
    }

    async fn open(
        &mut self,
        protocol: &'static str,
        fields: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri("https://localhost/chat?room=7")
            .extension(Protocol::from_static(protocol));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let sent = self.sender.send_request(request.body(Empty::new()).unwrap());
        timeout(PATIENCE, sent).await.expect("an answer in time").unwrap()
    }
}

const LAWFUL: [(&str, &str); 3] = [
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
    ("x-forwarded-for", "6.6.6.6"),
];

async fn title(response: Response<Incoming>) -> String {
    let body = timeout(PATIENCE, response.into_body().collect()).await.expect("a body").unwrap();
    let json: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    json["title"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_becomes_a_websocket_beside_other_requests() {
    let mut supplier = Supplier::start(SWITCH).await;
    let lab = Lab::start(supplier.config());
    let mut client = Client::connect(&lab).await;
    let mut response = client.open("websocket", &LAWFUL).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    for name in ["sec-websocket-accept", "connection", "upgrade", "content-length"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    let seen = supplier.heads.recv().await.unwrap();
    assert!(seen.starts_with("GET /chat?room=7 HTTP/1.1\r\n"), "{seen}");
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line}: {seen}");
    }
    assert!(!seen.contains("6.6.6.6"), "{seen}");

    let stream = hyper::upgrade::on(&mut response).await.unwrap();
    let (mut from, mut to) = tokio::io::split(TokioIo::new(stream));
    let large = vec![b'x'; 1 << 20];
    let mut back = vec![0; large.len()];
    let exchange = async {
        let (sent, read) = tokio::join!(to.write_all(&large), from.read_exact(&mut back));
        sent.unwrap();
        read.unwrap();
    };
    timeout(PATIENCE, exchange).await.expect("all of it back");
    assert!(back == large);
    // The connection is still one of requests.
    let refused = client.open("websocket", &[]).await;
    assert_eq!(refused.status(), StatusCode::NOT_IMPLEMENTED);
    to.shutdown().await.unwrap();
    let ended = timeout(PATIENCE, from.read_to_end(&mut back)).await;
    assert_eq!(ended.expect("an end").unwrap(), 0);
    lab.settled().await;
    let log = lab.finish();
    let opened = log.iter().find(|line| line["status"] == 200 && line["method"] == "GET").unwrap();
    assert_eq!(opened["reason"], Value::Null);
    assert_eq!((&opened["bytes_in"], &opened["bytes_out"]), (&(1 << 20).into(), &(1 << 20).into()));
}

#[tokio::test]
async fn only_a_lawful_opening_on_a_route_that_takes_it_reaches_the_supplier() {
    let mut supplier = Supplier::start(SWITCH).await;
    let mut open = supplier.config();
    // One route has to take them, or they are not offered.
    open.routes[1].websocket = true;
    let mut shut = open.clone();
    shut.routes[0].websocket = false;
    for (config, protocol, fields) in [
        (&shut, "websocket", &LAWFUL[..]),
        (&open, "connect-udp", &LAWFUL[..]),
        (&open, "websocket", &LAWFUL[1..]),
        (&open, "websocket", &[("sec-websocket-version", "12")]),
        (&open, "websocket", &[("sec-websocket-version", "13"), ("content-length", "0")]),
    ] {
        let mut lab = Lab::start(config.clone());
        let mut client = Client::connect(&lab).await;
        supplier.heads.try_recv().ok();
        let answer = client.open(protocol, fields).await;
        assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED, "{protocol} {fields:?}");
        // The first is the client's first question.
        assert_eq!(lab.strikes(2).await[1], Reason::UpgradeRefused);
        assert!(supplier.heads.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_websocket_passes_authentication_like_any_request() {
    let mut supplier = Supplier::start(SWITCH).await;
    let mut config = supplier.config();
    config.routes[0].identity = Some("customers".to_owned());
    let lab = Lab::start(config);
    let mut client = Client::connect(&lab).await;
    let answer = client.open("websocket", &LAWFUL).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(title(answer).await, Reason::CredentialMissing.info().title);
    assert!(supplier.heads.try_recv().is_err());
}

#[tokio::test]
async fn success_is_told_only_of_a_switch_with_the_right_answer_to_our_key() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let silent =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    for (answer, status) in [(wrong, 502), (silent, 502), (page, 502), (refusal, 403)] {
        let supplier = Supplier::start(answer).await;
        let lab = Lab::start(supplier.config());
        let mut client = Client::connect(&lab).await;
        let response = client.open("websocket", &LAWFUL).await;
        assert_eq!(response.status().as_u16(), status, "{answer}");
    }
}

#[tokio::test]
async fn a_tunnel_whose_stream_or_connection_is_gone_ends_and_frees_its_supplier() {
    let supplier = Supplier::start(SWITCH).await;
    for whole in [false, true] {
        let lab = Lab::start(supplier.config());
        let mut client = Client::connect(&lab).await;
        let mut response = client.open("websocket", &LAWFUL).await;
        let stream = hyper::upgrade::on(&mut response).await.unwrap();
        // Dropped without a last word, the library resets it.
        if whole {
            drop(client);
        }
        drop(stream);
        lab.settled().await;
    }
}

#[tokio::test]
async fn a_proxy_that_goes_down_leaves_a_tunnel_its_time_and_ends_it() {
    let supplier = Supplier::start(SWITCH).await;
    let lab = Lab::start(supplier.config());
    let mut client = Client::connect(&lab).await;
    let mut response = client.open("websocket", &LAWFUL).await;
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    lab.instance().drain();
    stream.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("an echo").unwrap();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "the tunnel is still open");
    drop(stream);
    let log = lab.finish();
    assert!(log.iter().any(|line| line["reason"] == "draining"), "{log:?}");
}
