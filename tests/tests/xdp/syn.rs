//! SYN cookies by the real object: a flood of test runs turns them on, and the SYN-ACK that comes
//! back is read by etherparse. The listener is a real one, in a namespace of its own.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use etherparse::{
    NetHeaders, NetSlice, PacketBuilder, PacketHeaders, SlicedPacket, TcpHeader,
    TcpOptionElement as Element, TransportHeader, VlanId,
};
use gateway_common::Reason;
use gateway_tests::{
    netns::{Namespace, command},
    wait::until,
};
use gateway_userspace::{
    config::model::{Kernel, Mode},
    guard::kernel::PacketFilter as _,
};

use super::{
    fixture::{DROP, Fixture, PASS, config, cookies, forever, is_possible, rate},
    frames::udp4,
};

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

#[test]
fn options_come_back_in_the_timestamp() {
    if !is_possible("xdp::syn::options_come_back_in_the_timestamp") {
        return;
    }
    with_listeners("2", || {
        let mut fixture = in_a_flood(&guarded());
        fixture.filter.offer(Some(7)).unwrap();
        for (offered, scale, sack) in [
            (linux(), Some(9), true),
            (vec![Element::Timestamp(0x0102_0304, 0)], None, false),
            (vec![Element::Timestamp(0x0102_0304, 0), Element::WindowScale(2)], Some(2), false),
        ] {
            for from in [IpAddr::from(CLIENT4), CLIENT6.into()] {
                let tcp = answer(&fixture, &Wanted { options: offered.clone(), ..wanted(from) });
                let found = options(&tcp);
                let value = found.iter().find_map(|option| {
                    let Element::Timestamp(value, 0x0102_0304) = option else { return None };
                    Some(*value)
                });
                // The layout of Linux's `cookie_init_timestamp`.
                let value = value.expect("a timestamp with the client's echoed");
                assert_eq!(value & 0xf, scale.unwrap_or(0xf), "{offered:?}");
                assert_eq!(value & 0x10 != 0, sack, "{offered:?}");
                assert_eq!(found.contains(&Element::WindowScale(7)), scale.is_some());
                assert_eq!(found.contains(&Element::SelectiveAcknowledgementPermitted), sack);
            }
        }
        // Who sends no timestamp cannot bring anything back.
        let bare = vec![Element::MaximumSegmentSize(1400), Element::WindowScale(9)];
        let tcp = answer(&fixture, &Wanted { options: bare, ..wanted(CLIENT4) });
        assert_eq!(options(&tcp), [Element::MaximumSegmentSize(MSS4)]);
    });
}

#[test]
fn what_is_wrong_with_a_syn_is_its_own_reason() {
    if !is_possible("xdp::syn::what_is_wrong_with_a_syn_is_its_own_reason") {
        return;
    }
    with_listeners("2", || {
        let mut fixture = in_a_flood(&guarded());
        for from in [IpAddr::from(CLIENT4), CLIENT6.into()] {
            let good = wanted(from).frame();
            let mut damaged = good.clone();
            *damaged.last_mut().unwrap() ^= 0x40;
            assert_eq!(fixture.judge(&damaged), (DROP, Reason::SynChecksum));
            let data = Wanted { data: b"early data", ..wanted(from) };
            assert_eq!(fixture.judge(&data.frame()), (DROP, Reason::SynData));
            let closed = Wanted { port: CLOSED, ..wanted(from) };
            assert_eq!(fixture.judge(&closed.frame()), (PASS, Reason::Passed));
        }
        let mut damaged = wanted(CLIENT4).frame();
        damaged[18] ^= 1;
        assert_eq!(fixture.judge(&damaged), (DROP, Reason::SynChecksum));
        // A machine that forwards answers for nobody but itself.
        fixture.filter.answer_for(&[SERVER6.into()]).unwrap();
        assert_eq!(fixture.judge(&wanted(CLIENT4).frame()), (PASS, Reason::SynStack));
        assert_eq!(fixture.judge(&wanted(CLIENT6).frame()), (TX, Reason::SynCookie));
        // Nor does it refuse what they may take: data, and what only their stack can judge.
        let data = Wanted { data: b"early data", ..wanted(CLIENT4) };
        for frame in [data.frame(), damaged] {
            assert_eq!(fixture.judge(&frame), (PASS, Reason::SynStack));
        }
    });
}

