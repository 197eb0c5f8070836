//! HTTP/1.1: reuse, repetition, bounds, and what passes unchanged.

use http::{Method, header};
use http_body::Body;
use http_body_util::BodyExt;

use super::{origin::Origin, *};

async fn lab() -> (Origin, Lab) {
    let origin = Origin::http1().await;
    let lab = Lab::of(target(origin.address, Protocol::Auto)).await;
    (origin, lab)
}

#[test]
fn reuses_one_connection_for_every_kind_of_exchange() {
    on_worker(async {
        let (origin, lab) = lab().await;
        for _ in 0..5 {
            assert_eq!(lab.text("/hello").await, "hello");
            assert_eq!(lab.text("/streamed").await, "one two three");
            assert_eq!(lab.text("/empty").await, "");
            let head = lab.send(request(Method::HEAD, "/hello", nothing())).await.unwrap();
            assert_eq!(head.headers()[header::CONTENT_LENGTH], "5");
            assert_eq!(text(head).await, "");
            let post = lab.send(request(Method::POST, "/taken", full("12345678"))).await.unwrap();
            assert_eq!(text(post).await, "8");
        }
        assert_eq!(origin.seen.connections.get(), 1);
        assert_eq!(origin.seen.requests(), 25);
        assert_eq!((lab.figure("dialed"), lab.figure("reused")), (1, 24));
        assert_eq!((lab.figure("taken"), lab.state().1), (1, 1));
    });
}

#[test]
fn names_the_target_and_not_what_the_client_asked_for() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let mut request = request(Method::GET, "/named", nothing());
        request.headers_mut().insert(header::HOST, "other.example".parse().unwrap());
        let named = text(lab.send(request).await.unwrap()).await;
        assert_eq!(named, origin.address.to_string());
    });
}

#[test]
fn a_body_dropped_half_way_closes_its_connection() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let mut response = lab.get("/stalled").await.unwrap();
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "one");
        assert_eq!((lab.figure("taken"), lab.state().1), (1, 0));
        drop(response);
        assert_eq!(lab.figure("taken"), 0);
        origin.seen.open_at_most(0).await;
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 2);
    });
}

#[test]
fn refuses_more_requests_at_once_than_it_may_have_connections() {
    on_worker(async {
        let origin = Origin::http1().await;
        let mut narrow = supplier(vec![target(origin.address, Protocol::Http1)]);
        narrow.connections = 2;
        let lab = Lab::new(&[narrow]).await;
        let one = lab.get("/stalled").await.unwrap();
        let two = lab.get("/stalled").await.unwrap();
        let refused = lab.refusal("/hello").await;
        assert!(matches!(refused, UpstreamError::Busy { .. }), "{refused}");
        assert_eq!(refused.reason(), Reason::SupplierBusy);
        assert_eq!(origin.seen.connections.get(), 2);
        drop(one);
        assert_eq!(lab.text("/hello").await, "hello");
        drop(two);
        assert_eq!(lab.figure("busy"), 1);
    });
}

#[test]
fn sends_again_once_what_a_dead_connection_swallowed() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let origin = Origin::scripted(&[&[OK, ""], &[OK, ""], &[OK]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        assert_eq!(lab.text("/a").await, "ok");
        assert_eq!(lab.text("/b").await, "ok");
        let heads = origin.seen.requests.borrow().clone();
        assert_eq!(heads.len(), 3, "/a, /b swallowed, /b again");
        assert_eq!(heads[1], heads[2]);
        assert_eq!(lab.figure("retried"), 1);
        let put = lab.send(request(Method::DELETE, "/c", nothing())).await.unwrap();
        assert_eq!(text(put).await, "ok");
        assert_eq!(lab.figure("retried"), 2);
    });
}

#[test]
fn never_repeats_what_may_do_harm_twice() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        for again in [
            request(Method::POST, "/b", nothing()),
            request(Method::POST, "/b", full("x")),
            request(Method::PUT, "/b", full("x")),
        ] {
            let origin = Origin::scripted(&[&[OK, ""], &[OK]]).await;
            let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
            assert_eq!(lab.text("/a").await, "ok");
            let error = lab.send(again).await.unwrap_err();
            assert!(matches!(error, UpstreamError::Lost { .. }), "{error}");
            assert_eq!(error.reason(), Reason::SupplierUnreachable);
            assert_eq!(origin.seen.requests(), 2);
        }
    });
}

#[test]
fn never_repeats_once_the_answer_began_or_on_a_new_connection() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let begun = Origin::scripted(&[&[OK, "HTTP/1.1 2"], &[OK]]).await;
        let lab = Lab::of(target(begun.address, Protocol::Http1)).await;
        assert_eq!(lab.text("/a").await, "ok");
        assert_eq!(lab.refusal("/b").await.reason(), Reason::SupplierUnreachable);
        assert_eq!(begun.seen.requests(), 2);

        let fresh = Origin::scripted(&[&[""], &[OK]]).await;
        let lab = Lab::of(target(fresh.address, Protocol::Http1)).await;
        assert_eq!(lab.refusal("/a").await.reason(), Reason::SupplierUnreachable);
        assert_eq!(fresh.seen.requests(), 1);
    });
}

