//! The limits on the real object, in real time, on one processor and on several.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
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
    fixture::{DROP, Fixture, PASS, config, is_possible, rate},
    frames::{V4, V6, syn4, syn6, udp4, udp6},
};

const RATE: u32 = 1000;
const BURST: u32 = 500;

fn limited(count: u32, burst: u32) -> Kernel {
    Kernel { packets: Some(rate(count, burst)), ..config() }
}

fn pin_to(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor).unwrap();
    sched_setaffinity(Pid::from_raw(0), &processors).unwrap();
}

fn processors() -> usize {
    std::thread::available_parallelism().unwrap().get().min(2)
}

/// What a sender did.
#[derive(Debug, Default)]
struct Sent {
    passed: u64,
    /// When each packet left.
    at: Vec<Instant>,
}

impl Sent {
    fn join(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.at.extend(other.at);
        self.at.sort_unstable();
        self
    }

    /// What a bucket of `burst` that fills at `count` a second grants of these packets: a sender
    /// that lost its time slice has lost what would have flowed over meanwhile.
    fn lawful(&self, (count, burst): (u32, u32)) -> u64 {
        let (mut left, mut last, mut granted) = (f64::from(burst), self.at[0], 0);
        for at in &self.at {
            let flowed = at.duration_since(last).as_secs_f64() * f64::from(count);
            left = (left + flowed).min(f64::from(burst));
            last = *at;
            if left >= 1.0 {
                left -= 1.0;
                granted += 1;
            }
        }
        granted
    }
}

