//! SYN cookies by the real object: a flood of test runs turns them on, and the SYN-ACK that comes
//! back is read by etherparse. The listener is a real one, in a namespace of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use etherparse::{
    NetHeaders, NetSlice, PacketBuilder, PacketHeaders, SlicedPacket, TcpHeader,
    TcpOptionElement as Element, TransportHeader, VlanId,
};
use gateway_common::Reason;
use gateway_tests::netns::{Namespace, command};
use gateway_userspace::{config::model::Kernel, guard::kernel::PacketFilter as _};

use super::fixture::{DROP, Fixture, PASS, config, cookies, forever, is_possible};

const TX: u32 = 3;
const CLIENT4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 9);
const SERVER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);
const PORT: u16 = 443;
const CLOSED: u16 = 444;
const SEQUENCE: u32 = 0xffff_ffff;

const MSS4: u16 = 1460;
const MSS6: u16 = 1440;

/// Common offers, as Linux sends them.
fn linux() -> Vec<Element> {
    vec![
        Element::MaximumSegmentSize(1460),
        Element::SelectiveAcknowledgementPermitted,
        Element::Timestamp(0x0102_0304, 0),
        Element::Noop,
        Element::WindowScale(9),
    ]
}

/// A SYN as it comes.
#[derive(Clone)]
struct Wanted {
    from: IpAddr,
    port: u16,
    tags: Vec<u16>,
    options: Vec<Element>,
    data: &'static [u8],
}

fn wanted(from: impl Into<IpAddr>) -> Wanted {
    Wanted { from: from.into(), port: PORT, tags: Vec::new(), options: linux(), data: &[] }
}

impl Wanted {
    fn frame(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let id = |tag: u16| VlanId::try_new(tag).unwrap();
        let tcp = match (self.tags.as_slice(), self.from) {
            ([], IpAddr::V4(from)) => ethernet.ipv4(from.octets(), SERVER4.octets(), 61),
            ([], IpAddr::V6(from)) => ethernet.ipv6(from.octets(), SERVER6.octets(), 61),
            ([tag], IpAddr::V4(from)) => {
                ethernet.single_vlan(id(*tag)).ipv4(from.octets(), SERVER4.octets(), 61)
            }
            ([tag], IpAddr::V6(from)) => {
                ethernet.single_vlan(id(*tag)).ipv6(from.octets(), SERVER6.octets(), 61)
            }
            ([outer, inner, ..], IpAddr::V4(from)) => ethernet
                .double_vlan(id(*outer), id(*inner))
                .ipv4(from.octets(), SERVER4.octets(), 61),
            ([outer, inner, ..], IpAddr::V6(from)) => ethernet
                .double_vlan(id(*outer), id(*inner))
                .ipv6(from.octets(), SERVER6.octets(), 61),
        };
        let mut bytes = Vec::new();
        tcp.tcp(50_000, self.port, SEQUENCE, 64_240)
            .syn()
            .options(&self.options)
            .unwrap()
            .write(&mut bytes, self.data)
            .unwrap();
        bytes
    }

    fn server(&self) -> IpAddr {
        if self.from.is_ipv4() { SERVER4.into() } else { SERVER6.into() }
    }
}

/// What a SYN-ACK says, once everything about its form is found right.
fn read_answer(frame: &[u8], to: &Wanted) -> TcpHeader {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let headers = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let link = headers.link.unwrap().ethernet2().unwrap();
    assert_eq!((link.source, link.destination), ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]));
    let tags: Vec<u16> = sliced.vlan_ids().iter().map(|id| id.value()).collect();
    assert_eq!(tags, to.tags, "VLAN tags are kept");
    let Some(TransportHeader::Tcp(tcp)) = headers.transport else { panic!("no TCP") };
    let (source, destination, sum) = match headers.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!((ip.time_to_live, ip.dont_fragment, ip.identification), (64, true, 0));
            let sum = tcp.calc_checksum_ipv4(&ip, &[]).unwrap();
            (IpAddr::from(ip.source), IpAddr::from(ip.destination), sum)
        }
        NetHeaders::Ipv6(ip, _) => {
            assert_eq!(ip.hop_limit, 64);
            let sum = tcp.calc_checksum_ipv6(&ip, &[]).unwrap();
            (IpAddr::from(ip.source), IpAddr::from(ip.destination), sum)
        }
        NetHeaders::Arp(_) => panic!("ARP"),
    };
    assert_eq!((source, destination, tcp.checksum), (to.server(), to.from, sum));
    assert_eq!((tcp.source_port, tcp.destination_port), (to.port, 50_000));
    assert_eq!(tcp.acknowledgment_number, SEQUENCE.wrapping_add(1));
    assert!(tcp.syn && tcp.ack && !tcp.rst && !tcp.fin && !tcp.psh && !tcp.ece && !tcp.cwr);
    let payload = match sliced.net.unwrap() {
        NetSlice::Ipv4(ip) => ip.payload().payload.len(),
        NetSlice::Ipv6(ip) => ip.payload().payload.len(),
        NetSlice::Arp(_) => 0,
    };
    assert_eq!(payload, tcp.header_len(), "no data");
    assert_eq!(frame.len(), frame.len().max(60).min(frame.len()), "no shorter than Ethernet's");
    tcp
}