#[test]
fn a_connection_closed_at_rest_costs_no_request_not_even_one_with_a_body() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let origin = Origin::scripted(&[&[OK], &[OK], &[OK]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        assert_eq!(lab.text("/a").await, "ok");
        origin.seen.open_at_most(0).await;
        let post = lab.send(request(Method::POST, "/b", full("x"))).await.unwrap();
        assert_eq!(text(post).await, "ok");
        assert_eq!(origin.seen.requests(), 2);
    });
}

#[test]
fn honours_a_supplier_that_closes_after_each_answer() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    const UNTIL_CLOSE: &str = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    on_worker(async {
        let origin = Origin::scripted(&[&[LAST], &[UNTIL_CLOSE], &[LAST]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        assert_eq!(lab.text("/a").await, "ok");
        assert_eq!(lab.text("/b").await, "until the end");
        assert_eq!(lab.text("/c").await, "ok");
        assert_eq!(lab.figure("taken"), 0);
        assert_eq!(lab.figure("retried"), 0);
    });
}

#[test]
fn passes_trailers_both_ways() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let mut asking = request(Method::GET, "/trailed", nothing());
        asking.headers_mut().insert(header::TE, "trailers".parse().unwrap());
        let whole = lab.send(asking).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");

        let (feed, body) = fed();
        feed.send(Ok(data("12"))).await.unwrap();
        feed.send(Ok(trailers("7"))).await.unwrap();
        drop(feed);
        let mut sending = request(Method::POST, "/taken", body);
        sending.headers_mut().insert(header::TRAILER, "grpc-status".parse().unwrap());
        assert_eq!(text(lab.send(sending).await.unwrap()).await, "27");
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 1);
    });
}

#[test]
fn passes_over_informational_answers() {
    const HINTED: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
                          Link: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let origin = Origin::scripted(&[&[HINTED]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let response = lab.get("/").await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key(header::LINK));
        assert_eq!(text(response).await, "ok");
    });
}

#[test]
fn passes_redirects_on_instead_of_following_them() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let response = lab.get("/moved").await.unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(response.headers()[header::LOCATION], "http://127.0.0.1:1/");
        assert_eq!(origin.seen.requests(), 1);
    });
}

#[test]
fn leaves_one_length_where_a_supplier_sends_several() {
    const BOTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                        5\r\nhello\r\n0\r\n\r\n";
    const TWICE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let origin = Origin::scripted(&[&[BOTH, TWICE]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        let both = lab.get("/").await.unwrap();
        assert!(!both.headers().contains_key(header::CONTENT_LENGTH));
        assert_eq!(text(both).await, "hello");
        let twice = lab.get("/").await.unwrap();
        assert_eq!(twice.headers().get_all(header::CONTENT_LENGTH).iter().count(), 1);
        assert_eq!(twice.body().size_hint().exact(), Some(2));
        assert_eq!(text(twice).await, "ok");
    });
}

#[test]
fn an_answer_before_the_body_was_sent_ends_the_connection_but_not_the_answer() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let (feed, body) = fed();
        feed.send(Ok(data("12"))).await.unwrap();
        let response = lab.send(request(Method::POST, "/early", body)).await.unwrap();
        assert_eq!(text(response).await, "no need");
        assert_eq!(lab.figure("taken"), 0);
        feed.closed().await;
        origin.seen.open_at_most(0).await;
    });
}

#[test]
fn an_upload_goes_on_while_nobody_asks_for_the_answer_that_came_early() {
    on_worker(async {
        let (_origin, lab) = lab().await;
        let (feed, body) = fed();
        let response = lab.send(request(Method::POST, "/echoed", body)).await.unwrap();
        // More than may wait: a client that reads nothing before it has sent all would hang.
        for _ in 0..32 {
            feed.send(Ok(data("12"))).await.unwrap();
        }
        drop(feed);
        assert_eq!(text(response).await, "12".repeat(32));
    });
}

#[test]
fn bytes_that_nobody_asked_for_end_a_connection_at_rest() {
    const TWICE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_worker(async {
        let origin = Origin::scripted(&[&[TWICE, OK], &[OK]]).await;
        let lab = Lab::of(target(origin.address, Protocol::Http1)).await;
        assert_eq!(lab.text("/a").await, "ok");
        assert_eq!(lab.text("/b").await, "ok");
        assert_eq!(origin.seen.connections.get(), 2);
    });
}

#[test]
fn closes_connections_that_nobody_uses() {
    on_worker(async {
        let (origin, lab) = lab().await;
        assert_eq!(lab.text("/hello").await, "hello");
        let supplier = lab.supplier();
        supplier.sweep();
        assert_eq!(lab.state().1, 1, "used since the sweep before");
        supplier.sweep();
        assert_eq!(lab.state().1, 0);
        origin.seen.open_at_most(0).await;
        tokio::task::yield_now().await;
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 2);
    });
}
