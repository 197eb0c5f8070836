use gateway_common::Reason;

use super::*;
use crate::{
    guard::{kernel::Transport, testing::drop_event},
    sampled::{self, from_hex},
};

fn watch(events: impl IntoIterator<Item = DropEvent>) -> Watch {
    let mut watch = Watch::default();
    for event in events {
        watch.saw(event, event.at_ns);
    }
    watch
}

fn number(at_ns: u64) -> DropEvent {
    DropEvent { at_ns, ..drop_event() }
}

fn times(drops: &[Sampled]) -> Vec<u64> {
    drops.iter().map(|drop| drop.at_ns).collect()
}

fn taken(watch: &Watch, asked: sampled::Filter) -> Vec<u64> {
    times(&watch.latest(&Filter::new(asked).unwrap(), usize::MAX, Bytes::Nothing))
}

#[test]
fn remembers_the_latest_in_their_order_and_a_bounded_number() {
    let watch = watch((0..5000).map(number));
    assert_eq!(times(&watch.latest(&Filter::default(), 3, Bytes::Nothing)), [4997, 4998, 4999]);
    assert_eq!(watch.latest(&Filter::default(), usize::MAX, Bytes::Nothing).len(), LATEST);
}

#[test]
fn all_of_a_filter_must_hold() {
    let other_source = Some("198.51.100.9".parse().unwrap());
    let tcp = Transport::Tcp { source: 443, destination: 40_000, flags: 2 };
    let watch = watch([
        number(0),
        DropEvent { reason: Reason::PacketLimit, ..number(1) },
        DropEvent { source: other_source, ..number(2) },
        DropEvent { source: None, ..number(3) },
        DropEvent { transport: tcp, ..number(4) },
        DropEvent { transport: Transport::Icmp { kind: 0, code: 53 }, ..number(5) },
        DropEvent { interface: u32::MAX, ..number(6) },
    ]);
    let any = sampled::Filter::default;
    let named = |name: &str| vec![name.to_owned()];
    assert_eq!(taken(&watch, any()), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(taken(&watch, sampled::Filter { reasons: named("packet_limit"), ..any() }), [1]);
    let net = Some("198.51.100.0/24".parse().unwrap());
    assert_eq!(taken(&watch, sampled::Filter { source: net, ..any() }), [2]);
    let mapped = Some("::ffff:198.51.100.0/120".parse().unwrap());
    assert_eq!(taken(&watch, sampled::Filter { source: mapped, ..any() }), [2]);
    assert_eq!(taken(&watch, sampled::Filter { port: Some(443), ..any() }), [4]);
    assert_eq!(taken(&watch, sampled::Filter { port: Some(53), ..any() }), [0, 1, 2, 3, 6]);
    let gone = sampled::Filter { interface: Some("#4294967295".to_owned()), ..any() };
    assert_eq!(taken(&watch, gone), [6]);
    let both = sampled::Filter { reasons: named("packet_limit"), source: net, ..any() };
    assert!(taken(&watch, both).is_empty());
}

#[test]
fn a_reason_that_drops_nothing_is_refused_by_name() {
    for name in ["passed", "route_unknown", "nonsense"] {
        let asked = sampled::Filter { reasons: vec![name.to_owned()], ..Default::default() };
        assert!(Filter::new(asked).unwrap_err().to_string().contains(name));
    }
}

#[test]
fn tells_no_byte_behind_the_headers_unless_asked() {
    let watch = watch([drop_event()]);
    let bytes = |bytes| {
        let drops = watch.latest(&Filter::default(), 1, bytes);
        from_hex(&drops[0].bytes).unwrap().len()
    };
    assert_eq!((bytes(Bytes::Nothing), bytes(Bytes::Headers), bytes(Bytes::Payload)), (0, 42, 50));
}

#[tokio::test]
async fn a_reader_that_is_stuck_loses_drops_and_nobody_waits_for_it() {
    let mut watch = Watch::default();
    let mut stuck = watch.follow(Filter::default(), Bytes::Nothing).unwrap();
    let mut quick = watch.follow(Filter::default(), Bytes::Nothing).unwrap();
    let mut read = Vec::new();
    for at_ns in 0..1000 {
        watch.saw(number(at_ns), at_ns);
        read.extend(times(&quick.next().await.unwrap().drops));
    }
    assert_eq!(read, (0..1000).collect::<Vec<_>>());
    assert_eq!(quick.nothing().lost, 0);

    let portion = stuck.next().await.unwrap();
    assert_eq!(portion.lost, 1000 - QUEUE as u64);
    assert_eq!(watch.lost(), portion.lost);
    assert_eq!(times(&portion.drops), (0..PORTION as u64).collect::<Vec<_>>());
}

#[test]
fn so_many_follow_and_no_more_until_one_hangs_up() {
    let mut watch = Watch::default();
    let follow = |watch: &mut Watch| watch.follow(Filter::default(), Bytes::Nothing);
    let mut held: Vec<_> = (0..SUBSCRIBERS).map(|_| follow(&mut watch).unwrap()).collect();
    assert!(follow(&mut watch).is_err());
    assert_eq!((watch.subscribers(), watch.refused()), (SUBSCRIBERS, 1));
    held.pop();
    assert_eq!(watch.subscribers(), SUBSCRIBERS - 1);
    held.push(follow(&mut watch).unwrap());
    drop(held);
    watch.saw(drop_event(), 1);
    assert_eq!((watch.lost(), watch.subscribers()), (0, 0));
}

#[test]
fn all_that_is_remembered_fits_a_line() {
    let reason = sampled::reasons().max_by_key(|reason| reason.name().len()).unwrap();
    let address = Some("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap());
    let watch = watch((0..LATEST).map(|_| DropEvent {
        reason,
        source: address,
        destination: address,
        snippet: crate::guard::kernel::Snippet::new(&[0xff; 200]),
        frame_length: u32::MAX,
        ..number(u64::MAX)
    }));
    let drops = watch.latest(&Filter::default(), usize::MAX, Bytes::Payload);
    let answer = crate::control::Response::Events(Portion { drops, lost: u64::MAX });
    let line = serde_json::to_vec(&answer).unwrap();
    assert!(line.len() < crate::control::LINE_BYTES / 2, "{} bytes", line.len());
}
