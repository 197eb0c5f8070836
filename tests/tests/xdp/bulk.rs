//! Bulk bans: every length, generations, what an exchange may not do to a packet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use gateway_common::Reason;
use gateway_userspace::{
    clock,
    config::model::Kernel,
    guard::kernel::{
        BanSource, Bulk, BulkFilter, Filter, KernelBan, KernelError, PacketFilter as _,
    },
};
use ipnet::IpNet;

use super::{
    fixture::{DROP, Fixture, PASS, config, forever, is_possible},
    frames::{V4, V6, udp4, udp6},
};

/// A list of these, all of one kind.
fn list(nets: &[IpNet], left: Option<Duration>) -> Arc<Bulk> {
    let kind = KernelBan { left, reason: Reason::Import, source: BanSource::Import };
    let mut bulk = Bulk { kinds: vec![kind], ..Bulk::default() };
    let mut nets = nets.to_vec();
    nets.sort_unstable();
    for net in nets {
        match net {
            IpNet::V4(net) => bulk.push4(net.addr().into(), net.prefix_len(), 0),
            IpNet::V6(net) => bulk.push6(net.addr().into(), net.prefix_len(), 0),
        }
    }
    Arc::new(bulk)
}

fn around(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).unwrap().trunc()
}

fn empty(bulk: &mut dyn BulkFilter) {
    while bulk.clear_some().unwrap() {}
}

#[test]
fn every_length_is_met_by_both_layers_inside_and_not_beside() {
    if !is_possible("xdp::bulk::every_length_is_met_by_both_layers_inside_and_not_beside") {
        return;
    }
    let mut fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    let v4 = (8..=32).map(|length| {
        let beside = Ipv4Addr::from(u32::from(V4) ^ 1 << (32 - length));
        (around(V4.into(), length), udp4(V4), udp4(beside))
    });
    let v6 = (16..=128).map(|length| {
        let beside = Ipv6Addr::from(u128::from(V6) ^ 1 << (128 - length));
        (around(V6.into(), length), udp6(V6), udp6(beside))
    });
    for (net, inside, beside) in v4.chain(v6) {
        let is_host = net.prefix_len() == net.max_prefix_len();
        let met = (DROP, if is_host { Reason::BanHost } else { Reason::BanPrefix });
        fixture.filter.put_ban(net, &forever()).unwrap();
        assert_eq!(fixture.judge(&inside), met, "single {net}");
        assert_eq!(fixture.judge(&beside), (PASS, Reason::Passed), "beside single {net}");
        assert_eq!(fixture.filter.ban_hits(net).unwrap(), 1);
        assert!(fixture.filter.remove_ban(net).unwrap());
        assert_eq!(fixture.judge(&inside), (PASS, Reason::Passed), "after single {net}");

        bulk.replace(list(&[net], None)).unwrap();
        assert_eq!(fixture.judge(&inside), met, "listed {net}");
        assert_eq!(fixture.judge(&beside), (PASS, Reason::Passed), "beside listed {net}");
        assert_eq!(fixture.filter.bulk_record(net).unwrap().hits, 1);
        assert!(fixture.filter.bulk_record(net).unwrap().last_seen.is_some());
        bulk.replace(list(&[], None)).unwrap();
    }
    empty(&mut *bulk);
    assert_eq!(fixture.judge(&udp4(V4)), (PASS, Reason::Passed));
    assert_eq!(fixture.judge(&udp6(V6)), (PASS, Reason::Passed));
}

#[test]
fn a_list_that_is_over_drops_nothing_and_hides_nothing() {
    if !is_possible("xdp::bulk::a_list_that_is_over_drops_nothing_and_hides_nothing") {
        return;
    }
    let mut fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    let lengths4 = [10, 16, 23, 24, 26, 31, 32].map(|length| around(V4.into(), length));
    let lengths6 = [20, 29, 32, 33, 44, 48, 63, 64, 127, 128].map(|l| around(V6.into(), l));
    let nets: Vec<IpNet> = lengths4.into_iter().chain(lengths6).collect();
    bulk.replace(list(&nets, Some(Duration::from_nanos(1)))).unwrap();
    let is_over = || fixture.judge(&udp4(V4)).0 == PASS && fixture.judge(&udp6(V6)).0 == PASS;
    assert!((0..200_000).any(|_| is_over()));
    fixture.filter.put_ban(around(V4.into(), 9), &forever()).unwrap();
    fixture.filter.put_ban(around(V6.into(), 17), &forever()).unwrap();
    assert_eq!(fixture.judge(&udp4(V4)), (DROP, Reason::BanPrefix));
    assert_eq!(fixture.judge(&udp6(V6)), (DROP, Reason::BanPrefix));
}

