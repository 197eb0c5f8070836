//! Every framing × every row of the policy.

use std::net::IpAddr;

use gateway_common::{Reason, packet};
use gateway_userspace::{
    config::model::{Answer, Mode},
    guard::kernel::PacketFilter as _,
};
use ipnet::IpNet;

use super::{
    fixture::{DROP, Fixture, PASS, config, forever, is_possible, rows},
    frames::{Sample, V4, V6, samples},
};

/// What the answer to a finding makes of it.
fn expect_all(fixture: &Fixture, expected: impl Fn(&Sample) -> (u32, Reason)) {
    for sample in samples() {
        assert_eq!(fixture.judge(&sample.bytes), expected(&sample), "{}", sample.name);
    }
}

fn whole(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn around(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 20 } else { 40 };
    IpNet::new(address, length).unwrap().trunc()
}

const BOTH: [IpAddr; 2] = [IpAddr::V4(V4), IpAddr::V6(V6)];

#[test]
fn good_packets_pass_and_findings_are_dropped() {
    if !is_possible("xdp::framing::good_packets_pass_and_findings_are_dropped") {
        return;
    }
    let action = |sample: &Sample| if sample.finding.is_some() { DROP } else { PASS };
    expect_all(&Fixture::new(), |sample| (action(sample), sample.passed()));
}

#[test]
fn findings_pass_where_the_answer_is_pass_and_are_counted() {
    if !is_possible("xdp::framing::findings_pass_where_the_answer_is_pass_and_are_counted") {
        return;
    }
    let mut config = config();
    config.answers = rows(Answer::Pass);
    expect_all(&Fixture::with(&config), |sample| (PASS, sample.passed()));
}

#[test]
fn a_banned_host_is_dropped_in_every_framing() {
    if !is_possible("xdp::framing::a_banned_host_is_dropped_in_every_framing") {
        return;
    }
    let mut fixture = Fixture::new();
    for address in BOTH {
        fixture.filter.put_ban(whole(address), &forever()).unwrap();
    }
    expect_all(&fixture, |_| (DROP, Reason::BanHost));
}

#[test]
fn a_banned_prefix_is_dropped_in_every_framing() {
    if !is_possible("xdp::framing::a_banned_prefix_is_dropped_in_every_framing") {
        return;
    }
    let mut fixture = Fixture::new();
    for address in BOTH {
        fixture.filter.put_ban(around(address), &forever()).unwrap();
    }
    expect_all(&fixture, |_| (DROP, Reason::BanPrefix));
}

#[test]
fn allow_wins_over_ban_and_finding_in_every_framing() {
    if !is_possible("xdp::framing::allow_wins_over_ban_and_finding_in_every_framing") {
        return;
    }
    let mut fixture = Fixture::new();
    for address in BOTH {
        fixture.filter.put_ban(whole(address), &forever()).unwrap();
        fixture.filter.put_allow(around(address)).unwrap();
    }
    expect_all(&fixture, |_| (PASS, Reason::Allowed));
}

#[test]
fn shadow_counts_and_drops_nothing_in_every_framing() {
    if !is_possible("xdp::framing::shadow_counts_and_drops_nothing_in_every_framing") {
        return;
    }
    let mut config = config();
    config.mode = Mode::Shadow;
    let mut fixture = Fixture::with(&config);
    expect_all(&fixture, |sample| (PASS, sample.passed()));
    for address in BOTH {
        fixture.filter.put_ban(whole(address), &forever()).unwrap();
    }
    expect_all(&fixture, |_| (PASS, Reason::BanHost));
    let counters = fixture.filter.counters().unwrap();
    let banned = counters.iter().find(|count| count.reason == Reason::BanHost.number()).unwrap();
    assert_eq!(banned.shadow_packets, banned.packets);
    assert_eq!(fixture.filter.status().mode, "shadow");
}

#[test]
fn panic_passes_everything_until_it_is_taken_back() {
    if !is_possible("xdp::framing::panic_passes_everything_until_it_is_taken_back") {
        return;
    }
    let mut fixture = Fixture::new();
    for address in BOTH {
        fixture.filter.put_ban(whole(address), &forever()).unwrap();
    }
    fixture.filter.set_panic(true).unwrap();
    expect_all(&fixture, |_| (PASS, Reason::PanicPass));
    assert_eq!(fixture.filter.status().mode, "panic pass");
    fixture.filter.set_panic(false).unwrap();
    expect_all(&fixture, |_| (DROP, Reason::BanHost));
}

/// The kernel and the host run one source; here it is seen that the verifier's and the compiler's
/// hands changed nothing, at any cut of any frame.
#[test]
fn every_cut_of_every_frame_has_the_host_parsers_finding() {
    if !is_possible("xdp::framing::every_cut_of_every_frame_has_the_host_parsers_finding") {
        return;
    }
    let fixture = Fixture::new();
    for sample in samples() {
        for length in (14..sample.bytes.len()).step_by(3) {
            let cut = &sample.bytes[..length];
            let finding = packet::parse(cut).findings.first();
            assert!(finding.is_some(), "{} cut at {length} is no whole packet", sample.name);
            assert_eq!(fixture.judge(cut), (DROP, finding.unwrap()), "{} at {length}", sample.name);
        }
    }
}

#[test]
fn a_ban_meets_every_cut_that_still_shows_the_source() {
    if !is_possible("xdp::framing::a_ban_meets_every_cut_that_still_shows_the_source") {
        return;
    }
    let mut fixture = Fixture::new();
    for address in BOTH {
        fixture.filter.put_ban(whole(address), &forever()).unwrap();
    }
    for sample in samples().iter().step_by(5) {
        for length in 14..sample.bytes.len() {
            let cut = &sample.bytes[..length];
            let expected = match packet::parse(cut).source() {
                packet::Source::Unknown => packet::parse(cut).findings.first().unwrap(),
                packet::Source::V4(_) | packet::Source::V6(_) => Reason::BanHost,
            };
            assert_eq!(fixture.judge(cut), (DROP, expected), "{} at {length}", sample.name);
        }
    }
}

#[test]
fn frames_without_a_source_are_answered() {
    if !is_possible("xdp::framing::frames_without_a_source_are_answered") {
        return;
    }
    let fixture = Fixture::new();
    let frame = |tags: &[u8], ether_type: [u8; 2]| {
        let mut bytes = vec![2; 12];
        bytes.extend(tags);
        bytes.extend(ether_type);
        bytes.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        bytes.resize(64, 0);
        bytes
    };
    let tag = [0x81, 0, 0, 7];
    let three = [tag, tag, tag].concat();
    let cases = [
        (frame(&[], [8, 6]), (PASS, Reason::Arp)),
        (frame(&tag, [8, 6]), (PASS, Reason::Arp)),
        (frame(&[], [0, 38]), (DROP, Reason::EtherTypeUnknown)),
        (frame(&three, [8, 0]), (DROP, Reason::VlanDepth)),
        (frame(&[], [8, 0]), (DROP, Reason::Ipv4Malformed)),
        (frame(&[], [0x86, 0xdd]), (DROP, Reason::Ipv6Malformed)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(fixture.judge(&bytes), expected);
    }
}
