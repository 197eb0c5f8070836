//! Framing attacks against the running proxy: the answer, the reason, and what the supplier got.

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{handshake, raw},
    framing_cases::{self, Case},
    lab::{Lab, config},
    recorder::Recorder,
};
use crate::{config::model::Config, proxy::testing};

fn recorded(recorder: &Recorder) -> Config {
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", recorder.kind())];
    config
}

/// Statuses of the answers in a connection's bytes; none of their bodies holds a status line.
fn statuses(answer: &str) -> Vec<u16> {
    let starts = answer.match_indices("HTTP/1.").map(|(at, _)| at + "HTTP/1.1 ".len());
    starts.map(|at| answer[at..at + 3].parse().unwrap()).collect()
}

fn problem(answer: &str) -> Value {
    let body = answer.rsplit("\r\n\r\n").next().unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no problem document: {answer}"))
}

#[tokio::test]
async fn every_case_ends_as_its_table_says() {
    let recorder = Recorder::start().await;
    let mut lab = Lab::start(recorded(&recorder));
    assert!(framing_cases::all().count() >= 130);
    for case in framing_cases::all() {
        hold(&mut lab, &recorder, case, false).await;
    }
}

/// Where a read ends must not matter: each byte comes in a TLS record of its own.
#[tokio::test]
async fn every_case_ends_the_same_byte_by_byte() {
    let recorder = Recorder::start().await;
    let mut lab = Lab::start(recorded(&recorder));
    for case in framing_cases::all() {
        hold(&mut lab, &recorder, case, true).await;
    }
}

async fn hold(lab: &mut Lab, recorder: &Recorder, case: &Case, pieces: bool) {
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let name = case.name;
    let answer = if pieces {
        let mut stream = handshake(lab.address, tls).await.unwrap();
        in_pieces(&mut stream, case.bytes).await
    } else {
        raw(lab.address, tls, case.bytes).await
    };
    let told: Vec<String> = recorder.take().iter().map(super::recorder::Seen::told).collect();
    assert_eq!(told, case.reaches, "{name}: {answer}");
    let mut wanted = vec![200; case.reaches.len()];
    let Some((status, reason)) = case.refused else {
        assert_eq!(statuses(&answer), wanted, "{name}: {answer}");
        return;
    };
    wanted.push(status);
    assert_eq!(statuses(&answer), wanted, "{name}: {answer}");
    let problem = problem(&answer);
    assert_eq!(
        (&problem["status"], &problem["title"]),
        (&status.into(), &reason.info().title.into()),
        "{name}"
    );
    let id = problem["request_id"].as_str().unwrap();
    assert!(answer.contains(&format!("x-request-id: {id}\r\n")), "{name}: {answer}");
    assert_eq!(lab.why(id)["reason"], reason.name(), "{name}");
    assert_eq!(lab.strikes(1).await, [reason], "{name}");
}

/// Sends byte by byte, as records of their own, and reads to the end.
async fn in_pieces(
    stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    bytes: &[u8],
) -> String {
    use tokio::io::AsyncReadExt as _;
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(super::client::PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("an end in time"));
    String::from_utf8_lossy(&answer).into_owned()
}
