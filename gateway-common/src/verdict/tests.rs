use super::*;
use std::{vec, vec::Vec};

use crate::{
    limit::Limit,
    maps::{BanSet, FlowKey, PortSet},
    packet::Source,
    twin::{Twin, sample},
};

const NOW: u64 = 1_000_000_000_000;
const V4: [u8; 4] = [192, 0, 2, 77];
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9];

fn from(source: Source) -> Packet {
    Packet { protocol: 6, destination_port: 443, ..Packet::of(source) }
}

fn reason(twin: &Twin, source: Source) -> Reason {
    decide(&from(source), &sample().rules(), twin, NOW).reason()
}

#[test]
fn bans_meet_host_and_prefix_of_both_families() {
    let mut twin = Twin::new();
    assert_eq!(reason(&twin, Source::V4(V4)), Reason::Passed);
    let host = twin.ban4(V4, 32, 0);
    assert_eq!(reason(&twin, Source::V4(V4)), Reason::BanHost);
    assert_eq!(host.hits(), 1);
    assert_eq!(reason(&twin, Source::V4([192, 0, 2, 78])), Reason::Passed);
    twin.ban4([192, 0, 0, 0], 16, 0);
    assert_eq!(reason(&twin, Source::V4([192, 0, 200, 1])), Reason::BanPrefix);
    twin.ban6(V6, 128, 0);
    assert_eq!(reason(&twin, Source::V6(V6)), Reason::BanHost);
    twin.ban6(V6, 64, 0);
    let mut neighbour = V6;
    neighbour[15] = 10;
    assert_eq!(reason(&twin, Source::V6(neighbour)), Reason::BanPrefix);
}

#[test]
fn an_expired_ban_drops_nothing_and_hides_nothing() {
    let mut twin = Twin::new();
    twin.ban4(V4, 32, NOW);
    twin.ban4(V4, 28, NOW - 5);
    twin.ban4(V4, 24, NOW);
    assert_eq!(reason(&twin, Source::V4(V4)), Reason::Passed);
    let wide = twin.ban4(V4, 16, NOW + 1);
    assert_eq!(reason(&twin, Source::V4(V4)), Reason::BanPrefix);
    assert_eq!(wide.hits(), 1);
}

#[test]
fn every_length_of_both_families_is_met_inside_and_not_beside() {
    for length in 8..=32 {
        let mut twin = Twin::new();
        twin.ban4(V4, length, 0);
        let beside = (u32::from_be_bytes(V4) ^ 1 << (32 - length)).to_be_bytes();
        let met = if length == 32 { Reason::BanHost } else { Reason::BanPrefix };
        assert_eq!(reason(&twin, Source::V4(V4)), met, "/{length}");
        assert_eq!(reason(&twin, Source::V4(beside)), Reason::Passed, "/{length}");
    }
    for length in 16..=128 {
        let mut twin = Twin::new();
        twin.ban6(V6, length, 0);
        let beside = (u128::from_be_bytes(V6) ^ 1 << (128 - length)).to_be_bytes();
        let met = if length == 128 { Reason::BanHost } else { Reason::BanPrefix };
        assert_eq!(reason(&twin, Source::V6(V6)), met, "/{length}");
        assert_eq!(reason(&twin, Source::V6(beside)), Reason::Passed, "/{length}");
    }
}

#[test]
fn of_nested_bans_the_longest_in_force_gets_the_hit() {
    for (lengths, met) in [(vec![8, 16, 24], 24), (vec![9, 25, 26], 26), (vec![12, 31, 32], 32)] {
        let mut twin = Twin::new();
        let bans: Vec<_> =
            lengths.iter().map(|length| (*length, twin.ban4(V4, *length, 0))).collect();
        reason(&twin, Source::V4(V4));
        for (length, ban) in bans {
            assert_eq!(ban.hits(), u64::from(length == met), "/{length} of {lengths:?}");
        }
    }
    let mut twin = Twin::new();
    for length in [20, 29, 32, 40, 47, 48, 52, 64] {
        twin.ban6(V6, length, NOW);
    }
    assert_eq!(reason(&twin, Source::V6(V6)), Reason::Passed, "all of them are over");
    let wide = twin.ban6(V6, 17, 0);
    assert_eq!(reason(&twin, Source::V6(V6)), Reason::BanPrefix);
    assert_eq!(wide.hits(), 1);
}

