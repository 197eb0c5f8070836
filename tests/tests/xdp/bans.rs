//! Bans and their ends, bounds, bulk and events.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use gateway_common::Reason;
use gateway_userspace::guard::kernel::{
    BanSource, Filter, KernelBan, KernelError, PacketFilter as _, Transport,
};
use ipnet::IpNet;

use super::{
    fixture::{DROP, Fixture, PASS, config, forever, is_possible},
    frames::{V4, V6, udp4, udp6},
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn lasting(left: Duration) -> KernelBan {
    KernelBan { left: Some(left), reason: Reason::CredentialUnknown, source: BanSource::Strike }
}

/// Judges until the verdict changes to this one; the kernel's clock moves by ticks.
fn await_verdict(fixture: &Fixture, frame: &[u8], wanted: (u32, Reason)) -> bool {
    (0..200_000).any(|_| fixture.judge(frame) == wanted)
}

#[test]
fn a_ban_ends_by_itself_and_not_before() {
    if !is_possible("xdp::bans::a_ban_ends_by_itself_and_not_before") {
        return;
    }
    let mut fixture = Fixture::new();
    let frame = udp4(V4);
    let start = gateway_userspace::clock::monotonic_ns();
    fixture.filter.put_ban(net("192.0.2.77/32"), &lasting(Duration::from_millis(300))).unwrap();
    assert_eq!(fixture.judge(&frame), (DROP, Reason::BanHost));
    assert!(await_verdict(&fixture, &frame, (PASS, Reason::Passed)));
    let lasted = Duration::from_nanos(gateway_userspace::clock::monotonic_ns() - start);
    assert!(lasted > Duration::from_millis(290) && lasted < Duration::from_secs(3), "{lasted:?}");
    assert!(fixture.filter.remove_ban(net("192.0.2.77/32")).unwrap(), "it is still to be removed");
}

#[test]
fn a_short_ban_inside_a_long_one_hides_nothing_when_it_ends() {
    if !is_possible("xdp::bans::a_short_ban_inside_a_long_one_hides_nothing_when_it_ends") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.filter.put_ban(net("192.0.0.0/16"), &forever()).unwrap();
    fixture.filter.put_ban(net("192.0.2.0/24"), &lasting(Duration::from_nanos(1))).unwrap();
    fixture.filter.put_ban(net("192.0.2.77/32"), &lasting(Duration::from_nanos(1))).unwrap();
    let frame = udp4(V4);
    for _ in 0..2000 {
        assert_eq!(fixture.judge(&frame).0, DROP);
    }
    assert_eq!(fixture.judge(&frame), (DROP, Reason::BanPrefix));
    assert!(fixture.filter.ban_hits(net("192.0.0.0/16")).unwrap() > 0);
}

#[test]
fn hits_are_of_exactly_the_ban_that_was_met() {
    if !is_possible("xdp::bans::hits_are_of_exactly_the_ban_that_was_met") {
        return;
    }
    let mut fixture = Fixture::new();
    for text in ["192.0.2.77/32", "192.0.2.0/24", "2001:db8:1:2::/64", "2001::/16"] {
        fixture.filter.put_ban(net(text), &forever()).unwrap();
    }
    fixture.send(&udp4(V4), 5);
    fixture.send(&udp4(Ipv4Addr::new(192, 0, 2, 1)), 3);
    fixture.send(&udp6(V6), 4);
    let hits = |text| fixture.filter.ban_hits(net(text)).unwrap();
    assert_eq!(hits("192.0.2.77/32"), 5);
    assert_eq!(hits("192.0.2.0/24"), 3);
    assert_eq!(hits("2001:db8:1:2::/64"), 4);
    assert_eq!(hits("2001::/16"), 0);
    assert_eq!(hits("2001:db8::/32"), 0, "there is no such ban");
}

#[test]
fn wide_ipv6_prefixes_are_found_and_forgotten() {
    if !is_possible("xdp::bans::wide_ipv6_prefixes_are_found_and_forgotten") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.filter.put_ban(net("2001:db8::/32"), &forever()).unwrap();
    assert_eq!(fixture.judge(&udp6(V6)), (DROP, Reason::BanPrefix));
    assert!(fixture.filter.remove_ban(net("2001:db8::/32")).unwrap());
    assert!(!fixture.filter.remove_ban(net("2001:db8::/32")).unwrap());
    assert_eq!(fixture.judge(&udp6(V6)), (PASS, Reason::Passed));
}

#[test]
fn a_ban_of_a_mapped_address_is_one_of_its_ipv4() {
    if !is_possible("xdp::bans::a_ban_of_a_mapped_address_is_one_of_its_ipv4") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.filter.put_ban(net("::ffff:192.0.2.77/128"), &forever()).unwrap();
    assert_eq!(fixture.judge(&udp4(V4)), (DROP, Reason::BanHost));
    assert_eq!(fixture.judge(&udp6(V4.to_ipv6_mapped())), (DROP, Reason::BanHost));
    assert!(fixture.filter.remove_ban(net("192.0.2.77/32")).unwrap());
    assert_eq!(fixture.judge(&udp4(V4)), (PASS, Reason::Passed));
}

#[test]
fn too_wide_and_too_many_are_refused_and_old_bans_stay() {
    if !is_possible("xdp::bans::too_wide_and_too_many_are_refused_and_old_bans_stay") {
        return;
    }
    let mut fixture = Fixture::new();
    for text in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/15"] {
        let refused = fixture.filter.put_ban(net(text), &forever());
        assert!(matches!(refused, Err(KernelError::TooWide { .. })), "{text}");
    }
    let host = |last: u8| IpNet::from(IpAddr::from([10, 0, 0, last]));
    for last in 0..64 {
        fixture.filter.put_ban(host(last), &forever()).unwrap();
    }
    let refused = fixture.filter.put_ban(host(64), &forever()).unwrap_err();
    assert!(matches!(refused, KernelError::Full { capacity: 64, key: "dynamic", .. }), "{refused}");
    fixture.filter.put_ban(host(3), &lasting(Duration::from_mins(1))).unwrap();
    for last in 0..64 {
        let frame = udp4(Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(fixture.judge(&frame), (DROP, Reason::BanHost), "{last}");
    }
    let site = |number: u16| net(&format!("2001:db8:{number:x}::/47"));
    for number in 0..64 {
        fixture.filter.put_ban(site(2 * number), &forever()).unwrap();
    }
    let refused = fixture.filter.put_ban(site(128), &forever()).unwrap_err();
    assert!(matches!(refused, KernelError::Full { key: "dynamic", .. }), "{refused}");
}

#[test]
fn reconciling_leaves_exactly_what_is_wanted() {
    if !is_possible("xdp::bans::reconciling_leaves_exactly_what_is_wanted") {
        return;
    }
    let mut fixture = Fixture::new();
    for text in ["192.0.2.77/32", "10.0.0.0/9", "2001:db8::/32", "2001:db8:1:2::9/128"] {
        fixture.filter.put_ban(net(text), &forever()).unwrap();
    }
    fixture.judge(&udp4(V4));
    let wanted: Vec<(IpNet, KernelBan)> =
        ["192.0.2.77/32", "198.51.100.0/24", "2001:db8:1::/48", "172.16.0.1/32"]
            .map(|text| (net(text), forever()))
            .to_vec();
    let result = fixture.filter.reconcile(&wanted, &[net("203.0.113.0/24")]).unwrap();
    assert_eq!((result.added, result.removed, result.kept), (3, 3, 1));
    assert_eq!(fixture.filter.ban_hits(net("192.0.2.77/32")).unwrap(), 1, "hits stay");
    let verdict = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(address) => fixture.judge(&udp4(address)),
        IpAddr::V6(address) => fixture.judge(&udp6(address)),
    };
    assert_eq!(verdict("192.0.2.77"), (DROP, Reason::BanHost));
    assert_eq!(verdict("198.51.100.200"), (DROP, Reason::BanPrefix));
    assert_eq!(verdict("2001:db8:1:2::9"), (DROP, Reason::BanPrefix));
    assert_eq!(verdict("10.1.2.3"), (PASS, Reason::Passed));
    assert_eq!(verdict("2001:db8:2::1"), (PASS, Reason::Passed));
    assert_eq!(verdict("203.0.113.9"), (PASS, Reason::Allowed));
}

