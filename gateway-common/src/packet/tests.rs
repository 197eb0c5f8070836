use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const V6_SOURCE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9];

fn frame(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [0; 12].to_vec();
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

fn ipv4(options: usize, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header_length = 20 + options * 4;
    let total = u16::try_from(header_length + payload.len()).unwrap();
    let mut packet = [0; 20].to_vec();
    packet[0] = 0x40 | u8::try_from(header_length / 4).unwrap();
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&[192, 0, 2, 1]);
    packet.resize(header_length, 1);
    packet.extend(payload);
    packet
}

fn ipv6(source: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = [0; 40].to_vec();
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet[6] = next;
    packet[8..24].copy_from_slice(&source);
    packet.extend(payload);
    packet
}

fn udp(port: u16) -> Vec<u8> {
    let mut header = [0; 8].to_vec();
    header[0] = 200;
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header[5] = 8;
    header
}

fn tcp(port: u16, words: u8) -> Vec<u8> {
    let mut header = [0; 20].to_vec();
    header[0] = 200;
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header[12] = words << 4;
    header[13] = 0x10;
    header
}

fn finding(frame: &[u8]) -> Option<Reason> {
    parse(frame).findings.first()
}

#[test]
fn reads_udp_through_two_tags_of_any_kind() {
    let packet = ipv4(0, 0, 17, &udp(53));
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100], &[0x9100, 0x88a8]] {
        let parsed = parse(frame(tags, eth::IPV4, &packet).as_slice());
        assert_eq!(parsed.source(), Source::V4([192, 0, 2, 1]), "{tags:?}");
        assert_eq!((parsed.destination_port, parsed.findings.first()), (53, None), "{tags:?}");
    }
    let three = frame(&[0x88a8, 0x8100, 0x8100], eth::IPV4, &packet);
    assert_eq!(finding(&three), Some(Reason::VlanDepth));
    assert_eq!(finding(&three[..16]), Some(Reason::VlanDepth));
}

#[test]
fn skips_ipv4_options_and_refuses_impossible_lengths() {
    let options = frame(&[], eth::IPV4, &ipv4(10, 0, 6, &tcp(443, 5)));
    assert_eq!(parse(options.as_slice()).destination_port, 443);
    let mut short_header = options.clone();
    short_header[14] = 0x44;
    let mut long_total = options.clone();
    long_total[16] = 9;
    let mut small_total = options;
    small_total[16..18].copy_from_slice(&[0, 30]);
    for broken in [short_header, long_total, small_total] {
        let parsed = parse(broken.as_slice());
        assert_eq!(parsed.findings.first(), Some(Reason::Ipv4Malformed));
        assert_eq!(parsed.source(), Source::V4([192, 0, 2, 1]), "a ban still meets it");
    }
}

#[test]
fn reads_the_source_of_a_header_cut_behind_it() {
    let whole = frame(&[], eth::IPV4, &ipv4(0, 0, 17, &udp(53)));
    assert_eq!(parse(&whole[..30]).source(), Source::V4([192, 0, 2, 1]));
    assert_eq!(parse(&whole[..29]).source(), Source::Unknown);
    let whole = frame(&[], eth::IPV6, &ipv6(V6_SOURCE, 17, &udp(53)));
    assert_eq!(parse(&whole[..38]).source(), Source::V6(V6_SOURCE));
    assert_eq!(parse(&whole[..37]).source(), Source::Unknown);
    for length in 14..54 {
        assert_eq!(finding(&whole[..length]), Some(Reason::Ipv6Malformed));
    }
}

#[test]
fn never_reads_ports_out_of_a_later_fragment() {
    let later = parse(frame(&[], eth::IPV4, &ipv4(0, 1, 17, &udp(53))).as_slice());
    assert_eq!((later.destination_port, later.findings.first()), (0, Some(Reason::LaterFragment)));
    let first = parse(frame(&[], eth::IPV4, &ipv4(0, 0x2000, 17, &udp(53))).as_slice());
    assert_eq!((first.destination_port, first.findings), (53, Findings::of(Reason::FirstFragment)));
    let tiny = frame(&[], eth::IPV4, &ipv4(0, 0x2000, 6, &[0; 8]));
    assert_eq!(finding(&tiny), Some(Reason::TransportMalformed));
}

