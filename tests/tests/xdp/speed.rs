//! What a packet costs, with full tables. The numbers are printed, not judged: machines differ.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use gateway_tests::skip;
use gateway_userspace::{
    clock,
    guard::kernel::{Bulk, PacketFilter as _},
};

use super::{
    fixture::{Fixture, config, forever, is_possible, rate},
    frames::{syn4, udp4, udp6},
};

const RUNS: u32 = 2_000_000;

#[test]
fn a_packet_costs_the_same_whatever_the_size_of_the_lists() {
    let case = "xdp::speed::a_packet_costs_the_same_whatever_the_size_of_the_lists";
    if !is_possible(case) || skip::under_emulation(case).unwrap() {
        return;
    }
    let mut config = config();
    config.capacity.hosts = 1_000_000;
    config.capacity.prefixes = 200_000;
    let never = Some(rate(1_000_000_000, 1_000_000_000));
    config.packets = never;
    config.packets_neighbourhood = never;
    config.syns = never;
    config.syns_neighbourhood = never;
    let mut fixture = Fixture::with(&config);
    let mut bulk = fixture.filter.bulk();
    report_good(&fixture, "empty lists");
    let start = clock::now();
    bulk.replace(million()).unwrap();
    println!("1.2 M IPv4 and 1.2 M IPv6 entries loaded and put in force in {:?}", start.elapsed());
    report_good(&fixture, "full lists");
    report(&fixture, "good SYN", &syn4(Ipv4Addr::new(192, 0, 2, 1)));
    report(&fixture, "good beside a host", &udp4(Ipv4Addr::new(10, 0, 0, 2)));
    report(&fixture, "good beside a host, IPv6", &udp6(site(0x1_0000, 9)));
    report(&fixture, "banned host", &udp4(Ipv4Addr::new(10, 0, 0, 0)));
    report(&fixture, "banned /24", &udp4(Ipv4Addr::new(160, 0, 2, 3)));
    report(&fixture, "banned host, IPv6", &udp6(site(0x1_0000, 1)));
    report(&fixture, "banned /64", &udp6("2620::1:2:3:4".parse().unwrap()));
    fixture.filter.set_panic(true).unwrap();
    report(&fixture, "panic pass (no rule)", &udp4(Ipv4Addr::new(192, 0, 2, 1)));
}

/// Of both families a million addresses, none beside another, and 200,000 prefixes.
fn million() -> Arc<Bulk> {
    let mut bulk = Bulk { kinds: vec![forever()], ..Bulk::default() };
    for n in 0..1_000_000 {
        bulk.push4(0x0a00_0000 + n * 1009, 32, 0);
        bulk.push6(site(n, 1).into(), 128, 0);
    }
    for n in 0..200_000 {
        bulk.push4(0xa000_0000 + n * 512, 24, 0);
        bulk.push6((0x2620 << 112) + (u128::from(n) << 65), 64, 0);
    }
    Arc::new(bulk)
}

/// The /48 of a number.
fn site(number: u32, host: u128) -> Ipv6Addr {
    Ipv6Addr::from((0x2400 << 112) + (u128::from(number) << 80) + host)
}

fn report_good(fixture: &Fixture, what: &str) {
    report(fixture, &format!("{what}, good"), &udp4(Ipv4Addr::new(9, 0, 2, 1)));
    report(fixture, &format!("{what}, good, IPv6"), &udp6("2a0d::1".parse().unwrap()));
}

fn report(fixture: &Fixture, what: &str, frame: &[u8]) {
    let best = (0..3).map(|_| fixture.filter.test_run(frame, RUNS).unwrap().1).min().unwrap();
    let action = fixture.filter.test_run(frame, 1).unwrap().0;
    println!("{what}: {} ns a packet (action {action})", best.as_nanos());
}
