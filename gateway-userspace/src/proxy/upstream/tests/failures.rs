//! Suppliers that are down, slow, deaf or wrong, and clients that are.

use super::{
    origin::{Origin, nowhere},
    *,
};
use crate::proxy::upstream::{ClientStalled, Wait};

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TooLarge;

#[track_caller]
fn assert_waited_for(error: &UpstreamError, expected: Wait) {
    let UpstreamError::Timeout { wait, .. } = error else { panic!("{error:?}") };
    assert_eq!(*wait, expected);
    assert_eq!(error.reason(), Reason::SupplierTimeout);
}

#[test]
fn a_supplier_that_is_down_is_unreachable() {
    on_worker(async {
        let lab = Lab::of(target(nowhere().await, Protocol::Http1)).await;
        let error = lab.refusal("/").await;
        assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
        assert_eq!(error.reason(), Reason::SupplierUnreachable);
        assert_eq!((lab.figure("dial_failed"), lab.figure("taken")), (1, 0));
    });
}

#[test]
fn a_slow_answer_is_given_up_at_the_first_byte_timeout() {
    on_worker(async {
        for (origin, protocol) in
            [(Origin::http1().await, Protocol::Http1), (Origin::h2c().await, Protocol::Http2)]
        {
            let lab = Lab::of(target(origin.address, protocol)).await;
            let start = clock::now();
            assert_waited_for(&lab.refusal("/slow").await, Wait::Head);
            assert_between(since(start), FIRST_BYTE, FIRST_BYTE * 3);
            assert_eq!(lab.figure("taken"), 0);
        }
    });
}

#[test]
fn the_deadline_ends_the_wait_for_the_head() {
    on_worker(async {
        let origin = Origin::http1().await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let soon = || clock::now() + STALL / 3;
        let slow = request(Method::GET, "/slow", nothing());
        let error = lab.upstreams.send(0, slow, soon()).await.unwrap_err();
        assert_waited_for(&error, Wait::Deadline);

        // A body that has begun may take longer, for as long as it flows.
        let stalled = request(Method::GET, "/stalled", nothing());
        let response = lab.upstreams.send(0, stalled, soon()).await.unwrap();
        assert_waited_for(&body_fault(response).await, Wait::Body);
        assert_eq!(lab.figure("taken"), 0);
    });
}

#[test]
fn a_response_that_stops_half_way_is_given_up() {
    on_worker(async {
        for (origin, protocol) in
            [(Origin::http1().await, Protocol::Http1), (Origin::h2c().await, Protocol::Http2)]
        {
            let lab = Lab::of(target(origin.address, protocol)).await;
            let response = lab.get("/stalled").await.unwrap();
            let start = clock::now();
            assert_waited_for(&body_fault(response).await, Wait::Body);
            assert_between(since(start), STALL, STALL * 3);
            assert_eq!(lab.figure("taken"), 0);
        }
    });
}

#[test]
fn a_supplier_that_reads_nothing_is_given_up() {
    on_worker(async {
        let origin = Origin::deaf().await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let endless = request(Method::POST, "/", full(vec![0; 32 << 20]));
        let start = clock::now();
        let error = lab.send(endless).await.unwrap_err();
        assert_eq!(error.reason(), Reason::SupplierTimeout);
        assert_between(since(start), STALL, STALL * 4);
        assert_eq!(lab.figure("taken"), 0);
    });
}

#[test]
fn an_h2_supplier_that_opens_no_window_is_given_up() {
    on_worker(async {
        let origin = Origin::h2c().await;
        let lab = Lab::of(target(origin.address, Protocol::Http2)).await;
        let parts = stream::iter((0..64).map(|_| Ok(Frame::data(Bytes::from(vec![0; 1 << 16])))));
        let body: AnyBody = BodyExt::boxed_unsync(StreamBody::new(parts));
        let start = clock::now();
        let error = lab.send(request(Method::POST, "/slow", body)).await.unwrap_err();
        assert_waited_for(&error, Wait::Upload);
        assert_between(since(start), STALL, STALL * 4);
    });
}