fn fragment_header(next: u8, bits: u16) -> Vec<u8> {
    let [high, low] = bits.to_be_bytes();
    [next, 0, high, low, 0, 0, 0, 1].to_vec()
}

#[test]
fn walks_every_extension_header_by_its_own_length() {
    let mut chain = Vec::new();
    // Hop-by-hop of 8, routing of 24, authentication of 24 (in fours), destination of 16.
    chain.extend([43, 0, 1, 4, 0, 0, 0, 0]);
    chain.extend([51, 2, 4]);
    chain.extend([0; 21]);
    chain.extend([60, 4]);
    chain.extend([0; 22]);
    chain.extend([44, 1]);
    chain.extend([0; 14]);
    chain.extend(fragment_header(17, 0));
    chain.extend(udp(5353));
    let parsed = parse(frame(&[0x8100], eth::IPV6, &ipv6(V6_SOURCE, 0, &chain)).as_slice());
    assert_eq!(parsed.source(), Source::V6(V6_SOURCE));
    assert_eq!(
        (parsed.protocol, parsed.destination_port, parsed.findings.first()),
        (17, 5353, None)
    );
}

/// Of eight bytes it would end inside its own fields, and what follows be read out of them.
#[test]
fn an_authentication_header_has_at_least_its_fixed_fields() {
    for (length, expected) in [(0, Some(Reason::ExtensionMalformed)), (1, None)] {
        let rest = &[0; 10][..usize::from(length) * 4 + 6];
        let header = [&[17, length], rest].concat();
        let payload = [header, udp(53)].concat();
        let parsed = parse(frame(&[], eth::IPV6, &ipv6(V6_SOURCE, 51, &payload)).as_slice());
        assert_eq!(parsed.findings.first(), expected, "{length}");
        assert_eq!(parsed.source(), Source::V6(V6_SOURCE));
    }
}

#[test]
fn tells_ipv6_fragments_apart() {
    for (bits, expected) in [
        (0, (53, None)),
        (1, (53, Some(Reason::FirstFragment))),
        (8, (0, Some(Reason::LaterFragment))),
    ] {
        let payload = [fragment_header(17, bits), udp(53)].concat();
        let parsed = parse(frame(&[], eth::IPV6, &ipv6(V6_SOURCE, 44, &payload)).as_slice());
        assert_eq!((parsed.destination_port, parsed.findings.first()), expected, "{bits}");
    }
}