#[test]
fn only_the_generation_in_force_is_asked_and_the_dynamic_bans_always() {
    let generation = |switch| {
        let mut sample = sample();
        sample.settings.switch = switch;
        sample
    };
    let (a, b) = (generation(0), generation(crate::maps::switch::GENERATION_B));
    let judge = |twin: &Twin, sample: &crate::twin::Sample, source| {
        decide(&from(source), &sample.rules(), twin, NOW).reason()
    };
    for (set, met_in_a, met_in_b) in
        [(BanSet::BulkA, true, false), (BanSet::BulkB, false, true), (BanSet::Dynamic, true, true)]
    {
        for length in [32, 27, 24, 10] {
            let mut twin = Twin::new();
            twin.ban4_in(set, V4, length, 0);
            assert_eq!(judge(&twin, &a, Source::V4(V4)) != Reason::Passed, met_in_a, "{set:?}");
            assert_eq!(judge(&twin, &b, Source::V4(V4)) != Reason::Passed, met_in_b, "{set:?}");
        }
        for length in [128, 100, 64, 44, 33, 29] {
            let mut twin = Twin::new();
            twin.ban6_in(set, V6, length, 0);
            assert_eq!(judge(&twin, &a, Source::V6(V6)) != Reason::Passed, met_in_a, "{set:?}");
            assert_eq!(judge(&twin, &b, Source::V6(V6)) != Reason::Passed, met_in_b, "{set:?}");
        }
    }
}

#[test]
fn allow_comes_before_ban_and_has_one_limit_for_all() {
    let mut twin = Twin::new();
    twin.put_allow4([192, 0, 2, 0], 24);
    twin.ban4(V4, 32, 0);
    let sample = sample().with(|policy| policy.allow = Limit::new(1_000_000, 10));
    let sources = (0..12).map(|last| Source::V4([192, 0, 2, last]));
    let reasons: Vec<Reason> =
        sources.map(|source| decide(&from(source), &sample.rules(), &twin, NOW).reason()).collect();
    assert!(reasons[..10].iter().all(|reason| *reason == Reason::Allowed));
    assert!(reasons[10..].iter().all(|reason| *reason == Reason::AllowLimit));
}

#[test]
fn a_ban_counts_before_any_finding() {
    let mut twin = Twin::new();
    twin.ban4(V4, 32, 0);
    let broken =
        Packet { findings: Findings::of(Reason::TransportMalformed), ..from(Source::V4(V4)) };
    assert_eq!(decide(&broken, &sample().rules(), &twin, NOW).reason(), Reason::BanHost);
}

#[test]
fn a_finding_is_answered_as_configured_and_always_counted() {
    let twin = Twin::new();
    let finding = Reason::LaterFragment;
    let packet = Packet { findings: Findings::of(finding), ..from(Source::V4(V4)) };
    let closed = sample().with(|policy| policy.drops = 1 << finding.number());
    let (open, closed) = (
        decide(&packet, &sample().rules(), &twin, NOW),
        decide(&packet, &closed.rules(), &twin, NOW),
    );
    assert_eq!((open.action, open.reason()), (Action::Pass, finding));
    assert_eq!((closed.action, closed.reason()), (Action::Drop, finding));
}

#[test]
fn a_passed_finding_is_still_limited() {
    let twin = Twin::new();
    let sample = sample().with(|policy| policy.packets = Limit::new(1_000_000_000, 2));
    let packet = Packet { findings: Findings::of(Reason::LaterFragment), ..from(Source::V4(V4)) };
    let last = (0..5).map(|_| decide(&packet, &sample.rules(), &twin, NOW)).last().unwrap();
    assert_eq!((last.action, last.reason()), (Action::Drop, Reason::PacketLimit));
}

#[test]
fn ipv6_is_limited_by_its_64() {
    let twin = Twin::new();
    let sample = sample().with(|policy| policy.packets = Limit::new(1_000_000_000, 2));
    let reasons: Vec<Reason> = (0..5)
        .map(|last| {
            let mut source = V6;
            source[15] = last;
            decide(&from(Source::V6(source)), &sample.rules(), &twin, NOW).reason()
        })
        .collect();
    assert_eq!(reasons[4], Reason::PacketLimit);
    let mut other = V6;
    other[7] = 99;
    assert_eq!(
        decide(&from(Source::V6(other)), &sample.rules(), &twin, NOW).reason(),
        Reason::Passed
    );
}

#[test]
fn shadow_passes_what_it_would_drop_and_orders_come_before_the_policy() {
    let mut twin = Twin::new();
    twin.ban4(V4, 32, 0);
    let bit = 1 << Reason::BanHost.number();
    let cases = [
        // policy, order to shadow, order to enforce: in shadow
        (0, 0, 0, false),
        (bit, 0, 0, true),
        (0, bit, 0, true),
        (bit, 0, bit, false),
        (!bit, !bit, 0, false),
    ];
    for (policy, shadow, enforce, in_shadow) in cases {
        let mut sample = sample().with(|slot| slot.shadow = policy);
        sample.settings.shadow = shadow;
        sample.settings.enforce = enforce;
        let verdict = decide(&from(Source::V4(V4)), &sample.rules(), &twin, NOW);
        let action = if in_shadow { Action::Pass } else { Action::Drop };
        let expected = Verdict { action, number: Reason::BanHost.number(), shadow: in_shadow };
        assert_eq!(verdict, expected, "{policy:x} {shadow:x} {enforce:x}");
    }
}

