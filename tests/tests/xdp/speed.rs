//! What a packet costs, with full tables. The numbers are printed, not judged: machines differ.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use gateway_tests::skip;
use gateway_userspace::{
    clock,
    guard::kernel::{KernelBan, PacketFilter as _},
};
use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};

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
    config.capacity.prefixes = 100_000;
    let never = Some(rate(1_000_000_000, 1_000_000_000));
    config.packets = never;
    config.packets_neighbourhood = never;
    config.syns = never;
    config.syns_neighbourhood = never;
    let mut fixture = Fixture::with(&config);
    report(&fixture, "empty lists, good", &udp4(Ipv4Addr::new(192, 0, 2, 1)));
    let hosts = (0..1_000_000_u32).map(|i| IpAddr::from((0x0a00_0000 + i).to_be_bytes()).into());
    let prefixes = (0..100_000_u32).map(|i| {
        let address = Ipv4Addr::from(0x6400_0000 + (i << 8));
        IpNet::new(address.into(), 24).unwrap()
    });
    let mut bans: Vec<_> = hosts.map(|net| (net, forever())).collect();
    load(&mut fixture, &bans);
    bans.extend(prefixes.map(|net| (net, forever())));
    load(&mut fixture, &bans);
    report(&fixture, "good", &udp4(Ipv4Addr::new(192, 0, 2, 1)));
    report(&fixture, "good SYN", &syn4(Ipv4Addr::new(192, 0, 2, 1)));
    report(&fixture, "good, IPv6", &udp6("2001:db8::1".parse().unwrap()));
    report(&fixture, "banned host", &udp4(Ipv4Addr::new(10, 1, 2, 3)));
    report(&fixture, "banned prefix", &udp4(Ipv4Addr::new(100, 1, 2, 3)));
    fixture.filter.set_panic(true).unwrap();
    report(&fixture, "panic pass (no rule)", &udp4(Ipv4Addr::new(192, 0, 2, 1)));
}

fn load(fixture: &mut Fixture, bans: &[(IpNet, KernelBan)]) {
    let (start, before) = (clock::now(), processor_time());
    let done = fixture.filter.reconcile(bans, &[]).unwrap();
    let worked = processor_time().saturating_sub(before);
    println!("{done:?} in {:?}, {worked:?} of processor time", start.elapsed());
}

/// Of this thread: neighbours on a busy machine do not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn report(fixture: &Fixture, what: &str, frame: &[u8]) {
    let best = (0..3).map(|_| fixture.filter.test_run(frame, RUNS).unwrap().1).min().unwrap();
    println!("{what}: {} ns a packet", best.as_nanos());
}
