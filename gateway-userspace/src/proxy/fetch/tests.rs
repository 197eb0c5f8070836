//! What a host may answer, or not answer: told, within bounds, and never followed elsewhere.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::{
    config::{load, model::Config},
    ipc::message::FromProxy,
    proxy::{outbox::Asks, secrets::Secrets, tls, upstream::Book},
};

const TERMS: Terms = Terms {
    connect: Duration::from_secs(20),
    total: Duration::from_secs(20),
    body: 1000,
    local: true,
};

fn config() -> Config {
    let text = "[[listener]]\naddress = \"127.0.0.1:1\"\nacme = [\"a.example\"]\n[acme]\nterms_agreed = true\ndirectory = \"https://127.0.0.1/d\"\n";
    load(text, "t.toml").unwrap()
}

fn client(terms: Terms) -> (Client, mpsc::Receiver<FromProxy>) {
    let (asks, told) = Asks::new();
    let config = config();
    let tls = tls::questions(None, None, &Secrets::default()).unwrap();
    let hosts = Arc::new(Hosts::new(&config, asks));
    (Client::new(tls, Book::new(&config).lookup(), hosts, terms), told)
}

/// Reads one head and says `answer`; the connection stays open as long as `hold`.
async fn origin(answer: Vec<u8>, hold: Duration) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        drop(stream.write_all(&answer).await);
        tokio::time::sleep(hold).await;
        String::from_utf8(head).unwrap()
    });
    (Url::read(&format!("http://127.0.0.1:{port}/k?a=b"), true).unwrap(), task)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

async fn asked(answer: &str) -> Result<Answer, FetchError> {
    let (url, _task) = origin(answer.as_bytes().to_vec(), Duration::ZERO).await;
    client(TERMS).0.get(&url, "application/json").await
}

#[test]
fn asks_once_and_tells_the_guard_before_it_speaks() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}";
        let (url, task) = origin(answer.into(), Duration::ZERO).await;
        let (client, mut told) = client(TERMS);
        let answer = client.get(&url, "application/json").await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"{}"[..]));
        assert!(answer.is_json());
        let head = task.await.unwrap();
        assert!(head.starts_with("GET /k?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {}\r\n", url.authority)), "{head}");
        let resolved = told.recv().await.unwrap();
        let addresses = vec!["127.0.0.1".parse().unwrap()];
        assert_eq!(resolved, FromProxy::Resolved { name: "127.0.0.1".to_owned(), addresses });
        assert_eq!(client.hosts.report(), [resolved]);
    });
}

#[test]
fn a_redirect_is_not_followed_and_a_packed_answer_not_read() {
    run(async {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!(
                "HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
            );
            let error = asked(&answer).await.unwrap_err();
            assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
        }
        let packed =
            asked("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(packed, Err(FetchError::Packed { .. })));
    });
}

#[test]
fn an_answer_is_whole_and_within_its_bound_or_none() {
    run(async {
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5000));
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
        let chunked =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}");
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned();
        for answer in [endless, chunked, cut] {
            assert!(matches!(asked(&answer).await, Err(FetchError::Body { .. })));
        }
        let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
        assert!(matches!(asked(&head).await, Err(FetchError::Http { .. })));
        assert!(matches!(asked("<html>").await, Err(FetchError::Http { .. })));
    });
}

#[test]
fn a_host_that_says_nothing_is_late() {
    run(async {
        let (url, _task) = origin(Vec::new(), Duration::from_mins(10)).await;
        let terms = Terms { total: Duration::from_millis(200), ..TERMS };
        let asked = client(terms).0.get(&url, "application/json").await;
        assert!(matches!(asked, Err(FetchError::Late { .. })));
    });
}

#[test]
fn nothing_inside_this_machine_is_asked_unless_that_is_meant() {
    run(async {
        let (client, mut told) = client(Terms { local: false, ..TERMS });
        for host in ["127.0.0.1", "[::1]", "169.254.169.254"] {
            let url = Url::read(&format!("https://{host}:1/"), false).unwrap();
            let asked = client.get(&url, "application/json").await;
            assert!(matches!(asked, Err(FetchError::Local { .. })), "{host}");
        }
        assert!(told.try_recv().is_err());
    });
}