#[test]
fn panic_passes_even_what_cannot_be_read() {
    let mut sample = sample().with(|policy| policy.drops = u64::MAX);
    sample.settings.flags = flag::PANIC;
    let mut desk = Desk::empty();
    let verdict = judge([0_u8; 3].as_slice(), &mut desk, &sample.rules(), &Twin::new(), NOW);
    assert_eq!((verdict.action, verdict.reason()), (Action::Pass, Reason::PanicPass));
}

/// Closed, with TCP 443 served and answers to datagrams valid for a second.
fn closed() -> (Twin, crate::twin::Sample) {
    let mut twin = Twin::new();
    twin.put_port(PortSet::Tcp, 443);
    twin.put_port(PortSet::Udp, 53);
    twin.put_port(PortSet::Amplifiers, 123);
    let sample = sample().with(|policy| {
        policy.closed = 1;
        policy.flow_ns = 1_000_000_000;
    });
    (twin, sample)
}

/// A datagram between this host and a peer, on its way out or in.
fn datagram(out: bool, local_port: u16, remote_port: u16) -> Packet {
    let (local, remote) =
        (Packet::of(Source::V4([203, 0, 113, 1])).from, from(Source::V4(V4)).from);
    let (from, to) = if out { (local, remote) } else { (remote, local) };
    let (source_port, destination_port) =
        if out { (local_port, remote_port) } else { (remote_port, local_port) };
    let (family, version, protocol) = (4, 4, 17);
    Packet {
        from,
        to,
        family,
        version,
        protocol,
        source_port,
        destination_port,
        ..Packet::unknown()
    }
}

#[test]
fn an_answer_passes_for_as_long_as_the_host_asked_lately() {
    let (twin, sample) = closed();
    let judge = |at| decide(&datagram(false, 5000, 5353), &sample.rules(), &twin, at).reason();
    assert_eq!(judge(NOW), Reason::PortClosed);
    depart(&datagram(true, 5000, 5353), &sample.rules(), &twin, NOW);
    assert_eq!(judge(NOW), Reason::ReturnTraffic);
    assert_eq!(judge(NOW + 1_000_000_000), Reason::ReturnTraffic);
    assert_eq!(judge(NOW + 1_000_000_001), Reason::PortClosed, "answers do not keep it alive");
    depart(&datagram(true, 5000, 5353), &sample.rules(), &twin, NOW + 900_000_000);
    assert_eq!(judge(NOW + 1_800_000_000), Reason::ReturnTraffic);
    let other = decide(&datagram(false, 5001, 5353), &sample.rules(), &twin, NOW).reason();
    assert_eq!(other, Reason::PortClosed);
}

#[test]
fn what_a_served_port_sends_is_no_question() {
    let (twin, sample) = closed();
    depart(&datagram(true, 53, 5000), &sample.rules(), &twin, NOW);
    assert!(twin.flows.borrow().is_empty());
}

#[test]
fn only_what_a_socket_vouches_for_enters_the_cache() {
    let (mut twin, sample) = closed();
    for port in 0..100 {
        decide(&datagram(false, port, 5353), &sample.rules(), &twin, NOW);
    }
    assert!(twin.flows.borrow().is_empty());
    let answer = datagram(false, 5000, 5353);
    let (remote, local) = (answer.from, answer.to);
    twin.sockets.push(FlowKey {
        remote,
        local,
        remote_port: 5353,
        local_port: 5000,
        protocol: 17,
        version: 4,
        zero: 0,
    });
    assert_eq!(decide(&answer, &sample.rules(), &twin, NOW).reason(), Reason::ReturnTraffic);
    assert_eq!(twin.flows.borrow().len(), 1);
}

#[test]
fn amplified_answers_are_dropped_unless_asked_for_under_both_policies() {
    let (twin, sample) = closed();
    for closed in [0, 1] {
        let sample = sample.with(|policy| {
            policy.closed = closed;
            policy.drops = 1 << Reason::UdpAmplification.number();
        });
        let judge = |packet| decide(&packet, &sample.rules(), &twin, NOW).reason();
        assert_eq!(judge(datagram(false, 5000, 123)), Reason::UdpAmplification);
        assert_eq!(judge(datagram(false, 53, 123)), Reason::Passed, "the port is served");
        depart(&datagram(true, 6000, 123), &sample.rules(), &twin, NOW);
        let asked = if closed == 1 { Reason::ReturnTraffic } else { Reason::Passed };
        assert_eq!(judge(datagram(false, 6000, 123)), asked);
    }
}
