//! Attacks what answers SYNs: no frame may make it panic, what it calls sound an independent parser
//! reads the same way, and every answer is a SYN-ACK that this parser takes for whole.
#![no_main]

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice, checksum::Sum16BitWords};
use gateway_common::{
    packet::{Packet, parse},
    syn::{Options, Stamp, Syn, SynAck, is_syn, reply::PacketSpace, request},
};
use libfuzzer_sys::fuzz_target;

const COOKIE: u32 = 0x1234_5678;
const OUR_SCALE: u8 = 7;

// The first byte chooses: without repaired checksums no input would get behind them.
fuzz_target!(|bytes: &[u8]| {
    let Some((choice, frame)) = bytes.split_first() else { return };
    let mut frame = Frame(frame.to_vec());
    let packet = parse(frame.0.as_slice());
    if !packet.is_readable() || !is_syn(&packet) {
        return;
    }
    if choice & 1 == 1 {
        repair(&mut frame.0, &packet);
    }
    let mut syn = Syn::default();
    let at = (packet.network, packet.transport);
    if request::read(frame.0.as_slice(), at, &mut syn).is_ok() {
        is_read_as_they_do(&frame.0, &syn);
        answer(frame, &syn, choice & 2 == 2);
    }
});

struct Frame(Vec<u8>);

impl PacketSpace for Frame {
    fn write<const N: usize>(&mut self, offset: usize, bytes: &[u8; N]) -> bool {
        let Some(place) = self.0.get_mut(offset..offset + N) else { return false };
        place.copy_from_slice(bytes);
        true
    }
}

/// Checksums of IPv4 and TCP as they should be.
fn repair(frame: &mut [u8], packet: &Packet) {
    let (network, transport) = (packet.network, packet.transport);
    if packet.version == 4 && transport > network {
        frame[network + 10..network + 12].fill(0);
        let sum = Sum16BitWords::new().add_slice(&frame[network..transport]).ones_complement();
        frame[network + 10..network + 12].copy_from_slice(&sum.to_ne_bytes());
    }
    let end = transport + packet.payload_length;
    frame[transport + 16..transport + 18].fill(0);
    let addresses = if packet.version == 4 { 12..20 } else { 8..40 };
    let addresses = &frame[network + addresses.start..network + addresses.end];
    let sum = pseudo(addresses, packet.payload_length).add_slice(&frame[transport..end]);
    frame[transport + 16..transport + 18].copy_from_slice(&sum.ones_complement().to_ne_bytes());
}

fn pseudo(addresses: &[u8], length: usize) -> Sum16BitWords {
    let [.., l1, l0] = length.to_be_bytes();
    Sum16BitWords::new().add_slice(addresses).add_2bytes([l1, l0]).add_2bytes([0, 6])
}

/// Source, destination, hop limit, the segment, and the sum over it.
struct Theirs<'a> {
    addresses: (Vec<u8>, Vec<u8>),
    hops: u8,
    tcp: TcpSlice<'a>,
    sum: u16,
}

fn theirs(frame: &[u8]) -> Theirs<'_> {
    let sliced = SlicedPacket::from_ethernet(frame).expect("they read it");
    let (source, destination, hops) = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let sum = Sum16BitWords::new().add_slice(header.slice()).ones_complement();
            assert_eq!((sum, header.options().len()), (0, 0));
            (header.source().to_vec(), header.destination().to_vec(), header.ttl())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            assert!(ip.extensions().is_empty());
            (header.source().to_vec(), header.destination().to_vec(), header.hop_limit())
        }
        Some(NetSlice::Arp(_)) | None => panic!("no IP"),
    };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
    let addresses = [source.as_slice(), &destination].concat();
    let sum = pseudo(&addresses, tcp.slice().len()).add_slice(tcp.slice()).ones_complement();
    Theirs { addresses: (source, destination), hops, tcp, sum }
}

fn is_read_as_they_do(frame: &[u8], syn: &Syn) {
    let Theirs { addresses, tcp, sum, .. } = theirs(frame);
    assert_eq!((sum, tcp.payload().len()), (0, 0), "nothing but a whole header");
    assert!(tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin());
    let ports = (tcp.source_port().to_be_bytes(), tcp.destination_port().to_be_bytes());
    assert_eq!((syn.ports(), syn.sequence()), (ports, tcp.sequence_number()));
    let length = addresses.0.len();
    assert_eq!(syn.source.as_flattened()[..length], addresses.0);
    assert_eq!(syn.destination.as_flattened()[..length], addresses.1);
}

fn answer(mut frame: Frame, syn: &Syn, with_timestamps: bool) {
    let asked = frame.0.clone();
    let mut options = Options::default();
    options.read(syn);
    let stamp = with_timestamps.then(|| Stamp::answering(&options, OUR_SCALE, 5_000)).flatten();
    let mut made = SynAck::default();
    made.answer(syn, COOKIE, 1460, stamp.as_ref());
    let length = made.frame_length(syn, asked.len());
    assert!(length <= asked.len() + 20, "no more is sent than came, but for the options");
    frame.0.resize(length, 0);
    assert!(made.write(syn, &mut frame));
    let (asked, said) = (theirs(&asked), theirs(&frame.0));
    assert_eq!((said.sum, said.tcp.payload().len(), said.hops), (0, 0, 64));
    assert_eq!((said.addresses.1, said.addresses.0), asked.addresses);
    let (asked, said) = (asked.tcp, said.tcp);
    assert_eq!(
        (said.source_port(), said.destination_port()),
        (asked.destination_port(), asked.source_port())
    );
    assert!(said.syn() && said.ack() && !said.rst() && !said.fin());
    assert_eq!(said.sequence_number(), COOKIE);
    assert_eq!(said.acknowledgment_number(), asked.sequence_number().wrapping_add(1));
    assert!(said.options_iterator().all(|option| option.is_ok()));
}
