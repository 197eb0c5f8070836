use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{
    Reason,
    packet::{Packet, Source},
    twin::{Sample, Twin, sample},
    verdict::{self, Action, AllowTables as _, LimitTables as _},
};

const SECOND: u64 = 1_000_000_000;
/// As this far into uptime as any kernel is.
const START: u64 = 17_000_000_000_000;

fn from(source: [u8; 4]) -> Packet {
    Packet { protocol: 17, destination_port: 53, ..Packet::of(Source::V4(source)) }
}

fn limited(rate: u64, burst: u32) -> Sample {
    sample().with(|policy| policy.packets = Limit::new(SECOND / rate, burst))
}

fn syn_from(source: [u8; 4]) -> Packet {
    Packet { protocol: 6, tcp_flags: 0x02, ..from(source) }
}

/// Sends `packet` so many times at once; how often each reason was given.
fn burst(twin: &Twin, sample: &Sample, packet: &Packet, times: u32) -> Vec<(Reason, u32)> {
    let mut counts: Vec<(Reason, u32)> = Vec::new();
    for _ in 0..times {
        let reason = verdict::decide(packet, &sample.rules(), twin, START).reason();
        match counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => counts.push((reason, 1)),
        }
    }
    counts
}

fn count(counts: &[(Reason, u32)], reason: Reason) -> u32 {
    counts.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
}

/// The tick clock of a kernel at 250 Hz.
fn ticks(now: u64, tick: u64) -> u64 {
    now / tick * tick
}

fn passes(twin: &Twin, sample: &Sample, source: [u8; 4], now: u64) -> bool {
    let verdict = verdict::decide(&from(source), &sample.rules(), twin, now);
    verdict.action == Action::Pass
}

/// Sends by `gap_at` (time since start → time to the next packet) and returns what passed.
fn flood(sample: &Sample, seconds: u64, gap_at: impl Fn(u64) -> u64) -> u64 {
    let twin = Twin::new();
    let mut passed = 0;
    let mut at = 0;
    while at < seconds * SECOND {
        let now = ticks(START + at, sample.settings.tick_ns);
        passed += u64::from(passes(&twin, sample, [192, 0, 2, 1], now));
        at += gap_at(at);
    }
    passed
}

/// What is lawful: the burst and the rate, for the time and one tick.
fn granted(rate: u64, burst: u64, seconds: u64, sample: &Sample) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let granted = burst as f64
        + rate as f64 * (seconds as f64 + sample.settings.tick_ns as f64 / SECOND as f64);
    granted
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn assert_held(passed: u64, granted: f64, what: &str) {
    let share = passed as f64 / granted;
    assert!(share <= 1.05, "{what}: {passed} passed, {granted} granted: {share}");
    assert!(share >= 0.9, "{what}: {passed} passed, {granted} granted: {share}");
}

#[test]
fn a_steady_source_over_its_limit_gets_the_limit() {
    let (rate, burst, seconds) = (1000, 2000, 20);
    let sample = limited(rate, burst);
    for tenths in [15, 20, 40, 200] {
        let gap = SECOND * 10 / (rate * tenths);
        let passed = flood(&sample, seconds, |_| gap);
        let granted = granted(rate, burst.into(), seconds, &sample);
        assert_held(passed, granted, &std::format!("{tenths} tenths of the limit"));
    }
}

#[test]
fn bunches_and_pauses_win_nothing() {
    let (rate, burst, seconds) = (1000_u64, 2000, 30);
    let sample = limited(rate, burst);
    for (on, off) in [(1, 1), (4, 4), (10, 10), (50, 50), (100, 100), (100, 300), (500, 500)] {
        let period = (on + off) * 1_000_000;
        let passed = flood(&sample, seconds, |at| {
            let into = at % period;
            if into < on * 1_000_000 { SECOND / (rate * 20) } else { period - into }
        });
        let granted = granted(rate, burst.into(), seconds, &sample);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = passed as f64 / granted;
        assert!(share <= 1.05, "{on} ms on, {off} ms off: {share}");
    }
}

