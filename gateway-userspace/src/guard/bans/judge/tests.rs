use super::*;
use crate::{clock, guard::testing};

const WALL: Wall = Wall(1_800_000_000);
const FREE: Standing = Standing { protected: false, banned: false };

#[test]
fn bans_at_the_threshold_and_not_before() {
    let (mut judge, now) = (judge(), clock::now());
    for _ in 0..4 {
        assert!(matches!(
            judge.weigh(unknown("192.0.2.1"), FREE, now, WALL),
            Judgement::Noted { .. }
        ));
    }
    let Judgement::Ban(sentence) = judge.weigh(unknown("192.0.2.1"), FREE, now, WALL) else {
        panic!("five strikes of 20 reach a threshold of 100");
    };
    assert_eq!(sentence.net, "192.0.2.1/32".parse().unwrap());
    assert_eq!(sentence.ttl, Duration::from_mins(1));
    assert_eq!(sentence.reason, Reason::CredentialUnknown);
}

#[test]
fn slow_strikes_decay_and_never_ban() {
    let (mut judge, start) = (judge(), clock::now());
    for minute in 0..1000 {
        let now = start + Duration::from_secs(60 * minute);
        let judged = judge.weigh(unknown("192.0.2.1"), FREE, now, WALL);
        assert!(matches!(judged, Judgement::Noted { score } if score < 41.0));
    }
}

#[test]
fn each_relapse_doubles_the_term_up_to_the_longest_and_old_ones_are_forgotten() {
    let (mut judge, now) = (judge(), clock::now());
    let mut wall = WALL;
    for expected in [60, 120, 240, 480, 600, 600] {
        let sentence = sentence(&mut judge, now, wall);
        assert_eq!(sentence.ttl, Duration::from_secs(expected));
        wall = wall.plus(sentence.ttl);
    }
    let forgotten = wall.plus(Duration::from_secs(3601));
    assert_eq!(sentence(&mut judge, now, forgotten).ttl, Duration::from_mins(1));
}

#[test]
fn ipv6_sources_of_one_64_share_a_score() {
    let (mut judge, now) = (judge(), clock::now());
    let judged: Vec<_> = (1..=5)
        .map(|host| judge.weigh(unknown(&format!("2001:db8::{host}")), FREE, now, WALL))
        .collect();
    assert!(matches!(judged[4], Judgement::Ban(s) if s.net == "2001:db8::/64".parse().unwrap()));
}

#[test]
fn never_bans_who_may_be_a_bystander() {
    let now = clock::now();
    let behind = Strike { behind_proxy: true, ..unknown("192.0.2.1") };
    let protected = Standing { protected: true, ..FREE };
    let banned = Standing { banned: true, ..FREE };
    for (strike, standing, expected) in [
        (behind, FREE, Ignored::BehindProxy),
        (unknown("100.64.3.4"), FREE, Ignored::Shared),
        (unknown("192.0.2.1"), protected, Ignored::Protected),
        (unknown("192.0.2.1"), banned, Ignored::AlreadyBanned),
        (unknown("198.51.100.1"), FREE, Ignored::Trusted),
        (Strike { reason: 9999, ..unknown("192.0.2.1") }, FREE, Ignored::UnknownReason),
        (struck("192.0.2.1", Reason::Internal), FREE, Ignored::Weightless),
    ] {
        let mut judge = judge();
        judge.trust("198.51.100.1".parse().unwrap(), now);
        for _ in 0..20 {
            let judged = judge.weigh(strike, standing, now, WALL);
            assert_eq!(judged, Judgement::Ignored(expected));
        }
        assert_eq!(judge.ignored().collect::<Vec<_>>(), [(expected, 20)]);
    }
}

#[test]
fn trust_ends() {
    let (mut judge, now) = (judge(), clock::now());
    judge.trust("192.0.2.1".parse().unwrap(), now);
    let later = now + judge.settings.trust;
    assert!(matches!(
        judge.weigh(unknown("192.0.2.1"), FREE, later, WALL),
        Judgement::Noted { .. }
    ));
}

#[test]
fn a_proxy_gone_wild_bans_so_many_a_second_and_no_more() {
    let (mut judge, now) = (judge(), clock::now());
    let count = |judge: &mut Judge, now| {
        let strikes = (0..200_u8).flat_map(|last| (0..5).map(move |_| last));
        strikes
            .map(|last| judge.weigh(unknown(&format!("192.0.2.{last}")), FREE, now, WALL))
            .filter(|judged| matches!(judged, Judgement::Ban(_)))
            .count()
    };
    assert_eq!(count(&mut judge, now), 10);
    assert_eq!(count(&mut judge, now + Duration::from_secs(1)), 10);
}

#[test]
fn configured_weights_replace_the_default() {
    let mut settings = testing::config().bans;
    settings.weights = vec![(Reason::CredentialUnknown, 0), (Reason::RouteUnknown, 100)];
    let mut judge = Judge::new(&settings, &[], Offenders::default());
    let now = clock::now();
    let spared = judge.weigh(unknown("192.0.2.1"), FREE, now, WALL);
    assert_eq!(spared, Judgement::Ignored(Ignored::Weightless));
    let harsh = struck("192.0.2.1", Reason::RouteUnknown);
    assert!(matches!(judge.weigh(harsh, FREE, now, WALL), Judgement::Ban(_)));
}

fn judge() -> Judge {
    Judge::new(&testing::config().bans, &["100.64.0.0/10".parse().unwrap()], Offenders::default())
}

fn sentence(judge: &mut Judge, now: Instant, wall: Wall) -> Sentence {
    for _ in 0..5 {
        if let Judgement::Ban(sentence) = judge.weigh(unknown("192.0.2.1"), FREE, now, wall) {
            judge.sentenced(&sentence, wall);
            return sentence;
        }
    }
    panic!("no ban after five strikes of 20");
}

fn unknown(source: &str) -> Strike {
    struck(source, Reason::CredentialUnknown)
}

fn struck(source: &str, reason: Reason) -> Strike {
    Strike { source: source.parse().unwrap(), reason: reason.number(), behind_proxy: false }
}
