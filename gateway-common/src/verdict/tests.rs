use super::*;
use crate::{
    limit::Limit,
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
fn wide_ipv6_bans_are_found_by_the_flag() {
    let mut twin = Twin::new();
    twin.ban6([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 16, 0);
    let mut wide = sample();
    wide.settings.flags = flag::BAN6_WIDE;
    assert_eq!(
        decide(&from(Source::V6(V6)), &wide.rules(), &twin, NOW).reason(),
        Reason::BanPrefix
    );
}

#[test]
fn allow_comes_before_ban_and_has_one_limit_for_all() {
    let mut twin = Twin::new();
    twin.put_allow4([192, 0, 2, 0], 24);
    twin.ban4(V4, 32, 0);
    let sample = sample().with(|policy| policy.allow = Limit::new(1_000_000, 10));
    let sources = (0..12).map(|last| Source::V4([192, 0, 2, last]));
    let reasons: std::vec::Vec<Reason> =
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
    let reasons: std::vec::Vec<Reason> = (0..5)
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
fn shadow_passes_what_it_would_drop() {
    let mut twin = Twin::new();
    twin.ban4(V4, 32, 0);
    let mut shadow = sample();
    shadow.settings.shadow = 1 << Reason::BanHost.number();
    let verdict = decide(&from(Source::V4(V4)), &shadow.rules(), &twin, NOW);
    let expected = Verdict { action: Action::Pass, number: Reason::BanHost.number(), shadow: true };
    assert_eq!(verdict, expected);
}

#[test]
fn panic_passes_even_what_cannot_be_read() {
    let mut sample = sample().with(|policy| policy.drops = u64::MAX);
    sample.settings.flags = flag::PANIC;
    let mut desk = Desk::empty();
    let verdict = judge([0_u8; 3].as_slice(), &mut desk, &sample.rules(), &Twin::new(), NOW);
    assert_eq!((verdict.action, verdict.reason()), (Action::Pass, Reason::PanicPass));
}
