//! The rows of `docs/packet-policy.md`: what meets each, what does not, and what its answer makes
//! of it.

use std::net::{Ipv4Addr, Ipv6Addr};

use gateway_common::Reason;
use gateway_userspace::config::model::{Answer, Answers, Kernel};

use super::fixture::{DROP, Fixture, PASS, config, is_possible, rows};

const TO4: [u8; 4] = [203, 0, 113, 1];
const TO6: Ipv6Addr = Ipv6Addr::new(0x2606, 0, 0, 0, 0, 0, 0, 1);
const FROM4: [u8; 4] = [8, 8, 4, 4];
const FROM6: Ipv6Addr = Ipv6Addr::new(0x2a00, 1, 0, 0, 0, 0, 0, 9);
const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOLICITED: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(rest);
    bytes
}

pub(crate) fn ip4_with(
    from: [u8; 4],
    protocol: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let total = words * 4 + payload.len();
    let mut header = vec![0x40 | u8::try_from(words).unwrap(), 0];
    header.extend(u16::try_from(total).unwrap().to_be_bytes());
    header.extend([0, 7]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(from);
    header.extend(TO4);
    header.extend(options);
    header.extend(payload);
    ethernet(0x0800, &header)
}

pub(crate) fn ip4(from: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip4_with(from, protocol, 0, &[], payload)
}

pub(crate) fn ip6_to(
    (from, to): (Ipv6Addr, Ipv6Addr),
    next: u8,
    hops: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    header.extend([next, hops]);
    header.extend(from.octets());
    header.extend(to.octets());
    header.extend(payload);
    ethernet(0x86dd, &header)
}

pub(crate) fn ip6(from: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ip6_to((from, TO6), next, 64, payload)
}

pub(crate) fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 4, 0, 0, 0, 0, 0]);
    header
}