#[test]
fn bulk_holds_its_count() {
    if !is_possible("xdp::bans::bulk_holds_its_count") {
        return;
    }
    let mut config = config();
    config.capacity.dynamic = 100_000;
    let mut fixture = Fixture::with(&config);
    let hosts =
        (0..50_000_u32).map(|i| IpNet::from(IpAddr::from((0x0a00_0000 + i * 7).to_be_bytes())));
    let prefixes = (0..10_000_u32).map(|i| {
        let [_, a, b, c] = i.to_be_bytes();
        net(&format!("2001:{a:x}{b:02x}:{c:x}::/48"))
    });
    let wanted: Vec<_> = hosts.chain(prefixes).map(|net| (net, forever())).collect();
    let added = fixture.filter.reconcile(&wanted, &[]).unwrap().added;
    assert_eq!(added, 60_000);
    let again = fixture.filter.reconcile(&wanted, &[]).unwrap();
    assert_eq!((again.added, again.removed, again.kept), (0, 0, 60_000));
    let status = fixture.filter.status();
    let used: u64 = status
        .maps
        .iter()
        .filter(|map| ["ban4", "ban6"].contains(&&*map.name))
        .map(|map| map.used)
        .sum();
    assert_eq!(used, 60_000);
    assert_eq!(fixture.filter.reconcile(&[], &[]).unwrap().removed, 60_000);
    assert_eq!(fixture.judge(&udp4(Ipv4Addr::new(10, 0, 0, 7))), (PASS, Reason::Passed));
}

