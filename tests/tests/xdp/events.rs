//! What a sampled drop tells of its packet, in every framing; the headers' end as etherparse finds
//! it, an independent hand.

use std::net::IpAddr;

use etherparse::{SlicedPacket, TransportSlice};
use gateway_common::{Reason, event::SNIPPET};
use gateway_userspace::guard::kernel::{DropEvent, PacketFilter as _, Transport};
use ipnet::IpNet;

use super::{
    fixture::{DROP, Fixture, config, forever, is_possible},
    frames::{Sample, V4, V6, samples, udp4},
};

/// The one event of a frame from a banned host.
fn event_of(fixture: &mut Fixture, frame: &[u8]) -> DropEvent {
    assert_eq!(fixture.filter.test_run(frame, 1).unwrap().0, DROP);
    let event = fixture.filter.next_event().expect("sampled");
    assert_eq!(fixture.filter.next_event(), None);
    event
}

fn banned() -> Fixture {
    let mut config = config();
    config.events = 100_000;
    let mut fixture = Fixture::with(&config);
    for address in [IpAddr::from(V4), IpAddr::from(V6)] {
        fixture.filter.put_ban(IpNet::from(address), &forever()).unwrap();
    }
    fixture
}

/// Where the headers end; `None` where etherparse cannot tell.
fn end_of_headers(sample: &Sample) -> Option<usize> {
    if sample.finding == Some(Reason::ExtensionDepth) {
        // It goes on where we give up.
        return None;
    }
    let sliced = SlicedPacket::from_ethernet(&sample.bytes).ok()?;
    let carried = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => tcp.payload().len(),
        Some(TransportSlice::Udp(udp)) => udp.payload().len(),
        Some(TransportSlice::Icmpv4(icmp)) => icmp.payload().len(),
        Some(TransportSlice::Icmpv6(icmp)) => icmp.payload().len(),
        None | Some(TransportSlice::Igmp(_)) => sliced.ip_payload()?.payload.len(),
    };
    // It does not look into first fragments; we do.
    let transport = match &sliced.transport {
        None if sample.finding == Some(Reason::FirstFragment) && sample.name.ends_with("tcp") => 28,
        None if sample.finding == Some(Reason::FirstFragment) => 8,
        None | Some(_) => 0,
    };
    Some(sample.bytes.len() - carried + transport)
}

#[test]
fn an_event_has_the_first_bytes_and_ends_its_headers_where_they_end() {
    if !is_possible("xdp::events::an_event_has_the_first_bytes_and_ends_its_headers_where_they_end")
    {
        return;
    }
    let mut fixture = banned();
    let mut compared = 0;
    for sample in samples() {
        let event = event_of(&mut fixture, &sample.bytes);
        let shown = sample.bytes.len().min(SNIPPET);
        assert_eq!(event.snippet.first(usize::MAX), &sample.bytes[..shown], "{}", sample.name);
        assert_eq!(event.frame_length as usize, sample.bytes.len(), "{}", sample.name);
        if let Some(end) = end_of_headers(&sample) {
            compared += 1;
            assert_eq!(usize::from(event.header_length), end, "{}", sample.name);
        }
    }
    assert!(compared >= 60, "{compared} framings compared");
}

#[test]
fn an_event_of_any_length_is_as_long_as_its_frame_or_the_cap() {
    if !is_possible("xdp::events::an_event_of_any_length_is_as_long_as_its_frame_or_the_cap") {
        return;
    }
    let mut fixture = banned();
    for length in 14..200 {
        let mut frame = udp4(V4);
        frame.resize(length, 0x55);
        // Cut short it has another reason, or none to be dropped for; the filter drops findings.
        if fixture.filter.test_run(&frame, 1).unwrap().0 != DROP {
            continue;
        }
        let event = fixture.filter.next_event().expect("sampled");
        assert_eq!(event.snippet.first(usize::MAX), &frame[..length.min(SNIPPET)]);
        assert!(usize::from(event.header_length) <= length.min(42), "{event:?}");
    }
}

#[test]
fn icmp_is_told_by_type_and_code() {
    if !is_possible("xdp::events::icmp_is_told_by_type_and_code") {
        return;
    }
    let mut fixture = banned();
    let samples = samples();
    let echo = samples.iter().find(|sample| sample.name == "[] ipv4 icmp").unwrap();
    let event = event_of(&mut fixture, &echo.bytes);
    assert_eq!(event.transport, Transport::Icmp { kind: 8, code: 0 });
    assert_eq!((event.reason, event.source), (Reason::BanHost, Some(V4.into())));
    assert_eq!(event.destination, Some([198, 51, 100, 1].into()));
}

#[test]
fn what_is_not_sampled_is_counted() {
    if !is_possible("xdp::events::what_is_not_sampled_is_counted") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.filter.put_ban(IpNet::from(IpAddr::from(V4)), &forever()).unwrap();
    fixture.filter.test_run(&udp4(V4), 10_000).unwrap();
    let sampled = std::iter::from_fn(|| fixture.filter.next_event()).count();
    let untold = fixture.filter.untold().unwrap();
    assert_eq!(untold.unsampled + sampled as u64, 10_000);
    assert_eq!(untold.lost, 0);
}

#[test]
fn a_full_ring_costs_events_and_they_are_counted() {
    if !is_possible("xdp::events::a_full_ring_costs_events_and_they_are_counted") {
        return;
    }
    let mut fixture = banned();
    let (action, _) = fixture.filter.test_run(&udp4(V4), 5_000).unwrap();
    assert_eq!(action, DROP);
    let sampled = std::iter::from_fn(|| fixture.filter.next_event()).count();
    let untold = fixture.filter.untold().unwrap();
    assert!(untold.lost > 0);
    assert_eq!(untold.lost + sampled as u64, 5_000);
}
