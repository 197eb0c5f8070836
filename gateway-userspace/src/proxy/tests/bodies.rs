//! Bodies in both directions: streamed, capped, and not waited for without end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use gateway_common::Reason;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{Body, full, handshake},
    lab::{Identified, Lab, config},
    origin::{Origin, Speaks},
};
use crate::{ipc::message::Query, proxy::testing};

fn streamed(count: usize, endless: bool) -> Body {
    let chunk = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 1024])));
    let chunks = stream::iter((0..count).map(move |_| chunk()));
    if endless {
        BodyExt::boxed(StreamBody::new(chunks.chain(stream::pending())))
    } else {
        BodyExt::boxed(StreamBody::new(chunks))
    }
}

#[tokio::test]
async fn a_declared_length_over_the_cap_is_refused_unread() {
    let mut small = config();
    small.routes[0].body_bytes = 1000;
    let mut lab = Lab::start(small);
    for mut client in [lab.h1().await, lab.h2().await] {
        let post = |client: &super::client::Client, bytes: usize| {
            client.request(Method::POST, "/").body(full(vec![b'x'; bytes])).unwrap()
        };
        let request = post(&client, 1000);
        assert_eq!(client.send(request).await.json()["body_bytes"], 1000);
        let request = post(&client, 1001);
        assert_eq!(client.send(request).await.status, 413);
    }
    assert_eq!(lab.strikes(2).await, [Reason::BodyTooLarge; 2]);
}

#[tokio::test]
async fn an_undeclared_body_is_cut_at_the_cap_in_mid_stream() {
    let origin_identity = Identified::new();
    for speaks in [Speaks::First, Speaks::Second] {
        let origin = Origin::start(speaks, &origin_identity).await;
        let mut small = config();
        small.suppliers = vec![testing::supplier("echo", origin.kind())];
        small.routes[0].body_bytes = 10 * 1024;
        let mut lab = Lab::start(small);
        for mut client in [lab.h1().await, lab.h2().await] {
            let lawful = client.request(Method::POST, "/").body(streamed(10, false)).unwrap();
            assert_eq!(client.send(lawful).await.json()["body_bytes"], 10 * 1024, "{speaks:?}");
            let over = client.request(Method::POST, "/").body(streamed(11, false)).unwrap();
            assert_eq!(client.send(over).await.status, 413, "{speaks:?}");
            assert_eq!(lab.strikes(1).await, [Reason::BodyTooLarge]);
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_not_waited_for() {
    let origin_identity = Identified::new();
    let origin = Origin::start(Speaks::First, &origin_identity).await;
    let mut impatient = config();
    impatient.suppliers = vec![testing::supplier("echo", origin.kind())];
    impatient.proxy.timeouts.body = Duration::from_millis(200);
    let mut lab = Lab::start(impatient);
    for mut client in [lab.h1().await, lab.h2().await] {
        let request = client.request(Method::POST, "/").body(streamed(2, true)).unwrap();
        assert_eq!(client.send(request).await.status, 408);
        assert_eq!(lab.strikes(1).await, [Reason::BodyTimeout]);
    }
}

#[tokio::test]
async fn no_body_is_read_before_the_route_knows_its_caller() {
    let mut lab = Lab::start(config());
    let mut client = lab.h2().await;
    // Endless: were it read, there would be no answer.
    let request = client.request(Method::POST, "/keyed").body(streamed(1, true)).unwrap();
    assert_eq!(client.send(request).await.status, 401);
    assert_eq!(lab.strikes(1).await, [Reason::CredentialMissing]);
}

#[tokio::test]
async fn long_responses_and_trailers_pass() {
    let origin_identity = Identified::new();
    for speaks in [Speaks::First, Speaks::Second] {
        let origin = Origin::start(speaks, &origin_identity).await;
        let mut with_origin = config();
        with_origin.suppliers = vec![testing::supplier("echo", origin.kind())];
        let lab = Lab::start(with_origin);
        let mut client = lab.h2().await;
        assert_eq!(client.get("/long").await.body.len(), 64 * 16 * 1024);
        let answer = client.get_with("/trailers", &[("te", "trailers")]).await;
        if speaks == Speaks::Second {
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
        }
        let log = lab.finish();
        assert_eq!(log[0]["bytes_out"], 64 * 16 * 1024);
        assert_eq!(log[0].get("reason").filter(|reason| !reason.is_null()), None);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_recorded_and_no_strike() {
    let origin_identity = Identified::new();
    let origin = Origin::start(Speaks::First, &origin_identity).await;
    let mut with_origin = config();
    with_origin.suppliers = vec![testing::supplier("echo", origin.kind())];
    let mut lab = Lab::start(with_origin);
    let mut client = lab.h2().await;
    let request = client.request(Method::GET, "/never").body(full("")).unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(200), client.try_send(request)).await;
    assert!(waited.is_err());
    client.abort();
    tokio::time::sleep(Duration::from_millis(300)).await;
    lab.no_strike();
    let log = lab.finish();
    assert_eq!((log.len(), &log[0]["reason"]), (1, &"client_gone".into()));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let origin = Origin::start(Speaks::First, &Identified::new()).await;
    let mut impatient = config();
    impatient.suppliers = vec![testing::supplier("echo", origin.kind())];
    impatient.proxy.timeouts.stall = Duration::from_millis(300);
    let mut lab = Lab::start(impatient);
    let tls = lab.identified.trusting(&[b"http/1.1"]);
    let mut stream = handshake(lab.address, tls).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lab.instance().answer(&Query::Status)["requests_in_flight"], 0);
    lab.no_strike();
    let log = lab.finish();
    assert_eq!((log.len(), &log[0]["reason"]), (1, &"client_gone".into()));
}

#[tokio::test]
async fn an_answer_to_head_is_whole_without_a_body() {
    let lab = Lab::start(config());
    for mut client in [lab.h1().await, lab.h2().await] {
        let request = client.request(Method::HEAD, "/").body(full("")).unwrap();
        let answer = client.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    }
    for line in lab.finish() {
        assert_eq!((&line["status"], &line["reason"]), (&200.into(), &serde_json::Value::Null));
    }
}