#[test]
fn a_long_upload_is_no_slow_answer() {
    on_worker(async {
        for (origin, protocol) in
            [(Origin::http1().await, Protocol::Http1), (Origin::h2c().await, Protocol::Http2)]
        {
            let lab = Lab::of(target(origin.address, protocol)).await;
            let (feed, body) = fed();
            let upload = lab.send(request(Method::POST, "/taken", body));
            let trickle = async move {
                for _ in 0..4 {
                    tokio::time::sleep(FIRST_BYTE / 2).await;
                    feed.send(Ok(data("12"))).await.unwrap();
                }
            };
            let (response, ()) = tokio::join!(upload, trickle);
            assert_eq!(text(response.unwrap()).await, "8");
        }
    });
}

#[test]
fn a_client_that_sends_no_body_is_to_blame_itself() {
    on_worker(async {
        let origin = Origin::http1().await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let (_feed, body) = fed();
        let soon = clock::now() + STALL * 2;
        let sending = request(Method::POST, "/taken", body);
        let error = lab.upstreams.send(0, sending, soon).await.unwrap_err();
        let UpstreamError::RequestBody { source } = &error else { panic!("{error:?}") };
        assert!(source.is::<ClientStalled>());
        assert_eq!(error.reason(), Reason::BodyTimeout);
    });
}

#[test]
fn the_error_of_a_client_body_comes_back_as_it_was() {
    on_worker(async {
        for (origin, protocol) in
            [(Origin::http1().await, Protocol::Http1), (Origin::h2c().await, Protocol::Http2)]
        {
            let lab = Lab::of(target(origin.address, protocol)).await;
            let (feed, body) = fed();
            feed.send(Ok(data("12"))).await.unwrap();
            feed.send(Err(Box::new(TooLarge))).await.unwrap();
            let error = lab.send(request(Method::POST, "/taken", body)).await.unwrap_err();
            let UpstreamError::RequestBody { source } = error else { panic!("{error:?}") };
            assert!(source.is::<TooLarge>());
            assert_eq!(lab.figure("taken"), 0);
        }
    });
}

#[test]
fn answers_that_are_not_http_are_malformed() {
    const CASES: &[&str] = &[
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\nok",
        "HTTP/1.1 999999 OK\r\n\r\n",
    ];
    on_worker(async {
        for case in CASES {
            let origin = Origin::scripted(Vec::leak(vec![&*Vec::leak(vec![*case])])).await;
            let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
            let error = lab.refusal("/").await;
            assert_eq!(error.reason(), Reason::SupplierMalformed, "{case:?}: {error:?}");
        }
    });
}

#[test]
fn a_response_head_has_a_bound_in_bytes_and_in_fields() {
    on_worker(async {
        let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(80 << 10));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(200));
        for head in [long, many] {
            let head: &'static str = String::leak(head);
            let origin = Origin::scripted(Vec::leak(vec![&*Vec::leak(vec![head])])).await;
            let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
            let error = lab.refusal("/").await;
            assert_eq!(error.reason(), Reason::SupplierMalformed, "{error:?}");
        }
    });
}

#[test]
fn a_protocol_switch_nobody_asked_for_is_malformed() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                          Connection: upgrade\r\n\r\n";
    on_worker(async {
        let origin = Origin::scripted(&[&[SWITCH]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let error = lab.refusal("/").await;
        assert_eq!(error.reason(), Reason::SupplierMalformed, "{error:?}");
    });
}

#[test]
fn a_body_cut_short_is_an_error_and_no_end() {
    const CASES: &[&str] = &[
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
    ];
    on_worker(async {
        for case in CASES {
            let origin = Origin::scripted(Vec::leak(vec![&*Vec::leak(vec![*case])])).await;
            let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
            let response = lab.get("/").await.unwrap();
            let fault = body_fault(response).await;
            assert!(
                matches!(fault, UpstreamError::Lost { .. } | UpstreamError::Malformed { .. }),
                "{case:?}: {fault:?}"
            );
            assert_eq!(lab.figure("taken"), 0);
        }
    });
}
