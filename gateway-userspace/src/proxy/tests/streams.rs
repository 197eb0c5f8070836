//! What a stream carries besides data, and when it has to end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::{
    client::{Body, handshake},
    lab::{Identified, Lab, config},
    origin::{Bytewise, Origin, Speaks},
};
use crate::{
    config::model::{Config, SupplierKind},
    proxy::testing,
};

fn behind(kind: SupplierKind) -> Config {
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", kind)];
    config
}

fn with_trailers() -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("7"));
    let frames = [Frame::data(Bytes::from_static(b"12")), Frame::trailers(trailers)];
    BodyExt::boxed(StreamBody::new(stream::iter(frames.map(Ok::<_, std::io::Error>))))
}

#[tokio::test]
async fn trailers_pass_both_ways_from_each_version_to_each() {
    for speaks in [Speaks::First, Speaks::Second] {
        let origin = Origin::start(speaks, &Identified::new()).await;
        let lab = Lab::start(behind(origin.kind()));
        for mut client in [lab.h1().await, lab.h2().await] {
            let request = client
                .request(Method::POST, "/")
                .header("te", "trailers")
                .header("trailer", "grpc-status");
            let seen = client.send(request.body(with_trailers()).unwrap()).await.json();
            assert_eq!(seen["body_bytes"], 2, "{speaks:?}");
            assert_eq!(seen["trailers"]["grpc-status"], "7", "{speaks:?}");
            assert_eq!(seen["headers"]["te"], "trailers");
            let answer = client.get_with("/trailers", &[("te", "trailers")]).await;
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0", "{speaks:?}");
        }
        assert_eq!(origin.connections(), 1, "{speaks:?}");
        for line in lab.finish() {
            assert!(line["reason"].is_null(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_response_with_two_lengths_is_framed_anew() {
    let smuggling = Bytewise::start(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let lab = Lab::start(behind(smuggling.kind()));
    for mut client in [lab.h1().await, lab.h2().await] {
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]));
            assert_eq!(answer.header("content-length"), "");
        }
    }
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_cut() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut short = behind(origin.kind());
    short.routes[0].timeout = Duration::from_millis(300);
    short.proxy.timeouts.stall = Duration::from_millis(300);
    let lab = Lab::start(short);
    let stream = handshake(lab.address, lab.identified.trusting(&[b"h2"])).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    let request = Request::get("https://localhost/endless").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    // The window closes and stays closed: no write waits, and no body is polled.
    let ended = tokio::time::timeout(Duration::from_secs(5), driver.join_next()).await;
    assert!(ended.is_ok(), "the connection is still open");
    drop(response);
    let status = lab.settled().await;
    assert_eq!(status["suppliers"][0]["counts"]["taken"], 0, "{status}");
}