#[test]
fn drops_are_sampled_within_their_budget() {
    if !is_possible("xdp::bans::drops_are_sampled_within_their_budget") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.filter.put_ban(net("192.0.2.77/32"), &forever()).unwrap();
    let before = gateway_userspace::clock::monotonic_ns();
    fixture.filter.test_run(&udp4(V4), 100_000).unwrap();
    let events: Vec<_> = std::iter::from_fn(|| fixture.filter.next_event()).collect();
    // Ten a second and CPU; the run may have moved between CPUs or seconds.
    assert!((10..=40).contains(&events.len()), "{} events", events.len());
    let event = events.first().unwrap();
    assert_eq!((event.reason, event.source), (Reason::BanHost, Some(V4.into())));
    let ports = Transport::Udp { source: 40_000, destination: 53 };
    assert_eq!((event.protocol, event.transport, event.shadow), (17, ports, false));
    assert!(event.at_ns >= before && event.at_ns <= gateway_userspace::clock::monotonic_ns());
}

#[test]
fn errors_say_what_to_do() {
    if !is_possible("xdp::bans::errors_say_what_to_do") {
        return;
    }
    let mut elsewhere = config();
    elsewhere.pins = "/tmp/gateway-no-bpffs".into();
    let refused = Filter::open(&elsewhere).unwrap_err();
    assert!(matches!(refused, KernelError::NoBpffs { .. }), "{refused}");
    let mut missing = config();
    missing.interfaces = vec!["no-such-if0".to_owned()];
    let refused = Filter::open(&missing).unwrap_err();
    assert!(matches!(refused, KernelError::NoInterface { .. }), "{refused}");
    let mut short = config();
    short.packets = Some(super::fixture::rate(100_000, 10));
    let refused = Filter::open(&short).unwrap_err();
    assert!(matches!(refused, KernelError::Burst { key: "packets", .. }), "{refused}");
    drop(std::fs::remove_dir_all(&short.pins));
}

#[test]
fn what_is_not_ours_is_refused_by_name_and_left_alone() {
    if !is_possible("xdp::bans::what_is_not_ours_is_refused_by_name_and_left_alone") {
        return;
    }
    let config = config();
    std::fs::create_dir_all(config.pins.join("somebody")).unwrap();
    let refused = Filter::open(&config).unwrap_err();
    assert!(refused.to_string().contains("somebody"), "{refused}");
    assert!(config.pins.join("somebody").exists());
    std::fs::remove_dir_all(&config.pins).unwrap();
}