#[test]
fn a_source_under_its_limit_loses_nothing() {
    let sample = limited(1000, 100);
    let passed = flood(&sample, 10, |_| SECOND / 990);
    assert!(passed >= 9900, "{passed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any pattern of bunches, whatever its scale, stays under the bound of the module's text.
    #[test]
    fn no_pattern_gets_more(
        bunches in proptest::collection::vec((1u64..400, 0u64..300_000_000), 1..200),
        burst in 20u32..500,
        tick in prop_oneof![Just(1_000_000u64), Just(4_000_000), Just(10_000_000)],
    ) {
        let rate = 1000u64;
        let mut sample = limited(rate, burst);
        sample.settings.tick_ns = tick;
        let twin = Twin::new();
        let (mut at, mut passed) = (0u64, 0u64);
        for (packets, pause) in bunches {
            for _ in 0..packets {
                passed += u64::from(passes(&twin, &sample, [192, 0, 2, 1], ticks(START + at, tick)));
            }
            at += pause;
        }
        let limit = sample.policy.packets;
        let bound = limit.burst_ns + limit.slack_ns + 2 * limit.interval_ns + at + tick;
        prop_assert!(passed * limit.interval_ns <= bound, "{passed} in {at} ns");
    }

    #[test]
    fn the_keyed_hash_spreads_any_stride(stride in 1u64..1 << 33, keys: [u64; 2]) {
        let keys = [keys[0] | 1, keys[1] | 1];
        let cells: std::collections::HashSet<u32> =
            (0..1000).map(|i| sketch_index(keys, i * stride, 0)).collect();
        prop_assert!(cells.len() > 600, "{} cells of 1000 sources", cells.len());
    }
}

#[test]
fn an_innocent_beside_a_million_random_sources_loses_nothing() {
    let sample = limited(1000, 2000);
    let twin = Twin::new();
    let mut random = 0x1234_5678_9abc_def0_u64;
    for packet in 0..1_000_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let now = ticks(START + packet * 1000, sample.settings.tick_ns);
        let [a, b, c, d, ..] = random.to_be_bytes();
        passes(&twin, &sample, [a, b, c, d], now);
        if packet % 1000 == 0 {
            assert!(passes(&twin, &sample, [198, 51, 100, 7], now), "at packet {packet}");
        }
    }
    assert!(twin.exact.borrow().is_empty(), "a spread flood inserts nothing");
}

#[test]
fn a_victim_of_collision_keeps_its_own_entry() {
    let sample = limited(1000, 2000);
    let twin = Twin::new();
    let victim = u64::from_be_bytes([198, 51, 100, 7, 0, 0, 0, 0]);
    // Both cells of the victim are at their cap, as if flooded by others.
    for (row, keys) in (0..).zip(&sample.settings.rows) {
        let cell = twin.sketch(sketch_index(keys.v4, victim, row)).unwrap();
        for _ in 0..4000 {
            advance(&cell, &sample.policy.packets, START);
        }
    }
    let passed = (0..50).filter(|_| passes(&twin, &sample, [198, 51, 100, 7], START)).count();
    assert_eq!(passed, 50, "a twentieth of the burst is its own");
}

/// A virtual processor loses its time slice between the clock and the word, again and again.
#[test]
fn a_processor_that_lags_sets_no_word_back() {
    let sample = limited(1000, 100);
    let twin = Twin::new();
    let source = [198, 51, 100, 9];
    let (mut passed, mut at) = (0_u64, START);
    for _ in 0..20 {
        passed += (0..400).map(|_| u64::from(passes(&twin, &sample, source, at))).sum::<u64>();
        let late = at - SECOND / 10;
        passed += (0..400).map(|_| u64::from(passes(&twin, &sample, source, late))).sum::<u64>();
        at += SECOND / 100;
    }
    let granted = 100 + 1000 / 5 + 5 + 2;
    assert!(passed <= granted, "{passed} of {granted}");
}