/// Sends so many packets a second for a time, of `frames` in turn.
fn send_paced(filter: &Filter, frames: &[Vec<u8>], per_second: f64, time: Duration) -> Sent {
    let (start, mut sent) = (clock::now(), Sent::default());
    let mut due = 0.0;
    for frame in frames.iter().cycle() {
        while start.elapsed().as_secs_f64() * per_second < due {
            std::hint::spin_loop();
        }
        if start.elapsed() >= time {
            break;
        }
        sent.at.push(clock::now());
        let (action, _) = filter.test_run(frame, 1).unwrap();
        sent.passed += u64::from(action == PASS);
        due += 1.0;
    }
    sent
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn assert_held(passed: u64, (count, burst): (u32, u32), start: Instant, what: &str) {
    // The grain of the clock: a tick before the first packet counts.
    let seconds = start.elapsed().as_secs_f64() + 0.01;
    let granted = f64::from(burst) + f64::from(count) * seconds;
    let share = passed as f64 / granted;
    println!("{what}: {passed} passed of {granted:.0} granted, {share:.3}");
    assert!(share <= 1.05, "{what}: {share}");
}

fn hold(factor: f64, threads: usize, kernel: &Kernel, frames: &[Vec<u8>]) {
    hold_at((RATE, BURST), factor, threads, kernel, frames);
}

fn hold_at(limit: (u32, u32), factor: f64, threads: usize, kernel: &Kernel, frames: &[Vec<u8>]) {
    let fixture = Fixture::with(kernel);
    let per_second = f64::from(limit.0) * factor / f64::from(u32::try_from(threads).unwrap());
    let start = clock::now();
    let filter = &fixture.filter;
    let sent = std::thread::scope(|scope| {
        let start_sender = |processor| {
            scope.spawn(move || {
                pin_to(processor);
                send_paced(filter, frames, per_second, Duration::from_secs(1))
            })
        };
        let senders: Vec<_> = (0..threads).map(start_sender).collect();
        let sent = senders.into_iter().map(|thread| thread.join().unwrap());
        sent.fold(Sent::default(), Sent::join)
    });
    let what = format!("{factor} of the limit on {threads} processors");
    assert_held(sent.passed, limit, start, &what);
    let lawful = sent.lawful(limit);
    assert!(sent.passed * 10 >= lawful * 9, "{what}: {} of {lawful} lawful", sent.passed);
}

const FACTORS: [f64; 4] = [1.5, 2.0, 4.0, 20.0];

#[test]
fn one_source_on_one_processor_gets_its_limit() {
    if !is_possible("xdp::limits::one_source_on_one_processor_gets_its_limit") {
        return;
    }
    for factor in FACTORS {
        hold(factor, 1, &limited(RATE, BURST), &[udp4(V4)]);
    }
}

#[test]
fn one_source_on_two_processors_gets_its_limit() {
    if !is_possible("xdp::limits::one_source_on_two_processors_gets_its_limit") {
        return;
    }
    for factor in FACTORS {
        hold(factor, processors(), &limited(RATE, BURST), &[udp4(V4)]);
    }
}

/// Wide enough that most packets are counted in advance, narrow enough to be used up.
#[test]
fn a_limit_with_leases_is_held_on_one_processor_and_on_two() {
    if !is_possible("xdp::limits::a_limit_with_leases_is_held_on_one_processor_and_on_two") {
        return;
    }
    let wide = (20_000, 13_000);
    for factor in [2.0, 4.0, 20.0] {
        hold_at(wide, factor, 1, &limited(wide.0, wide.1), &[udp4(V4)]);
        hold_at(wide, factor, processors(), &limited(wide.0, wide.1), &[udp6(V6)]);
    }
}

#[test]
fn an_ipv6_source_gets_its_limit() {
    if !is_possible("xdp::limits::an_ipv6_source_gets_its_limit") {
        return;
    }
    hold(4.0, 1, &limited(RATE, BURST), &[udp6(V6)]);
}

#[test]
fn syns_get_their_limit_on_one_processor_and_on_two() {
    if !is_possible("xdp::limits::syns_get_their_limit_on_one_processor_and_on_two") {
        return;
    }
    let kernel = Kernel { syns: Some(rate(RATE, BURST)), ..config() };
    for factor in FACTORS {
        hold(factor, 1, &kernel, &[syn4(V4)]);
        hold(factor, processors(), &kernel, &[syn6(V6)]);
    }
}

/// A botnet in one network, each bot far below what a host may send.
#[test]
fn a_neighbourhood_gets_its_limit_on_one_processor_and_on_two() {
    if !is_possible("xdp::limits::a_neighbourhood_gets_its_limit_on_one_processor_and_on_two") {
        return;
    }
    let kernel = Kernel {
        packets_neighbourhood: Some(rate(RATE, BURST)),
        syns_neighbourhood: Some(rate(RATE, BURST)),
        ..config()
    };
    let hosts = || (0..=255).map(|host| Ipv4Addr::new(192, 0, 2, host));
    let subnets = (0..=255).map(|subnet| Ipv6Addr::new(0x2001, 0xdb8, 1, subnet, 0, 0, 0, 1));
    let (packets, syns): (Vec<_>, Vec<_>) =
        (hosts().map(udp4).collect(), hosts().map(syn4).collect());
    let packets6: Vec<_> = subnets.map(udp6).collect();
    for factor in FACTORS {
        hold(factor, 1, &kernel, &packets);
        hold(factor, processors(), &kernel, &syns);
    }
    hold(4.0, processors(), &kernel, &packets6);
}

/// Each is answered under its own name.
#[test]
fn every_limit_refuses_for_a_reason_of_its_own() {
    if !is_possible("xdp::limits::every_limit_refuses_for_a_reason_of_its_own") {
        return;
    }
    let slow = Some(rate(10, 10));
    let packets = Kernel { packets: slow, ..config() };
    let syns = Kernel { syns: slow, ..config() };
    let neighbours = Kernel { packets_neighbourhood: slow, ..config() };
    let neighbours_syns = Kernel { syns_neighbourhood: slow, ..config() };
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
    for (kernel, frame, reason) in [
        (&packets, udp4(V4), Reason::PacketLimit),
        (&syns, syn4(V4), Reason::SynLimit),
        (&neighbours, udp6(V6), Reason::NeighbourhoodLimit),
        (&neighbours_syns, syn6(V6), Reason::SynNeighbourhoodLimit),
        (&packets, udp6(link_local), Reason::PacketLimit),
    ] {
        let fixture = Fixture::with(kernel);
        fixture.send(&frame, 60);
        assert_eq!(fixture.judge(&frame), (DROP, reason));
        assert_eq!(fixture.judge(&udp4(Ipv4Addr::new(203, 0, 113, 9))), (PASS, Reason::Passed));
        let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(fixture.judge(&syn6(other)), (PASS, Reason::Passed), "{reason}");
    }
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
    assert!(passed > u64::from(burst), "{passed} passed");
}

#[test]
fn a_source_below_its_limit_loses_nothing() {
    if !is_possible("xdp::limits::a_source_below_its_limit_loses_nothing") {
        return;
    }
    let fixture = Fixture::with(&limited(RATE, BURST));
    let sent = send_paced(&fixture.filter, &[udp4(V4)], 950.0, Duration::from_secs(2));
    assert!(sent.passed >= sent.lawful((RATE, BURST)), "{} passed", sent.passed);
}

/// The flood comes from one processor, a million sources; every thousandth packet is lawful.
#[test]
fn an_innocent_beside_a_million_random_sources_loses_nothing() {
    if !is_possible("xdp::limits::an_innocent_beside_a_million_random_sources_loses_nothing") {
        return;
    }
    let all = Some(rate(RATE, 2 * RATE));
    let fixture = Fixture::with(&Kernel {
        packets: all,
        packets_neighbourhood: all,
        syns: all,
        syns_neighbourhood: all,
        ..config()
    });
    let innocent = syn4(V4);
    let mut random = 0x1234_5678_9abc_def0_u64;
    let mut frame = syn4(V4);
    for packet in 0..1_000_000_u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        frame[26..30].copy_from_slice(&random.to_be_bytes()[..4]);
        fixture.filter.test_run(&frame, 1).unwrap();
        if packet % 1000 == 0 {
            assert_eq!(fixture.judge(&innocent), (PASS, Reason::Passed), "after {packet} packets");
        }
    }
    for reason in REFUSALS {
        assert_eq!(count_of(&fixture.filter, reason), 0, "{reason}");
    }
}

const REFUSALS: [Reason; 5] = [
    Reason::PacketLimit,
    Reason::SynLimit,
    Reason::NeighbourhoodLimit,
    Reason::SynNeighbourhoodLimit,
    Reason::LimitInserts,
];

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