pub(crate) fn udp(from: u16, to: u16) -> Vec<u8> {
    let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
    header.extend([0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    header
}

pub(crate) fn icmp(kind: u8, code: u8, length: usize) -> Vec<u8> {
    let mut message = vec![kind, code];
    message.resize(length, 0);
    message
}

fn fragment6(next: u8, bits: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend(bits.to_be_bytes());
    header.extend([0, 0, 0, 1]);
    header.extend(payload);
    header
}

fn routing(kind: u8, left: u8) -> Vec<u8> {
    let mut header = vec![17, 0, kind, left, 0, 0, 0, 0];
    header.extend(udp(5000, 6000));
    header
}

fn arp(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, 1];
    message.resize(28, 1);
    change(&mut message);
    ethernet(0x0806, &message)
}

/// Neighbour discovery, and what is changed of it.
fn discovery(kind: u8, code: u8, length: usize, from: Ipv6Addr, to: Ipv6Addr, hops: u8) -> Vec<u8> {
    ip6_to((from, to), 58, hops, &icmp(kind, code, length))
}

const NONE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// Frames that meet exactly one row.
fn meeting() -> Vec<(Reason, Vec<u8>)> {
    let datagram = udp(5000, 6000);
    let mut frames = vec![
        (Reason::EtherTypeUnknown, ethernet(0x88cc, &[0; 40])),
        (Reason::EtherTypeUnknown, ethernet(0x0026, &[0; 40])),
        (Reason::ArpMalformed, arp(|message| message[1] = 6)),
        (Reason::ArpMalformed, arp(|message| message[7] = 3)),
        (Reason::ArpMalformed, arp(|message| message.truncate(27))),
        (Reason::Land, ip4(TO4, 17, &datagram)),
        (Reason::Land, ip6_to((TO6, TO6), 17, 64, &datagram)),
        (Reason::Ipv4Options, ip4_with(FROM4, 17, 0, &[1; 4], &datagram)),
        (Reason::Ipv4Options, ip4_with(FROM4, 17, 0, &[0x94, 4, 0, 0], &datagram)),
        (Reason::Ipv4Options, ip4_with(FROM4, 2, 0, &[0x94, 4, 0, 1], &[0; 8])),
        (Reason::ExtensionUnknown, ip6(FROM6, 253, &[0; 16])),
        (Reason::ExtensionUnknown, ip6(FROM6, 147, &[0; 16])),
        (Reason::RoutingHeader, ip6(FROM6, 43, &routing(0, 0))),
        (Reason::RoutingHeader, ip6(FROM6, 43, &routing(4, 1))),
        (Reason::FirstFragment, ip4_with(FROM4, 17, 0x2000, &[], &datagram)),
        (Reason::FirstFragment, ip6(FROM6, 44, &fragment6(17, 1, &datagram))),
        (Reason::LaterFragment, ip4_with(FROM4, 17, 185, &[], &datagram)),
        (Reason::LaterFragment, ip6(FROM6, 44, &fragment6(17, 185 << 3, &datagram))),
        (Reason::PortZero, ip4(FROM4, 17, &udp(0, 6000))),
        (Reason::PortZero, ip4(FROM4, 6, &tcp(6000, 0, 0x10))),
        (Reason::PortZero, ip6(FROM6, 6, &tcp(0, 6000, 0x02))),
        (Reason::NeighbourInvalid, discovery(135, 0, 24, LINK, TO6, 254)),
        (Reason::NeighbourInvalid, discovery(136, 1, 24, LINK, TO6, 255)),
        (Reason::NeighbourInvalid, discovery(136, 0, 23, LINK, TO6, 255)),
        (Reason::NeighbourInvalid, discovery(134, 0, 15, LINK, ALL_NODES, 255)),
        (Reason::NeighbourInvalid, discovery(134, 0, 16, FROM6, ALL_NODES, 255)),
        (Reason::NeighbourInvalid, discovery(137, 0, 40, FROM6, TO6, 255)),
        (Reason::NeighbourInvalid, discovery(137, 0, 39, LINK, TO6, 255)),
        (Reason::NeighbourInvalid, discovery(135, 0, 24, NONE, TO6, 255)),
        (
            Reason::NeighbourInvalid,
            ip6_to((LINK, TO6), 44, 255, &fragment6(58, 0, &icmp(135, 0, 24))),
        ),
    ];
    for kind in [0x8847, 0x8848, 0x8863, 0x8864, 0x88e5, 0x88e7, 0x22f3, 0x894f, 0x9200, 0x9300] {
        frames.push((Reason::Encapsulated, ethernet(kind, &[0; 40])));
    }
    let martians4 =
        [[0, 0, 0, 1], [127, 0, 0, 1], [224, 0, 0, 1], [239, 255, 0, 1], [255; 4], [0; 4]];
    for source in martians4 {
        frames.push((Reason::MartianSource, ip4(source, 17, &datagram)));
    }
    for source in ["::1", "::8.8.8.8", "::ffff:8.8.4.4", "ff02::1", "::"] {
        frames.push((Reason::MartianSource, ip6(source.parse().unwrap(), 17, &datagram)));
    }
    for flags in impossible_flags() {
        frames.push((Reason::TcpFlags, ip4(FROM4, 6, &tcp(5000, 6000, flags))));
        // ECE, CWR and the like change nothing.
        frames.push((Reason::TcpFlags, ip6(FROM6, 6, &tcp(5000, 6000, flags | 0xc0))));
    }
    frames
}

/// As the document says it, bit by bit.
fn impossible_flags() -> impl Iterator<Item = u8> {
    (0..64).filter(|flags| {
        let set = |bit: u8| flags & bit != 0;
        let (fin, syn, rst, psh, ack, urg) = (set(1), set(2), set(4), set(8), set(16), set(32));
        let none = !(fin || syn || rst || psh || ack || urg);
        none || (syn && (fin || rst)) || (fin && rst) || ((fin || psh || urg) && !ack)
    })
}

/// Frames near a row that meet none.
fn near() -> Vec<Vec<u8>> {
    let datagram = udp(5000, 6000);
    let mut frames = vec![
        ip4_with(FROM4, 2, 0, &[0x94, 4, 0, 0], &[0; 8]),
        ip6(FROM6, 146, &[0; 16]),
        ip6(FROM6, 59, &[]),
        ip6(FROM6, 43, &routing(4, 0)),
        ip6(FROM6, 43, &routing(2, 0)),
        ip6(FROM6, 44, &fragment6(17, 0, &datagram)),
        ip4([0; 4], 17, &udp(68, 67)),
        ip4([0; 4], 2, &[0; 8]),
        ip4([1, 0, 0, 1], 17, &datagram),
        ip4([126, 0, 0, 1], 17, &datagram),
        ip4([128, 0, 0, 1], 17, &datagram),
        ip4([223, 0, 0, 1], 17, &datagram),
        ip4([240, 0, 0, 1], 17, &datagram),
        ip4([255, 255, 255, 254], 17, &datagram),
        ip4(FROM4, 17, &udp(65_535, 1)),
        ip4(FROM4, 1, &icmp(8, 0, 8)),
        ip6(FROM6, 58, &icmp(128, 0, 8)),
        discovery(133, 0, 8, NONE, ALL_NODES, 255),
        discovery(133, 0, 8, LINK, ALL_NODES, 255),
        discovery(134, 0, 16, LINK, ALL_NODES, 255),
        discovery(135, 0, 24, NONE, SOLICITED, 255),
        discovery(135, 0, 24, FROM6, SOLICITED, 255),
        discovery(136, 0, 24, FROM6, ALL_NODES, 255),
        discovery(137, 0, 40, LINK, TO6, 255),
        ip6_to((NONE, ALL_NODES), 58, 1, &icmp(143, 0, 8)),
    ];
    let possible = (0..64).filter(|flags| !impossible_flags().any(|bad| bad == *flags));
    frames.extend(possible.map(|flags| ip4(FROM4, 6, &tcp(5000, 6000, flags))));
    frames
}

#[test]
fn each_row_drops_or_passes_as_it_is_answered() {
    if !is_possible("xdp::rows::each_row_drops_or_passes_as_it_is_answered") {
        return;
    }
    let (drops, mut passing) = (Fixture::new(), config());
    passing.answers = rows(Answer::Pass);
    let passes = Fixture::with(&passing);
    for (row, frame) in meeting() {
        assert_eq!(drops.judge(&frame), (DROP, row), "{frame:02x?}");
        assert_eq!(passes.judge(&frame), (PASS, row), "{frame:02x?}");
    }
}

#[test]
fn what_is_near_a_row_is_not_met_by_it() {
    if !is_possible("xdp::rows::what_is_near_a_row_is_not_met_by_it") {
        return;
    }
    let fixture = Fixture::new();
    for frame in near() {
        assert_eq!(fixture.judge(&frame), (PASS, Reason::Passed), "{frame:02x?}");
    }
    assert_eq!(fixture.judge(&arp(|_| ())), (PASS, Reason::Arp));
    assert_eq!(fixture.judge(&arp(|message| message[7] = 2)), (PASS, Reason::Arp));
}

#[test]
fn impossible_fragments_are_told_from_others() {
    if !is_possible("xdp::rows::impossible_fragments_are_told_from_others") {
        return;
    }
    let mut config = config();
    config.answers = Answers::all(Answer::Pass).with(Reason::FragmentInvalid, Answer::Drop);
    let fixture = Fixture::with(&config);
    let [whole, cut] = [[7_u8; 24].as_slice(), &[7; 23]];
    let more = 0x2000;
    let invalid = [
        ip4_with(FROM4, 17, more | 0xb9, &[], cut),
        ip4_with(FROM4, 17, more | 0xb9, &[], &[]),
        ip4_with(FROM4, 6, 1, &[], whole),
        ip4_with(FROM4, 6, 2, &[], cut),
        ip4_with(FROM4, 17, 0x1fff, &[], whole),
        ip6(FROM6, 44, &fragment6(17, 185 << 3 | 1, cut)),
        ip6(FROM6, 44, &fragment6(6, 16, whole)),
        ip6(FROM6, 44, &fragment6(17, 0xfff8, whole)),
        ip4_with(FROM4, 17, more, &[], &[udp(5000, 6000), vec![1; 3]].concat()),
    ];
    for frame in invalid {
        assert_eq!(fixture.judge(&frame), (DROP, Reason::FragmentInvalid), "{frame:02x?}");
    }
    let lawful = [
        ip4_with(FROM4, 17, more | 0xb9, &[], whole),
        ip4_with(FROM4, 17, 185, &[], cut),
        ip4_with(FROM4, 6, 3, &[], cut),
        ip4_with(FROM4, 17, 1, &[], whole),
        ip4_with(FROM4, 17, 0x1fff, &[], &[7; 7]),
        ip6(FROM6, 44, &fragment6(6, 24, cut)),
        ip6(FROM6, 44, &fragment6(17, 0xfff8, &[7; 7])),
    ];
    for frame in lawful {
        assert_eq!(fixture.judge(&frame), (PASS, Reason::LaterFragment), "{frame:02x?}");
    }
}

#[test]
fn of_several_rows_the_lowest_that_drops_decides() {
    if !is_possible("xdp::rows::of_several_rows_the_lowest_that_drops_decides") {
        return;
    }
    // Land, IPv4 options, TCP flags.
    let frame = ip4_with(TO4, 6, 0, &[1; 4], &tcp(5000, 6000, 0));
    let judged = |drops: &[Reason]| {
        let mut config = config();
        config.answers = drops
            .iter()
            .fold(Answers::all(Answer::Pass), |answers, row| answers.with(*row, Answer::Drop));
        Fixture::with(&config).judge(&frame)
    };
    assert_eq!(judged(&[]), (PASS, Reason::Land));
    assert_eq!(judged(&[Reason::TcpFlags]), (DROP, Reason::TcpFlags));
    assert_eq!(judged(&[Reason::TcpFlags, Reason::Ipv4Options]), (DROP, Reason::Ipv4Options));
    assert_eq!(judged(&[Reason::Ipv4Options, Reason::Land]), (DROP, Reason::Land));
}

#[test]
fn rows_that_are_opted_in_drop_and_otherwise_do_not_exist() {
    if !is_possible("xdp::rows::rows_that_are_opted_in_drop_and_otherwise_do_not_exist") {
        return;
    }
    let datagram = udp(5000, 6000);
    let from4 = |text: &str| ip4(text.parse::<Ipv4Addr>().unwrap().octets(), 17, &datagram);
    let from6 = |text: &str| ip6(text.parse().unwrap(), 17, &datagram);
    let mut cases: Vec<(Reason, Vec<u8>)> = vec![
        (Reason::EchoRequest, ip4(FROM4, 1, &icmp(8, 0, 8))),
        (Reason::EchoRequest, ip6(FROM6, 58, &icmp(128, 0, 8))),
    ];
    for text in ["10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "172.31.0.1"] {
        cases.push((Reason::PrivateSource, from4(text)));
    }
    for text in ["192.0.2.1", "192.0.0.1", "198.19.0.1", "192.88.99.1", "240.0.0.1"] {
        cases.push((Reason::ReservedSource, from4(text)));
    }
    for text in ["fc00::1", "fdff::1", "fec0::1"] {
        cases.push((Reason::PrivateSource, from6(text)));
    }
    for text in ["2001:db8::1", "3fff:fff::1", "100::1", "4000::1", "200::1"] {
        cases.push((Reason::ReservedSource, from6(text)));
    }
    let open = Fixture::new();
    let strict = Fixture::with(&Kernel { answers: Answers::all(Answer::Drop), ..config() });
    for (row, frame) in cases {
        assert_eq!(open.judge(&frame), (PASS, Reason::Passed), "{frame:02x?}");
        assert_eq!(strict.judge(&frame), (DROP, row), "{frame:02x?}");
    }
    let public = ["100.63.255.255", "100.128.0.1", "172.32.0.1", "198.20.0.1", "192.0.1.1"];
    for frame in public.map(from4) {
        assert_eq!(strict.judge(&frame), (PASS, Reason::Passed), "{frame:02x?}");
    }
    for frame in ["2001:db7::1", "3fff:1000::1", "64:ff9b::808:808", "fe80::1"].map(from6) {
        assert_eq!(strict.judge(&frame), (PASS, Reason::Passed), "{frame:02x?}");
    }
    let lease = ip4([10, 0, 0, 1], 17, &udp(67, 68));
    assert_eq!(strict.judge(&lease), (PASS, Reason::Passed));
}