#[test]
fn every_ban_of_an_address_is_named_with_what_it_met() {
    if !is_possible("xdp::bulk::every_ban_of_an_address_is_named_with_what_it_met") {
        return;
    }
    let mut fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    bulk.replace(list(&[around(V4.into(), 20), around(V4.into(), 32)], None)).unwrap();
    fixture.filter.put_ban(around(V4.into(), 24), &forever()).unwrap();
    fixture.send(&udp4(V4), 3);
    let met = fixture.filter.met_by(V4.into()).unwrap();
    let told: Vec<_> =
        met.iter().map(|met| (met.net.prefix_len(), met.bulk, met.record.hits)).collect();
    assert_eq!(told, [(24, false, 3), (32, true, 0), (20, true, 0)]);
}

#[test]
fn hits_go_on_in_the_next_generation_and_in_the_next_process() {
    if !is_possible("xdp::bulk::hits_go_on_in_the_next_generation_and_in_the_next_process") {
        return;
    }
    let fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    let nets = [around(V4.into(), 32), around(V6.into(), 64), around(V6.into(), 30)];
    bulk.replace(list(&nets[..2], None)).unwrap();
    fixture.send(&udp4(V4), 5);
    fixture.send(&udp6(V6), 2);
    for _ in 0..3 {
        bulk.replace(list(&nets, None)).unwrap();
    }
    assert_eq!(fixture.filter.bulk_record(nets[0]).unwrap().hits, 5);
    assert_eq!(fixture.filter.bulk_record(nets[1]).unwrap().hits, 2);
    assert_eq!(fixture.filter.bulk_record(nets[2]).unwrap().hits, 0);
}

#[test]
fn too_many_are_refused_and_what_was_in_force_stays() {
    if !is_possible("xdp::bulk::too_many_are_refused_and_what_was_in_force_stays") {
        return;
    }
    let fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    bulk.replace(list(&[around(V4.into(), 32)], None)).unwrap();
    let hosts = |count: u32| -> Vec<IpNet> {
        (0..count).map(|n| IpAddr::from((0x0a00_0000 + 2 * n).to_be_bytes()).into()).collect()
    };
    let sites = |count: u128| -> Vec<IpNet> {
        let site = |n| Ipv6Addr::from((0x2001_0db8_u128 << 96) | (n << 82));
        (0..count).map(|n| IpNet::new(site(n).into(), 47).unwrap()).collect()
    };
    for (nets, room) in [(hosts(129), 128), (sites(65), 64)] {
        let refused = bulk.replace(list(&nets, None)).unwrap_err();
        assert!(
            matches!(refused, KernelError::BulkFull { capacity, .. } if capacity == room),
            "{refused}"
        );
        assert_eq!(fixture.judge(&udp4(V4)), (DROP, Reason::BanHost));
    }
    for _ in 0..4 {
        bulk.replace(list(&[hosts(128), sites(64)].concat(), None)).unwrap();
        assert_eq!(fixture.judge(&udp4(V4)), (PASS, Reason::Passed));
    }
}

/// Sends without end from other threads while lists are exchanged.
fn judge_meanwhile(fixture: &Fixture, frames: &[(Vec<u8>, u32)], exchange: impl FnOnce()) {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (frame, wanted) in frames {
            let (filter, stop, sent) = (&fixture.filter, &stop, &sent);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (action, _) = filter.test_run(frame, 1).unwrap();
                    assert_eq!(action, *wanted);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        exchange();
        stop.store(true, Ordering::Relaxed);
    });
    println!("{} packets judged meanwhile", sent.into_inner());
}

#[test]
fn a_hundred_exchanges_leak_nothing_and_cut_nobody_off() {
    if !is_possible("xdp::bulk::a_hundred_exchanges_leak_nothing_and_cut_nobody_off") {
        return;
    }
    let fixture = Fixture::new();
    let mut bulk = fixture.filter.bulk();
    // In both, but by another entry each time; in the one, beside what is in the other.
    let a = [around(V4.into(), 32), around(V6.into(), 64), "10.0.0.0/12".parse().unwrap()];
    let b = [around(V4.into(), 22), around(V6.into(), 29), "10.16.0.0/13".parse().unwrap()];
    bulk.replace(list(&a, None)).unwrap();
    let never4 = udp4(Ipv4Addr::new(203, 0, 113, 9));
    let never6 = udp6("2a00::1".parse().unwrap());
    let frames = vec![(udp4(V4), DROP), (udp6(V6), DROP), (never4, PASS), (never6, PASS)];
    judge_meanwhile(&fixture, &frames, || {
        for round in 0..100 {
            let wanted = if round % 2 == 0 { &b } else { &a };
            bulk.replace(list(wanted, None)).unwrap();
        }
        empty(&mut *bulk);
    });
    assert_eq!(fixture.judge(&udp4(V4)), (DROP, Reason::BanHost));
}

