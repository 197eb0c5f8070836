//! The parser beside an independent one (etherparse), on every sample framing with bytes changed
//! at random: where etherparse reads a source and ports, ours reads the same or says why not.

#[cfg(test)]
#[path = "xdp/frames.rs"]
#[expect(dead_code, reason = "the packet tests use the rest")]
mod frames;

#[cfg(test)]
mod oracle {
    use std::net::Ipv6Addr;

    use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};
    use gateway_common::{
        Reason,
        packet::{Packet, Source, parse},
    };
    use proptest::prelude::*;

    use super::frames::samples;

    fn source_of(theirs: &SlicedPacket<'_>) -> Option<Source> {
        match theirs.net.as_ref()? {
            NetSlice::Ipv4(packet) => Some(Source::V4(packet.header().source())),
            NetSlice::Ipv6(packet) => {
                let address = packet.header().source();
                let mapped = Ipv6Addr::from(address).to_ipv4_mapped();
                Some(mapped.map_or(Source::V6(address), |v4| Source::V4(v4.octets())))
            }
            NetSlice::Arp(_) => None,
        }
    }

    fn port_of(theirs: &SlicedPacket<'_>) -> Option<u16> {
        match theirs.transport.as_ref()? {
            TransportSlice::Tcp(tcp) => Some(tcp.destination_port()),
            TransportSlice::Udp(udp) => Some(udp.destination_port()),
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => None,
        }
    }

    fn is_readable(theirs: &SlicedPacket<'_>) -> bool {
        let tags = |extension: &LinkExtSlice<'_>| matches!(extension, LinkExtSlice::Vlan(_));
        theirs.link_exts.len() <= 2 && theirs.link_exts.iter().all(tags)
    }

    fn agree(ours: &Packet, theirs: &SlicedPacket<'_>) -> Result<(), TestCaseError> {
        if let Some(source) = source_of(theirs) {
            prop_assert_eq!(ours.source(), source);
        }
        // etherparse reads no ports out of a first fragment; ours does, and only there.
        if let (Some(port), None) = (port_of(theirs), ours.findings.first()) {
            prop_assert_eq!(ours.destination_port, port);
        }
        Ok(())
    }

    #[test]
    fn agrees_on_every_sample() {
        for sample in samples() {
            let theirs = SlicedPacket::from_ethernet(&sample.bytes).unwrap();
            let ours = parse(sample.bytes.as_slice());
            assert_eq!(ours.findings.first(), sample.finding, "{}", sample.name);
            assert_eq!(Some(ours.source()), source_of(&theirs), "{}", sample.name);
            if let Some(port) = port_of(&theirs).filter(|_| sample.finding.is_none()) {
                assert_eq!(ours.destination_port, port, "{}", sample.name);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn agrees_on_changed_samples(
            sample in proptest::sample::select(samples()),
            changes in proptest::collection::vec((12usize..120, any::<u8>()), 1..4),
            cut in 14usize..200,
        ) {
            let mut bytes = sample.bytes;
            for (offset, byte) in changes {
                if let Some(target) = bytes.get_mut(offset) {
                    *target = byte;
                }
            }
            bytes.truncate(cut);
            let ours = parse(bytes.as_slice());
            // What etherparse cannot read at all, ours may still name a source of: for a ban.
            if let Ok(theirs) = SlicedPacket::from_ethernet(&bytes) && is_readable(&theirs) {
                agree(&ours, &theirs)?;
            }
            // Nothing passes as whole that has no source.
            prop_assert!(ours.findings.first().is_some() || ours.source() != Source::Unknown);
            prop_assert!(ours.findings.first() != Some(Reason::LaterFragment) || ours.destination_port == 0);
        }
    }
}