#[test]
fn the_kernel_that_makes_no_cookie_gets_the_syn() {
    if !is_possible("xdp::syn::the_kernel_that_makes_no_cookie_gets_the_syn") {
        return;
    }
    for syncookies in ["0", "1"] {
        with_listeners(syncookies, || {
            let fixture = in_a_flood(&guarded());
            assert_eq!(fixture.judge(&wanted(CLIENT4).frame()), (PASS, Reason::SynStack));
            assert_eq!(fixture.judge(&wanted(CLIENT6).frame()), (PASS, Reason::SynStack));
        });
    }
}

#[test]
fn a_banned_source_is_dropped_and_shadow_answers_nobody() {
    if !is_possible("xdp::syn::a_banned_source_is_dropped_and_shadow_answers_nobody") {
        return;
    }
    with_listeners("2", || {
        let mut fixture = in_a_flood(&guarded());
        fixture.filter.put_ban(IpAddr::from(CLIENT4).into(), &forever()).unwrap();
        assert_eq!(fixture.judge(&wanted(CLIENT4).frame()), (DROP, Reason::BanHost));
        drop(fixture);
        let fixture = Fixture::with(&Kernel { mode: Mode::Shadow, ..guarded() });
        fixture.send(&Wanted { port: CLOSED, ..wanted(CLIENT4) }.frame(), 40);
        assert!(!fixture.filter.are_cookies_on().unwrap());
        assert_eq!(fixture.judge(&wanted(CLIENT4).frame()), (PASS, Reason::SynCookie));
    });
}

#[test]
fn answers_stop_at_their_cap() {
    if !is_possible("xdp::syn::answers_stop_at_their_cap") {
        return;
    }
    with_listeners("2", || {
        let mut config = guarded();
        config.syn_cookies.most = rate(1, 20);
        let fixture = in_a_flood(&config);
        let frame = wanted(CLIENT4).frame();
        let answers = (0..60).filter(|_| fixture.filter.test_run(&frame, 1).unwrap().0 == TX);
        let answers = answers.count();
        assert!((18..=25).contains(&answers), "{answers} of 20 at once and one a second");
        assert_eq!(fixture.judge(&frame), (DROP, Reason::SynCap));
    });
}

#[test]
fn cookies_end_when_the_hold_is_over_and_other_packets_never_meet_them() {
    if !is_possible("xdp::syn::cookies_end_when_the_hold_is_over_and_other_packets_never_meet_them")
    {
        return;
    }
    with_listeners("2", || {
        let fixture = in_a_flood(&guarded());
        assert_eq!(fixture.judge(&udp4(CLIENT4)), (PASS, Reason::Passed));
        until("the hold", Duration::from_secs(20), || {
            (!fixture.filter.are_cookies_on().unwrap()).then_some(())
        })
        .unwrap();
        assert_eq!(fixture.judge(&wanted(CLIENT4).frame()), (PASS, Reason::Passed));
    });
}

/// Prints what an answer costs; machines differ, so nothing is asserted of it.
#[test]
fn an_answer_has_a_price() {
    if !is_possible("xdp::syn::an_answer_has_a_price") {
        return;
    }
    with_listeners("2", || {
        let fixture = in_a_flood(&guarded());
        let price = |what: &str, frame: &[u8]| {
            let mut best = Duration::MAX;
            for _ in 0..2000 {
                best = best.min(fixture.filter.test_run(frame, 1).unwrap().1);
            }
            println!("{what}: {best:?}, a test run with its own overhead");
        };
        price("a SYN answered", &wanted(CLIENT4).frame());
        price("a SYN answered, IPv6", &wanted(CLIENT6).frame());
        price("a SYN to nobody", &Wanted { port: CLOSED, ..wanted(CLIENT4) }.frame());
        price("UDP beside it", &udp4(CLIENT4));
    });
}