#[test]
fn a_word_from_the_future_heals() {
    let limit = Limit::new(1_000_000, 100);
    let twin = Twin::new();
    let cell = twin.allow_cell().unwrap();
    cell.compare_exchange(0, u64::MAX / 2);
    assert_eq!(take(&cell, &limit, START), Outcome::Over);
    assert_eq!(take(&cell, &limit, START + limit.interval_ns), Outcome::Within);
    assert_eq!(take(&cell, &limit, START + limit.interval_ns), Outcome::Over);
    let cell = twin.sketch(0).unwrap();
    cell.compare_exchange(0, u64::MAX / 2);
    assert!(advance(&cell, &limit, START));
    assert!(!advance(&cell, &limit, START + 2 * limit.burst_ns));
}

/// Whoever claims to be allowed can fill the word they share; the operator then shortens the burst.
#[test]
fn a_shorter_burst_holds_at_once() {
    let (long, short) = (Limit::new(SECOND / 10, 100_000), Limit::new(SECOND / 20_000, 40_000));
    let twin = Twin::new();
    let cell = twin.allow_cell().unwrap();
    while take(&cell, &long, START) == Outcome::Within {}
    assert_eq!(take(&cell, &short, START), Outcome::Over);
    assert_eq!(take(&cell, &short, START + short.interval_ns), Outcome::Within);
}

#[test]
fn no_burst_runs_past_the_end_of_the_clock() {
    let limit = Limit::new(u64::MAX / (1 << 20), u32::MAX);
    let twin = Twin::new();
    assert_eq!(take(&twin.allow_cell().unwrap(), &limit, START), Outcome::Within);
    assert!(!advance(&twin.sketch(0).unwrap(), &limit, START));
}

#[test]
fn the_insertion_guard_answers_as_configured() {
    let inserts = Limit::new(SECOND / 10, 10);
    let open = limited(10, 20).with(|policy| policy.inserts = inserts);
    let closed = open.with(|policy| policy.drops = 1 << Reason::LimitInserts.number());
    for (sample, reason) in [(open, Action::Pass), (closed, Action::Drop)] {
        let twin = Twin::new();
        let mut last = None;
        for source in 0..20 {
            for _ in 0..21 {
                last =
                    Some(verdict::decide(&from([10, 0, 0, source]), &sample.rules(), &twin, START));
            }
        }
        let last = last.unwrap();
        assert_eq!((last.action, last.reason()), (reason, Reason::LimitInserts));
        assert_eq!(twin.exact.borrow().len(), 10);
    }
}

#[test]
fn syns_have_a_limit_of_their_own() {
    let sample = sample().with(|policy| policy.syns = Limit::new(SECOND / 10, 100));
    let twin = Twin::new();
    let syns = burst(&twin, &sample, &syn_from([192, 0, 2, 1]), 1000);
    // The burst, its twentieth for the sketch, and an interval of each word.
    let passed = count(&syns, Reason::Passed);
    assert!((100..=107).contains(&passed), "{syns:?}");
    assert_eq!(count(&syns, Reason::SynLimit), 1000 - passed);
    let answer = Packet { tcp_flags: 0x12, ..syn_from([192, 0, 2, 1]) };
    let others = [answer, Packet { tcp_flags: 0x10, ..answer }, from([192, 0, 2, 1])];
    for other in others {
        assert_eq!(burst(&twin, &sample, &other, 500), [(Reason::Passed, 500)], "{other:?}");
    }
    let neighbour = burst(&twin, &sample, &syn_from([192, 0, 2, 2]), 50);
    assert_eq!(neighbour, [(Reason::Passed, 50)]);
}