fn destination_options(count: usize, last: u8) -> Vec<u8> {
    let mut chain = Vec::new();
    for header in 0..count {
        chain.extend([if header + 1 == count { last } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
    }
    chain
}

#[test]
fn bounds_the_walk() {
    for (count, expected) in [(8, None), (9, Some(Reason::ExtensionDepth))] {
        let payload = [destination_options(count, 17), udp(53)].concat();
        let parsed = parse(frame(&[], eth::IPV6, &ipv6(V6_SOURCE, 60, &payload)).as_slice());
        assert_eq!(parsed.findings.first(), expected, "{count} headers");
        assert_eq!(parsed.source(), Source::V6(V6_SOURCE));
    }
}

#[test]
fn refuses_broken_chains() {
    let late_hop_by_hop = [destination_options(1, 0), destination_options(1, 17), udp(53)].concat();
    let too_long = [60, 9, 0, 0, 0, 0, 0, 0].to_vec();
    for payload in [late_hop_by_hop, too_long, [17, 0, 0].to_vec()] {
        let frame = frame(&[], eth::IPV6, &ipv6(V6_SOURCE, 60, &payload));
        assert_eq!(finding(&frame), Some(Reason::ExtensionMalformed));
    }
}

#[test]
fn ends_the_walk_where_nothing_is_left_to_read() {
    for next in [50, 59, 41, 47] {
        let frame = frame(&[], eth::IPV6, &ipv6(V6_SOURCE, next, &[]));
        assert_eq!(finding(&frame), None, "{next}");
    }
}

#[test]
fn a_mapped_source_is_its_ipv4() {
    let mut mapped = [0; 16];
    mapped[10..12].copy_from_slice(&[0xff, 0xff]);
    mapped[12..].copy_from_slice(&[192, 0, 2, 1]);
    let parsed = parse(frame(&[], eth::IPV6, &ipv6(mapped, 17, &udp(53))).as_slice());
    assert_eq!(parsed.source(), Source::V4([192, 0, 2, 1]));
}

#[test]
fn refuses_transport_headers_that_do_not_fit() {
    let mut long_udp = udp(53);
    long_udp[5] = 9;
    let mut short_udp = udp(53);
    short_udp[5] = 7;
    let cases: [(u8, Vec<u8>); 8] = [
        (17, long_udp),
        (17, short_udp),
        (17, udp(53)[..7].to_vec()),
        (6, tcp(80, 4)),
        (6, tcp(80, 6)),
        (6, tcp(80, 5)[..19].to_vec()),
        (1, [8; 7].to_vec()),
        (58, [128; 7].to_vec()),
    ];
    for (protocol, payload) in cases {
        let frame = frame(&[], eth::IPV4, &ipv4(0, 0, protocol, &payload));
        assert_eq!(finding(&frame), Some(Reason::TransportMalformed), "{protocol} {payload:?}");
    }
}

#[test]
fn padding_of_the_frame_is_not_payload() {
    let mut padded = frame(&[], eth::IPV4, &ipv4(0, 0, 17, &[0; 4]));
    padded.resize(60, 0);
    assert_eq!(finding(&padded), Some(Reason::TransportMalformed));
}

#[test]
fn other_frames_are_named() {
    assert_eq!(
        finding(&frame(&[], eth::ARP, &[0, 1, 8, 0, 6, 4, 0, 1].repeat(4))),
        Some(Reason::Arp)
    );
    assert_eq!(finding(&frame(&[], 0x0026, &[0; 28])), Some(Reason::EtherTypeUnknown));
    assert_eq!(finding(&[0; 13]), Some(Reason::EthernetTruncated));
    assert_eq!(finding(&frame(&[], eth::IPV4, &[0x60; 40])), Some(Reason::Ipv4Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
        let ether_type: [u8; 2] = [[8, 0], [0x86, 0xdd], [0x81, 0], [0x12, 0x34]][kind];
        if bytes.len() > 14 {
            bytes[12..14].copy_from_slice(&ether_type);
            bytes[14] = [0x45, 0x60, 0, 0][kind];
        }
        let packet = parse(bytes.as_slice());
        prop_assert!(packet.source() != Source::Unknown || packet.findings.first().is_some());
    }

    /// No cut of a lawful packet shows another source than its own, and no cut inside its headers
    /// goes without a finding.
    #[test]
    fn a_cut_never_invents(tags in 0usize..3, headers in 0usize..9, cut in 0usize..200) {
        let payload = [destination_options(headers, 17), udp(53)].concat();
        let next = if headers == 0 { 17 } else { 60 };
        let tags: Vec<u16> = [0x88a8, 0x8100].into_iter().take(tags).collect();
        let whole = frame(&tags, eth::IPV6, &ipv6(V6_SOURCE, next, &payload));
        let packet = parse(&whole[..cut.min(whole.len())]);
        prop_assert!(matches!(packet.source(), Source::Unknown) || packet.source() == Source::V6(V6_SOURCE));
        prop_assert_eq!(packet.findings.first().is_none(), cut >= whole.len());
    }
}
