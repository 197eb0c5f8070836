//! Which target takes a request, and which addresses one may have.

use super::{
    origin::{Origin, nowhere},
    *,
};
use crate::ipc::message::FromProxy;

#[test]
fn takes_targets_in_turn() {
    on_worker(async {
        let (one, two) = (Origin::http1().await, Origin::http1().await);
        let lab = Lab::new(&[supplier(vec![
            target(one.address, Protocol::Http1),
            target(two.address, Protocol::Http1),
        ])])
        .await;
        for _ in 0..6 {
            assert_eq!(lab.text("/hello").await, "hello");
        }
        assert_eq!((one.seen.requests(), two.seen.requests()), (3, 3));
    });
}

#[test]
fn a_target_that_is_down_costs_no_request_and_is_left_alone_for_a_while() {
    on_worker(async {
        let up = Origin::http1().await;
        let lab = Lab::new(&[supplier(vec![
            target(nowhere().await, Protocol::Http1),
            target(up.address, Protocol::Http1),
        ])])
        .await;
        for _ in 0..6 {
            let post = request(Method::POST, "/taken", full("12"));
            assert_eq!(text(lab.send(post).await.unwrap()).await, "2");
        }
        assert_eq!(lab.figure("dial_failed"), 1);
        assert_eq!(lab.target(0)["resting"], true);
        assert_eq!(lab.target(1)["counts"]["answered"], 6);
        assert_eq!(up.seen.requests(), 6);
    });
}

#[test]
fn a_full_target_gives_way_to_the_next() {
    on_worker(async {
        let (one, two) = (Origin::http1().await, Origin::http1().await);
        let mut narrow = supplier(vec![
            target(one.address, Protocol::Http1),
            target(two.address, Protocol::Http1),
        ]);
        narrow.connections = 1;
        let lab = Lab::new(&[narrow]).await;
        let held = lab.get("/stalled").await.unwrap();
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!(lab.text("/hello").await, "hello");
        assert_eq!((one.seen.requests(), two.seen.requests()), (1, 2));
        drop(held);
    });
}

#[test]
fn refuses_local_addresses_unless_they_are_meant() {
    on_worker(async {
        let origin = Origin::http1().await;
        for host in [Host::Address(origin.address.ip()), Host::Name("localhost".to_owned())] {
            let port = origin.address.port();
            let here = Target { tls: false, host, port, protocol: Protocol::Http1, weight: 1 };
            let mut supplier = supplier(vec![here]);
            assert_eq!(Lab::new(&[supplier.clone()]).await.text("/hello").await, "hello");
            supplier.local = false;
            let error = Lab::new(&[supplier]).await.refusal("/hello").await;
            assert_eq!(error.reason(), Reason::SupplierUnreachable, "{error:?}");
        }
        assert_eq!(origin.seen.connections.get(), 2);
    });
}

#[test]
fn reports_every_target_also_to_a_guard_that_comes_later() {
    on_worker(async {
        let origin = Origin::http1().await;
        let ip = origin.address.ip();
        let literal = target(origin.address, Protocol::Http1);
        let named = Target { host: Host::Name("localhost".to_owned()), ..literal.clone() };
        let mut config = testing::config();
        config.suppliers = vec![supplier(vec![literal, named])];
        let book = Book::new(&config);
        let (asks, mut told) = Asks::new();
        assert!(book.prepare(&asks).await);
        let first: Vec<FromProxy> = (0..2).map(|_| told.try_recv().unwrap()).collect();
        assert_eq!(first[0], FromProxy::Resolved { name: ip.to_string(), addresses: vec![ip] });
        let FromProxy::Resolved { name, addresses } = &first[1] else { panic!("{first:?}") };
        assert!(name == "localhost" && addresses.contains(&ip));
        assert!(book.prepare(&asks).await);
        assert!(told.try_recv().is_err(), "nothing changed");
        assert_eq!(book.report(), first);
    });
}

#[test]
fn a_name_without_an_address_is_unreachable() {
    on_worker(async {
        let host = Host::Name("no-such-host.invalid".to_owned());
        let lab =
            Lab::of(Target { tls: false, host, port: 80, protocol: Protocol::Http1, weight: 1 })
                .await;
        assert_eq!(lab.refusal("/").await.reason(), Reason::SupplierUnreachable);
    });
}

#[test]
fn an_index_without_a_supplier_is_our_own_fault() {
    on_worker(async {
        let lab = Lab::new(&[]).await;
        assert_eq!(lab.refusal("/").await.reason(), Reason::Internal);
    });
}
