//! Attacks the packet parser: no frame may make it panic, and no framing that an independent
//! parser sees through may hide a source from it, for then it would hide it from a ban.
#![no_main]

use std::net::Ipv6Addr;

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket};
use gateway_common::packet::{Source, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let ours = parse(frame);
    let Ok(theirs) = SlicedPacket::from_ethernet(frame) else { return };
    // More than two tags, and MACsec, are no matter of the source: they have their own answers.
    let tag = |extension: &LinkExtSlice<'_>| matches!(extension, LinkExtSlice::Vlan(_));
    if theirs.link_exts.len() > 2 || !theirs.link_exts.iter().all(tag) {
        return;
    }
    let source = match &theirs.net {
        Some(NetSlice::Ipv4(packet)) => Source::V4(packet.header().source()),
        Some(NetSlice::Ipv6(packet)) => unmapped(packet.header().source()),
        Some(NetSlice::Arp(_)) | None => return,
    };
    assert_eq!(ours.source(), source, "{theirs:?}");
});

/// One ban meets both forms of an IPv4 address.
fn unmapped(source: [u8; 16]) -> Source {
    match Ipv6Addr::from(source).to_ipv4_mapped() {
        Some(v4) => Source::V4(v4.octets()),
        None => Source::V6(source),
    }
}