/// So many addresses that no two of them merge.
fn many(count: u32, seed: u32) -> Vec<IpNet> {
    (0..count).map(|n| IpAddr::from((0x0b00_0000 + n * 1009 + seed).to_be_bytes()).into()).collect()
}

#[test]
fn a_million_addresses_and_prefixes_are_loaded_and_exchanged() {
    if !is_possible("xdp::bulk::a_million_addresses_and_prefixes_are_loaded_and_exchanged") {
        return;
    }
    let mut config = config();
    config.capacity.hosts = 1_000_000;
    config.capacity.prefixes = 100_000;
    let fixture = Fixture::with(&config);
    let mut bulk = fixture.filter.bulk();
    let lists = [0, 1].map(|seed| {
        let prefixes = (0..100_000).map(|n: u32| {
            let start = Ipv4Addr::from(0xdc00_0000 + n * 512);
            IpNet::new(start.into(), 24).unwrap()
        });
        list(&many(1_000_000, seed).into_iter().chain(prefixes).collect::<Vec<_>>(), None)
    });
    let held = udp4(Ipv4Addr::new(220, 0, 0, 1));
    bulk.replace(Arc::clone(&lists[0])).unwrap();
    let frames = vec![(held, DROP), (udp4(Ipv4Addr::new(203, 0, 113, 9)), PASS)];
    judge_meanwhile(&fixture, &frames, || {
        for wanted in [&lists[1], &lists[0]] {
            let start = clock::now();
            let loaded = bulk.replace(Arc::clone(wanted)).unwrap();
            assert_eq!(loaded.entries, 1_100_000);
            println!("exchanged {} entries in {:?}", loaded.entries, start.elapsed());
            let start = clock::now();
            empty(&mut *bulk);
            println!("emptied the former in {:?}", start.elapsed());
        }
    });
    let status = fixture.filter.status();
    let used = status.maps.iter().find(|map| map.name == "ban4").map(|map| map.used);
    assert_eq!(used, Some(1_100_000));
    println!("{:#?}, {} bytes in all", status.maps, status.memory_bytes);
}

#[test]
fn another_process_takes_over_what_is_in_force() {
    if !is_possible("xdp::bulk::another_process_takes_over_what_is_in_force") {
        return;
    }
    let (lab, pins) = (gateway_tests::lab::Lab::build().unwrap(), config().pins);
    let config = Kernel {
        interfaces: vec![gateway_tests::lab::INTERFACE.to_owned()],
        pins: pins.clone(),
        ..config()
    };
    let open = || {
        lab.inside
            .run(|| {
                let mut filter = Filter::open(&config)?;
                filter.attach()?;
                Ok(filter)
            })
            .unwrap()
    };
    let nets = [around(V4.into(), 32), around(V6.into(), 31), around(V6.into(), 64)];
    let filter = open();
    filter.bulk().replace(list(&nets, None)).unwrap();
    for _ in 0..4 {
        filter.test_run(&udp4(V4), 1).unwrap();
    }
    drop(filter);
    let filter = open();
    let mut bulk = filter.bulk();
    assert_eq!(filter.test_run(&udp4(V4), 1).unwrap().0, DROP, "in force before it is known");
    assert!(bulk.replace(list(&nets, None)).unwrap().kept);
    assert_eq!(filter.bulk_record(nets[0]).unwrap().hits, 5);
    drop((filter, bulk));
    let filter = open();
    let mut bulk = filter.bulk();
    assert!(!bulk.replace(list(&nets[1..], None)).unwrap().kept);
    empty(&mut *bulk);
    assert_eq!(filter.test_run(&udp4(V4), 1).unwrap().0, PASS);
    assert_eq!(filter.test_run(&udp6(V6), 1).unwrap().0, DROP);
    drop((filter, bulk));
    drop(std::fs::remove_dir_all(pins));
}
