use std::net::SocketAddr;

use super::*;
use crate::{
    config::model::{Protocol, Target},
    proxy::{testing, upstream::tests::target},
};

const NAME: &str = "several.example";

fn target_named(name: &str) -> Target {
    let target = target("192.0.2.1:80".parse().unwrap(), Protocol::Auto);
    Target { host: Host::Name(name.to_owned()), ..target }
}

fn book(targets: Vec<Target>, local: bool) -> Book {
    let mut config = testing::config();
    let mut supplier = testing::supplier("ledger", SupplierKind::Http(targets));
    supplier.local = local;
    config.suppliers = vec![supplier];
    Book::new(&config)
}

fn told(asks: &mut tokio::sync::mpsc::Receiver<FromProxy>) -> Option<Vec<IpAddr>> {
    let told = asks.try_recv().ok()?;
    let FromProxy::Resolved { name, addresses } = told else { panic!("{told:?}") };
    assert_eq!(name, NAME);
    Some(addresses)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(book: &Book) -> Vec<SocketAddr> {
    book.suppliers[0].crew.roster().iter().map(|known| known.address).collect()
}

#[test]
fn the_guard_is_told_of_every_change_and_of_what_is_still_spoken_to() {
    let (asks, mut waiting) = Asks::new();
    let book = book(vec![target_named(NAME)], false);
    let (one, two) = (ip("192.0.2.1"), ip("::ffff:192.0.2.2"));
    book.settle(NAME, &[one, one], &asks);
    assert_eq!(told(&mut waiting), Some(vec![one]));
    book.settle(NAME, &[one], &asks);
    assert_eq!(told(&mut waiting), None, "nothing changed");
    // A worker still speaks to the first.
    let held = book.suppliers[0].crew.roster();
    book.settle(NAME, &[two], &asks);
    assert_eq!(told(&mut waiting), Some(vec![one, ip("192.0.2.2")]));
    book.settle(NAME, &[ip("192.0.2.3")], &asks);
    assert_eq!(told(&mut waiting).unwrap().len(), 3, "requests may be under way at the first");
    drop(held);
    assert_eq!(addresses(&book), ["192.0.2.3:80".parse().unwrap()]);
    book.settle(NAME, &[ip("192.0.2.4")], &asks);
    assert_eq!(told(&mut waiting), Some(vec![ip("192.0.2.3"), ip("192.0.2.4")]));
}

#[test]
fn what_a_full_queue_turned_away_is_told_again() {
    let (asks, mut waiting) = Asks::new();
    let filler = || FromProxy::Resolved { name: "filler".to_owned(), addresses: Vec::new() };
    while asks.tell(filler()) {}
    let book = book(vec![target_named(NAME)], false);
    book.settle(NAME, &[ip("192.0.2.1")], &asks);
    assert_eq!(addresses(&book).len(), 1, "without a guard requests are served all the same");
    while waiting.try_recv().is_ok() {}
    book.tell_again(&asks);
    assert_eq!(told(&mut waiting), Some(vec![ip("192.0.2.1")]));
    book.tell_again(&asks);
    assert_eq!(told(&mut waiting), None);
}

#[test]
fn a_name_that_moves_into_this_machine_is_left_without_an_address() {
    let (asks, mut waiting) = Asks::new();
    let book = book(vec![target_named(NAME)], false);
    for inside in ["127.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "::127.0.0.1", "0.0.0.0"] {
        book.settle(NAME, &[ip("192.0.2.1")], &asks);
        while waiting.try_recv().is_ok() {}
        book.settle(NAME, &[ip(inside)], &asks);
        assert!(addresses(&book).is_empty(), "{inside}");
        let told = told(&mut waiting).unwrap_or_default();
        assert!(!told.contains(&ip(inside)), "an address nobody may use was reported");
    }
}

#[test]
fn addresses_that_stay_keep_their_standing_and_new_ones_begin_slowly() {
    let (asks, _waiting) = Asks::new();
    let book = book(vec![target_named(NAME)], false);
    book.settle(NAME, &[ip("192.0.2.1"), ip("192.0.2.2")], &asks);
    let before = book.suppliers[0].crew.roster();
    before[0].member.answered(Duration::from_millis(5));
    book.settle(NAME, &[ip("192.0.2.1"), ip("192.0.2.3")], &asks);
    let after = book.suppliers[0].crew.roster();
    assert!(Arc::ptr_eq(&before[0], &after[0]), "it did not change");
    let (now, slow) = (clock::monotonic_ns(), Duration::from_hours(1));
    assert_eq!(after[0].member.part(slow, now), 1000, "the first of all have no others beside");
    assert_eq!(after[1].member.part(slow, now), 100);
    assert!(before[1].is_gone());
    book.settle(NAME, &[ip("192.0.2.2")], &asks);
    let back = book.suppliers[0].crew.roster();
    assert!(Arc::ptr_eq(&before[1], &back[0]) && !back[0].is_gone(), "it is the one it was");
}

#[test]
fn every_name_has_a_place_before_any_has_a_second() {
    let (asks, _waiting) = Asks::new();
    let names: Vec<String> = (0..10).map(|n| format!("n{n}.example")).collect();
    let book = book(names.iter().map(|name| target_named(name)).collect(), false);
    for (place, name) in (0_u8..).zip(&names) {
        let all: Vec<IpAddr> = (1..20).map(|n| [192, 0, place, n].into()).collect();
        book.settle(name, &all, &asks);
    }
    let roster = book.suppliers[0].crew.roster();
    assert_eq!(roster.len(), 64);
    for place in 0..10 {
        assert!(roster.iter().filter(|known| known.target == place).count() >= 6);
    }
}
