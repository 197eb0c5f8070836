//! Packets that the filter and the oracle of `xdp_differential` once judged in two ways.

use gateway_common::Reason;
use gateway_userspace::{
    config::model::{Answer, Answers, Kernel, Policy},
    guard::kernel::PacketFilter as _,
};

use super::fixture::{DROP, Fixture, PASS, config, forever, is_possible};

fn only(drops: &[Reason]) -> Kernel {
    let answers = drops
        .iter()
        .fold(Answers::all(Answer::Pass), |answers, row| answers.with(*row, Answer::Drop));
    Kernel { policy: Policy::Closed, answers, ..config() }
}

/// An IPv6 frame with the payload length it has, or another.
fn ipv6(source: [u8; 16], next: u8, hop_limit: u8, length: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, next, hop_limit]);
    bytes.extend(source);
    bytes.extend([0x2a, 1, 1, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    bytes.extend(payload);
    bytes
}

/// Router advertisement and redirect, long enough, code 0, hop limit 255, but from
/// `::ffff:192.88.98.255`: no router's link-local address (RFC 4861 sections 6.1.2 and 8.1).
#[test]
fn no_router_speaks_from_a_mapped_address() {
    if !is_possible("xdp::disagreed::no_router_speaks_from_a_mapped_address") {
        return;
    }
    let fixture = Fixture::with(&only(&[Reason::NeighbourInvalid]));
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 192, 88, 98, 255]);
    let mut link_local = [0; 16];
    link_local[..2].copy_from_slice(&[0xfe, 0x80]);
    for kind in [134, 137] {
        let message = [&[kind, 0][..], &[7; 46]].concat();
        let frame = |source| ipv6(source, 58, 255, 48, &message);
        assert_eq!(fixture.judge(&frame(mapped)), (DROP, Reason::NeighbourInvalid), "{kind}");
        assert_eq!(fixture.judge(&frame(link_local)), (PASS, Reason::Neighbour), "{kind}");
    }
}

/// The payload is shorter than the header says: row 24 and no other, from whatever source.
#[test]
fn an_unread_ipv6_header_meets_one_row() {
    if !is_possible("xdp::disagreed::an_unread_ipv6_header_meets_one_row") {
        return;
    }
    let rows = [Reason::PrivateSource, Reason::ReservedSource];
    let fixture = Fixture::with(&only(&rows));
    for (first, second, row) in [(0xfd, 0, rows[0]), (0x40, 0, rows[1])] {
        let mut source = [1; 16];
        source[..2].copy_from_slice(&[first, second]);
        let frame = |length| ipv6(source, 17, 64, length, &[0, 9, 0, 9, 0, 8, 0, 0]);
        assert_eq!(fixture.judge(&frame(9)), (PASS, Reason::Ipv6Malformed));
        assert_eq!(fixture.judge(&frame(8)), (DROP, row));
    }
}

/// Which of two layers is named, tests/xdp/bulk.rs and the policy say; within one it is this.
#[test]
fn the_narrower_of_two_single_bans_is_named() {
    if !is_possible("xdp::disagreed::the_narrower_of_two_single_bans_is_named") {
        return;
    }
    let mut fixture = Fixture::with(&only(&[]));
    let frame = ipv6([0x2a; 16], 17, 64, 8, &[0, 9, 0, 9, 0, 8, 0, 0]);
    fixture.filter.put_ban("2a2a::/16".parse().unwrap(), &forever()).unwrap();
    assert_eq!(fixture.judge(&frame), (DROP, Reason::BanPrefix));
    let whole = std::net::Ipv6Addr::from([0x2a; 16]);
    fixture.filter.put_ban(std::net::IpAddr::from(whole).into(), &forever()).unwrap();
    assert_eq!(fixture.judge(&frame), (DROP, Reason::BanHost));
}