#[test]
fn a_neighbourhood_has_its_limits_however_its_hosts_take_turns() {
    let limit = Limit::new(SECOND / 10, 200);
    let packets = sample().with(|policy| policy.packets_neighbourhood = limit);
    let syns = sample().with(|policy| policy.syns_neighbourhood = limit);
    let cases = [
        (packets, from([0; 4]), Reason::NeighbourhoodLimit),
        (syns, syn_from([0; 4]), Reason::SynNeighbourhoodLimit),
    ];
    for (sample, packet, reason) in cases {
        let twin = Twin::new();
        let passed: u32 = (0..=255)
            .map(|host| {
                let packet =
                    Packet { from: Packet::of(Source::V4([198, 51, 100, host])).from, ..packet };
                let counts = burst(&twin, &sample, &packet, 4);
                assert_eq!(count(&counts, reason) + count(&counts, Reason::Passed), 4);
                count(&counts, Reason::Passed)
            })
            .sum();
        assert!((200..=212).contains(&passed), "{reason}: {passed}");
        let next = Packet { from: Packet::of(Source::V4([198, 51, 101, 1])).from, ..packet };
        assert_eq!(burst(&twin, &sample, &next, 50), [(Reason::Passed, 50)]);
    }
}

#[test]
fn ipv6_neighbourhoods_are_48s() {
    let limit = Limit::new(SECOND / 10, 20);
    let sample = sample().with(|policy| policy.packets_neighbourhood = limit);
    let twin = Twin::new();
    let of = |site: u8, subnet: u8| {
        let source = [0x20, 1, 0xd, 0xb8, 0, site, 0, subnet, 0, 0, 0, 0, 0, 0, 0, 1];
        Packet { protocol: 17, destination_port: 53, ..Packet::of(Source::V6(source)) }
    };
    for subnet in 0..10 {
        burst(&twin, &sample, &of(1, subnet), 4);
    }
    assert_eq!(burst(&twin, &sample, &of(1, 99), 1), [(Reason::NeighbourhoodLimit, 1)]);
    assert_eq!(burst(&twin, &sample, &of(2, 0), 1), [(Reason::Passed, 1)]);
}

/// The router's own packets must pass while a machine on the same link floods.
#[test]
fn a_link_is_no_neighbourhood_and_each_address_on_it_is_a_host() {
    let limit = Limit::new(SECOND / 10, 20);
    let sample = sample().with(|policy| {
        policy.packets = limit;
        policy.packets_neighbourhood = limit;
    });
    let twin = Twin::new();
    let of = |last: u8| {
        let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, last];
        Packet { protocol: 17, destination_port: 53, ..Packet::of(Source::V6(source)) }
    };
    assert!(count(&burst(&twin, &sample, &of(66), 500), Reason::PacketLimit) > 400);
    assert_eq!(burst(&twin, &sample, &of(1), 10), [(Reason::Passed, 10)]);
}

/// One bad host must not use up what its neighbours may send.
#[test]
fn what_a_host_sends_in_vain_is_not_on_its_neighbours_account() {
    let sample = sample().with(|policy| {
        policy.packets = Limit::new(SECOND / 10, 100);
        policy.packets_neighbourhood = Limit::new(SECOND / 10, 200);
    });
    let twin = Twin::new();
    let flood = burst(&twin, &sample, &from([192, 0, 2, 66]), 10_000);
    assert_eq!(count(&flood, Reason::NeighbourhoodLimit), 0, "{flood:?}");
    assert_eq!(burst(&twin, &sample, &from([192, 0, 2, 7]), 80), [(Reason::Passed, 80)]);
}

#[test]
fn a_limit_that_is_off_counts_and_refuses_nothing() {
    let sample = sample().with(|policy| {
        *policy = crate::maps::Policy { allow: policy.allow, ..Default::default() };
    });
    let twin = Twin::new();
    assert_eq!(
        burst(&twin, &sample, &syn_from([192, 0, 2, 1]), 100_000),
        [(Reason::Passed, 100_000)]
    );
    assert!(twin.exact.borrow().is_empty());
}
