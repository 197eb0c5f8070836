//! h2 with prior knowledge: one connection for all, and its end.

use futures_util::future::join_all;
use http::header;

use super::{origin::Origin, *};

async fn lab() -> (Origin, Lab) {
    let origin = Origin::h2c().await;
    let lab = Lab::of(target(origin.address, Protocol::Http2)).await;
    (origin, lab)
}

#[test]
fn all_requests_share_one_connection_from_the_first() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let texts = join_all((0..8).map(|_| lab.text("/streamed"))).await;
        assert!(texts.iter().all(|text| text == "one two three"));
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 1);
        assert_eq!((lab.figure("dialed"), lab.figure("taken")), (1, 0));
    });
}

#[test]
fn names_the_target_in_authority_alone() {
    on_worker(async {
        let (origin, lab) = lab().await;
        let mut request = request(Method::GET, "/named?q", nothing());
        request.headers_mut().insert(header::HOST, "other.example".parse().unwrap());
        let named = text(lab.send(request).await.unwrap()).await;
        assert_eq!(named, format!("http {} None", origin.address));
    });
}

#[test]
fn refuses_more_streams_than_it_may_have() {
    on_worker(async {
        let origin = Origin::h2c().await;
        let mut narrow = supplier(vec![target(origin.address, Protocol::Http2)]);
        narrow.connections = 2;
        let lab = Lab::new(&[narrow]).await;
        let one = lab.get("/stalled").await.unwrap();
        let _two = lab.get("/stalled").await.unwrap();
        assert_eq!(lab.refusal("/hello").await.reason(), Reason::SupplierBusy);
        drop(one);
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 1, "a dropped body ends its stream only");
    });
}

#[test]
fn passes_trailers_both_ways() {
    on_worker(async {
        let (_origin, lab) = lab().await;
        let whole = lab.get("/trailed").await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
        let (feed, body) = fed();
        feed.send(Ok(data("12"))).await.unwrap();
        feed.send(Ok(trailers("7"))).await.unwrap();
        drop(feed);
        let response = lab.send(request(Method::POST, "/taken", body)).await.unwrap();
        assert_eq!(text(response).await, "27");
    });
}

#[test]
fn a_supplier_that_says_goodbye_costs_no_request() {
    on_worker(async {
        let (origin, lab) = lab().await;
        for round in 0..20 {
            assert_eq!(lab.text("/hello").await, "hello");
            origin.seen.goodbye.notify_waiters();
            // Some requests meet the goodbye half said, some find the connection gone.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
        }
        assert!(origin.seen.connections.get() >= 5, "{}", origin.seen.connections.get());
    });
}

#[test]
fn dials_anew_when_the_connection_has_died() {
    on_worker(async {
        let (origin, lab) = lab().await;
        assert_eq!(lab.text("/hello").await, "hello");
        origin.seen.goodbye.notify_waiters();
        origin.seen.open_at_most(0).await;
        let (feed, body) = fed();
        drop(feed);
        let post = lab.send(request(Method::POST, "/taken", body)).await.unwrap();
        assert_eq!(text(post).await, "0");
        assert_eq!(origin.seen.connections.get(), 2);
    });
}

#[test]
fn an_http1_supplier_behind_h2_prior_knowledge_is_an_error() {
    on_worker(async {
        let origin = Origin::http1().await;
        let lab = Lab::of(target(origin.address, Protocol::Http2)).await;
        let reason = lab.refusal("/hello").await.reason();
        assert!(matches!(reason, Reason::SupplierMalformed | Reason::SupplierUnreachable));
    });
}

#[test]
fn closes_a_shared_connection_that_nobody_uses() {
    on_worker(async {
        let (origin, lab) = lab().await;
        assert_eq!(lab.text("/hello").await, "hello");
        let supplier = lab.supplier();
        supplier.sweep();
        supplier.sweep();
        origin.seen.open_at_most(0).await;
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(origin.seen.connections.get(), 2);
    });
}