fn options(tcp: &TcpHeader) -> Vec<Element> {
    let options = tcp.options_iterator().map(Result::unwrap);
    options.filter(|option| *option != Element::Noop).collect()
}

/// A namespace with both server addresses and the cookies' switch set as asked.
fn server(syncookies: &str) -> Namespace {
    let namespace = Namespace::create("syn").unwrap();
    for address in ["198.51.100.1/32", "2001:db8:9::1/128"] {
        let add = ["address", "add", address, "dev", "lo", "nodad"];
        namespace.ip(if address.contains(':') { &add } else { &add[..5] }).unwrap();
    }
    let set = format!("net.ipv4.tcp_syncookies={syncookies}");
    namespace.run(|| command("sysctl", &["-q", "-w", &set])).unwrap();
    namespace
}

fn guarded() -> Kernel {
    Kernel { syn_cookies: cookies(true), ..config() }
}

/// A filter that answers for both servers, with its cookies already on.
fn in_a_flood(config: &Kernel) -> Fixture {
    let mut fixture = Fixture::with(config);
    fixture.filter.answer_for(&[SERVER4.into(), SERVER6.into()]).unwrap();
    fixture.filter.offer(None).unwrap();
    // To a port nobody listens on: what turns cookies on is the number of SYNs, not their answer.
    fixture.send(&Wanted { port: CLOSED, ..wanted(CLIENT4) }.frame(), 40);
    assert_eq!(fixture.filter.lacks_for_cookies(), None);
    assert!(fixture.filter.are_cookies_on().unwrap());
    fixture
}

/// Runs a case beside listeners of both families.
fn with_listeners(syncookies: &str, case: impl FnOnce() + Send) {
    let namespace = server(syncookies);
    namespace
        .run(|| {
            let listen = |address: IpAddr| TcpListener::bind(SocketAddr::new(address, PORT));
            let _held = [listen(SERVER4.into())?, listen(SERVER6.into())?];
            case();
            Ok(())
        })
        .unwrap();
}

fn answer(fixture: &Fixture, to: &Wanted) -> TcpHeader {
    let (action, frame) = fixture.filter.test_frame(&to.frame()).unwrap();
    assert_eq!(action, TX);
    read_answer(&frame, to)
}

#[test]
fn a_syn_of_either_family_in_any_tags_is_answered() {
    if !is_possible("xdp::syn::a_syn_of_either_family_in_any_tags_is_answered") {
        return;
    }
    with_listeners("2", || {
        let fixture = in_a_flood(&guarded());
        for from in [IpAddr::from(CLIENT4), CLIENT6.into()] {
            for tags in [vec![], vec![7], vec![9, 7]] {
                for offered in [vec![], vec![Element::MaximumSegmentSize(1400)], linux()] {
                    let to = Wanted { tags: tags.clone(), options: offered, ..wanted(from) };
                    let tcp = answer(&fixture, &to);
                    let mss = if from.is_ipv4() { MSS4 } else { MSS6 };
                    assert_eq!(options(&tcp), [Element::MaximumSegmentSize(mss)]);
                    assert_eq!(fixture.judge(&to.frame()), (TX, Reason::SynCookie));
                }
            }
        }
    });
}
