//! The packet limit on the real object, in real time, on one processor and on several.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use gateway_userspace::{
    clock,
    config::model::Kernel,
    guard::kernel::{Filter, PacketFilter as _},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{
    fixture::{Fixture, PASS, config, is_possible, rate},
    frames::{V4, V6, udp4, udp6},
};

const RATE: u32 = 1000;
const BURST: u32 = 500;

fn limited(count: u32, burst: u32) -> Kernel {
    Kernel { packets: rate(count, burst), ..config() }
}

fn pin_to(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor).unwrap();
    sched_setaffinity(Pid::from_raw(0), &processors).unwrap();
}

fn processors() -> usize {
    std::thread::available_parallelism().unwrap().get().min(2)
}

/// Sends so many packets a second for a time; how many passed.
fn send_paced(filter: &Filter, frame: &[u8], per_second: f64, time: Duration) -> u64 {
    let (start, mut sent, mut passed) = (clock::now(), 0_u32, 0);
    while start.elapsed() < time {
        if f64::from(sent) < start.elapsed().as_secs_f64() * per_second {
            let (action, _) = filter.test_run(frame, 1).unwrap();
            passed += u64::from(action == PASS);
            sent += 1;
        } else {
            std::hint::spin_loop();
        }
    }
    passed
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn assert_held(passed: u64, (count, burst): (u32, u32), start: Instant, what: &str) {
    // The grain of the clock: a tick before the first packet counts.
    let seconds = start.elapsed().as_secs_f64() + 0.01;
    let granted = f64::from(burst) + f64::from(count) * seconds;
    let share = passed as f64 / granted;
    println!("{what}: {passed} passed of {granted:.0} granted, {share:.3}");
    assert!(share <= 1.05, "{what}: {share}");
    assert!(share >= 0.85, "{what}: {share}");
}

fn hold(factor: f64, threads: usize, frame: &[u8]) {
    let fixture = Fixture::with(&limited(RATE, BURST));
    let per_second = f64::from(RATE) * factor / f64::from(u32::try_from(threads).unwrap());
    let start = clock::now();
    let filter = &fixture.filter;
    let passed: u64 = std::thread::scope(|scope| {
        let send = |processor| {
            scope.spawn(move || {
                pin_to(processor);
                send_paced(filter, frame, per_second, Duration::from_secs(2))
            })
        };
        let senders: Vec<_> = (0..threads).map(send).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    let what = format!("{factor} of the limit on {threads} processors");
    assert_held(passed, (RATE, BURST), start, &what);
}

#[test]
fn one_source_on_one_processor_gets_its_limit() {
    if !is_possible("xdp::limits::one_source_on_one_processor_gets_its_limit") {
        return;
    }
    for factor in [1.5, 2.0, 4.0, 20.0] {
        hold(factor, 1, &udp4(V4));
    }
}

#[test]
fn one_source_on_two_processors_gets_its_limit() {
    if !is_possible("xdp::limits::one_source_on_two_processors_gets_its_limit") {
        return;
    }
    for factor in [1.5, 2.0, 4.0, 20.0] {
        hold(factor, processors(), &udp4(V4));
    }
}

#[test]
fn an_ipv6_source_gets_its_limit() {
    if !is_possible("xdp::limits::an_ipv6_source_gets_its_limit") {
        return;
    }
    hold(4.0, 1, &udp6(V6));
}

/// As fast as the processors can, both at the same words: compare-exchange is contended.
#[test]
fn one_source_at_full_speed_on_two_processors_gets_its_limit() {
    if !is_possible("xdp::limits::one_source_at_full_speed_on_two_processors_gets_its_limit") {
        return;
    }
    let (count, burst) = (20_000, 20_000);
    let fixture = Fixture::with(&limited(count, burst));
    let filter = &fixture.filter;
    let start = clock::now();
    std::thread::scope(|scope| {
        for processor in 0..processors() {
            scope.spawn(move || {
                pin_to(processor);
                while start.elapsed() < Duration::from_secs(2) {
                    filter.test_run(&udp4(V4), 100_000).unwrap();
                }
            });
        }
    });
    let passed = count_of(filter, Reason::Passed);
    assert_held(passed, (count, burst), start, "full speed");
}

#[test]
fn a_source_below_its_limit_loses_nothing() {
    if !is_possible("xdp::limits::a_source_below_its_limit_loses_nothing") {
        return;
    }
    let fixture = Fixture::with(&limited(RATE, BURST));
    send_paced(&fixture.filter, &udp4(V4), 950.0, Duration::from_secs(2));
    assert_eq!(count_of(&fixture.filter, Reason::PacketLimit), 0);
}

/// The flood comes from one processor, a million sources; every thousandth packet is lawful.
#[test]
fn an_innocent_beside_a_million_random_sources_loses_nothing() {
    if !is_possible("xdp::limits::an_innocent_beside_a_million_random_sources_loses_nothing") {
        return;
    }
    let fixture = Fixture::with(&limited(RATE, 2 * RATE));
    let innocent = udp4(V4);
    let mut random = 0x1234_5678_9abc_def0_u64;
    let mut frame = udp4(V4);
    for packet in 0..1_000_000_u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        frame[26..30].copy_from_slice(&random.to_be_bytes()[..4]);
        fixture.filter.test_run(&frame, 1).unwrap();
        if packet % 1000 == 0 {
            assert_eq!(fixture.judge(&innocent), (PASS, Reason::Passed), "after {packet} packets");
        }
    }
    assert_eq!(count_of(&fixture.filter, Reason::PacketLimit), 0);
    assert_eq!(count_of(&fixture.filter, Reason::LimitInserts), 0);
}

#[test]
fn allowed_sources_share_one_limit() {
    if !is_possible("xdp::limits::allowed_sources_share_one_limit") {
        return;
    }
    let mut config = config();
    config.allow_limit = rate(1000, 100);
    let mut fixture = Fixture::with(&config);
    fixture.filter.put_allow("198.18.0.0/15".parse().unwrap()).unwrap();
    for last in 0..200 {
        fixture.send(&udp4(Ipv4Addr::new(198, 18, 0, last)), 10);
    }
    assert!(count_of(&fixture.filter, Reason::Allowed) < 400);
    assert!(count_of(&fixture.filter, Reason::AllowLimit) > 1600);
}

#[test]
fn the_exact_table_is_guarded() {
    if !is_possible("xdp::limits::the_exact_table_is_guarded") {
        return;
    }
    let mut config = limited(10, 10);
    config.limit_inserts = 50;
    let fixture = Fixture::with(&config);
    for source in 0..200 {
        fixture.send(&udp4(Ipv4Addr::new(10, 0, 0, source)), 40);
    }
    assert!(count_of(&fixture.filter, Reason::LimitInserts) > 0);
    let status = fixture.filter.status();
    let exact = status.maps.iter().find(|map| map.name == "exact").unwrap();
    assert!((50..=110).contains(&exact.used), "{} entries", exact.used);
}

fn count_of(filter: &Filter, reason: Reason) -> u64 {
    let counters = filter.counters().unwrap();
    counters.iter().find(|count| count.reason == reason.number()).map_or(0, |count| count.packets)
}
