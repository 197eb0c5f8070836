//! The closed policy, and what counts as return traffic: with the kernel's real sockets, in a
//! namespace of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use gateway_common::{Class, Reason};
use gateway_tests::{netns::Namespace, wait::until};
use gateway_userspace::{
    config::model::{Answer, Kernel, Policy, Service},
    guard::kernel::{PacketFilter as _, ShadowOrders},
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockname, socket},
};

use super::{
    fixture::{DROP, Fixture, PASS, config, forever, is_possible, rows},
    rows::{icmp, ip4, ip4_with, ip6, ip6_to, tcp, udp},
};

const PEER: [u8; 4] = [8, 8, 4, 4];
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2a00, 1, 0, 0, 0, 0, 0, 9);
const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The destination of the frames of `rows`.
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn closed() -> Kernel {
    Kernel {
        policy: Policy::Closed,
        services: vec![Service::Tcp(22), Service::Udp(53), Service::Ip(50)],
        listening: vec![443],
        answers: rows(Answer::Pass).with(Reason::UdpAmplification, Answer::Drop),
        ..config()
    }
}

#[test]
fn closed_passes_what_is_served_and_what_a_host_needs() {
    if !is_possible("xdp::policy::closed_passes_what_is_served_and_what_a_host_needs") {
        return;
    }
    let fixture = Fixture::with(&closed());
    let passed = [
        (ip4(PEER, 6, &tcp(5000, 443, SYN)), Reason::Passed),
        (ip6(PEER6, 6, &tcp(5000, 22, ACK)), Reason::Passed),
        (ip4(PEER, 17, &udp(5000, 53)), Reason::Passed),
        (ip4(PEER, 17, &udp(53, 53)), Reason::Passed),
        (ip4(PEER, 50, &[0; 16]), Reason::Passed),
        (ip4([10, 0, 0, 1], 17, &udp(67, 68)), Reason::Dhcp),
        (ip6_to((LINK, NODES), 17, 64, &udp(547, 546)), Reason::Dhcp),
        (ip4(PEER, 1, &icmp(3, 4, 36)), Reason::IcmpEssential),
        (ip4(PEER, 1, &icmp(11, 0, 36)), Reason::IcmpEssential),
        (ip4(PEER, 1, &icmp(12, 0, 36)), Reason::IcmpEssential),
        (ip4(PEER, 1, &icmp(8, 0, 8)), Reason::Passed),
        (ip6(PEER6, 58, &icmp(2, 0, 48)), Reason::IcmpEssential),
        (ip6(PEER6, 58, &icmp(128, 0, 8)), Reason::Passed),
        (ip6_to((LINK, NODES), 58, 255, &icmp(134, 0, 16)), Reason::Neighbour),
        (ip6_to((LINK, NODES), 58, 1, &icmp(130, 0, 24)), Reason::Neighbour),
        (ip4_with(PEER, 17, 0x2000, &[], &udp(5000, 53)), Reason::FirstFragment),
        (ip4_with(PEER, 17, 185, &[], &[1; 16]), Reason::LaterFragment),
    ];
    for (frame, reason) in passed {
        assert_eq!(fixture.judge(&frame), (PASS, reason), "{frame:02x?}");
    }
    let dropped = [
        (ip4(PEER, 6, &tcp(5000, 80, SYN)), Reason::PortClosed),
        (ip4(PEER, 6, &tcp(5000, 53, SYN)), Reason::PortClosed),
        (ip4(PEER, 6, &tcp(443, 5000, ACK)), Reason::PortClosed),
        (ip4(PEER, 17, &udp(5000, 443)), Reason::PortClosed),
        (ip4(PEER, 17, &udp(5000, 22)), Reason::PortClosed),
        (ip4(PEER, 17, &udp(68, 67)), Reason::PortClosed),
        (ip4(PEER, 17, &udp(547, 546)), Reason::PortClosed),
        (ip6(PEER6, 17, &udp(67, 68)), Reason::PortClosed),
        (ip4(PEER, 17, &udp(123, 5000)), Reason::UdpAmplification),
        (ip4(PEER, 1, &icmp(0, 0, 8)), Reason::IcmpClosed),
        (ip4(PEER, 1, &icmp(5, 0, 36)), Reason::IcmpClosed),
        (ip4(PEER, 1, &icmp(13, 0, 20)), Reason::IcmpClosed),
        (ip6(PEER6, 58, &icmp(129, 0, 8)), Reason::IcmpClosed),
        (ip6_to((LINK, NODES), 58, 2, &icmp(130, 0, 24)), Reason::IcmpClosed),
        (ip6_to((PEER6, NODES), 58, 1, &icmp(143, 0, 8)), Reason::IcmpClosed),
        (ip4(PEER, 47, &[0; 16]), Reason::ProtocolClosed),
        (ip4(PEER, 58, &icmp(134, 0, 16)), Reason::ProtocolClosed),
        (ip6(PEER6, 1, &icmp(3, 0, 36)), Reason::ProtocolClosed),
        (ip4_with(PEER, 17, 0x2000, &[], &udp(5000, 54)), Reason::PortClosed),
    ];
    for (frame, reason) in dropped {
        assert_eq!(fixture.judge(&frame), (DROP, reason), "{frame:02x?}");
    }
}

#[test]
fn allow_is_exempt_from_the_policy_and_a_ban_comes_before_it() {
    if !is_possible("xdp::policy::allow_is_exempt_from_the_policy_and_a_ban_comes_before_it") {
        return;
    }
    let mut fixture = Fixture::with(&closed());
    let syn = ip4(PEER, 6, &tcp(5000, 80, SYN));
    fixture.filter.put_ban("8.8.0.0/16".parse().unwrap(), &forever()).unwrap();
    assert_eq!(fixture.judge(&syn), (DROP, Reason::BanPrefix));
    let lease = ip4(PEER, 17, &udp(67, 68));
    assert_eq!(fixture.judge(&lease), (DROP, Reason::BanPrefix));
    fixture.filter.put_allow("8.8.4.0/24".parse().unwrap()).unwrap();
    assert_eq!(fixture.judge(&syn), (PASS, Reason::Allowed));
}

#[test]
fn a_class_in_shadow_does_not_shield_from_the_others() {
    if !is_possible("xdp::policy::a_class_in_shadow_does_not_shield_from_the_others") {
        return;
    }
    let mut fixture = Fixture::with(&closed());
    fixture.filter.put_ban("8.8.0.0/16".parse().unwrap(), &forever()).unwrap();
    let orders = ShadowOrders { shadow: Class::Bans.bits(), enforce: 0 };
    fixture.filter.order_shadow(orders).unwrap();
    let served = ip4(PEER, 6, &tcp(5000, 443, SYN));
    let unserved = ip4(PEER, 6, &tcp(5000, 80, SYN));
    assert_eq!(fixture.judge(&served), (PASS, Reason::BanPrefix));
    assert_eq!(fixture.judge(&unserved), (DROP, Reason::PortClosed));
    let orders = ShadowOrders { shadow: Class::Bans.bits() | Class::Policy.bits(), enforce: 0 };
    fixture.filter.order_shadow(orders).unwrap();
    assert_eq!(fixture.judge(&unserved), (PASS, Reason::BanPrefix));
}

/// A namespace whose loopback holds the host's address, and swallows what goes to the peer.
fn host() -> Namespace {
    let namespace = Namespace::create("host").unwrap();
    namespace.ip(&["address", "add", &format!("{HOST}/32"), "dev", "lo"]).unwrap();
    namespace.ip(&["route", "add", "8.8.4.0/24", "dev", "lo"]).unwrap();
    namespace
}

#[test]
fn an_established_connection_is_return_traffic_and_its_listener_is_not() {
    let case = "xdp::policy::an_established_connection_is_return_traffic_and_its_listener_is_not";
    if !is_possible(case) {
        return;
    }
    let outcome = host().run(|| {
        let fixture = Fixture::with(&closed());
        let listener = TcpListener::bind((HOST, 0))?;
        let port = listener.local_addr()?.port();
        // A peer of the host's own, so that there is an answer.
        let stranger = ip4(PEER, 6, &tcp(5000, port, ACK));
        assert_eq!(fixture.judge(&stranger), (DROP, Reason::PortClosed));
        let client = TcpStream::connect((HOST, port))?;
        let local = client.local_addr()?.port();
        let mut answer = ip4(HOST.octets(), 6, &tcp(port, local, ACK));
        assert_eq!(fixture.judge(&answer).1, Reason::Land, "the frame is as it should be");
        // The row of equal addresses is met by this host's talk to itself alone; it passes here.
        assert_eq!(fixture.judge(&answer).0, PASS);
        answer[37] ^= 1;
        assert_eq!(fixture.judge(&answer), (DROP, Reason::PortClosed), "another port");
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_connection_on_its_way_is_return_traffic_until_it_is_over() {
    let case = "xdp::policy::a_connection_on_its_way_is_return_traffic_until_it_is_over";
    if !is_possible(case) {
        return;
    }
    let outcome = host().run(|| {
        let fixture = Fixture::with(&closed());
        let asking = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&asking);
        nix::sys::socket::bind(descriptor, &SockaddrIn::new(203, 0, 113, 1, 0))?;
        let [a, b, c, d] = PEER;
        let outcome = connect(descriptor, &SockaddrIn::new(a, b, c, d, 443));
        assert_eq!(outcome, Err(Errno::EINPROGRESS));
        let local = getsockname::<SockaddrIn>(descriptor)?.port();
        let answer = ip4(PEER, 6, &tcp(443, local, SYN | ACK));
        let others = [
            ip4([8, 8, 4, 5], 6, &tcp(443, local, SYN | ACK)),
            ip4(PEER, 6, &tcp(444, local, SYN | ACK)),
            ip4(PEER, 6, &tcp(443, local ^ 1, SYN | ACK)),
            ip4(PEER, 6, &tcp(443, local, SYN)),
        ];
        for other in &others {
            assert_eq!(fixture.judge(other), (DROP, Reason::PortClosed));
        }
        assert_eq!(fixture.judge(&answer), (PASS, Reason::ReturnTraffic));
        drop(asking);
        // What the socket table said counts for a few seconds more.
        let soon = std::time::Duration::from_mins(1);
        until("the end of the flow", soon, || {
            (fixture.judge(&answer) == (DROP, Reason::PortClosed)).then_some(())
        })
    });
    outcome.unwrap();
}

#[test]
fn a_connected_datagram_socket_gets_its_peers_answers_alone() {
    let case = "xdp::policy::a_connected_datagram_socket_gets_its_peers_answers_alone";
    if !is_possible(case) {
        return;
    }
    let outcome = host().run(|| {
        let mut open = config();
        open.answers = rows(Answer::Pass).with(Reason::UdpAmplification, Answer::Drop);
        let fixtures = [Fixture::with(&closed()), Fixture::with(&open)];
        let socket = UdpSocket::bind((HOST, 0))?;
        let local = socket.local_addr()?.port();
        let answer = ip4(PEER, 17, &udp(53, local));
        for fixture in &fixtures {
            assert_eq!(fixture.judge(&answer), (DROP, Reason::UdpAmplification));
        }
        socket.connect(SocketAddr::from((PEER, 53)))?;
        let [closed, open] = &fixtures;
        assert_eq!(closed.judge(&answer), (PASS, Reason::ReturnTraffic));
        assert_eq!(open.judge(&answer), (PASS, Reason::Passed));
        for fixture in &fixtures {
            let other = ip4([8, 8, 4, 5], 17, &udp(53, local));
            assert_eq!(fixture.judge(&other), (DROP, Reason::UdpAmplification));
        }
        let unlisted = ip4(PEER, 17, &udp(5000, local));
        assert_eq!(closed.judge(&unlisted), (DROP, Reason::PortClosed));
        assert_eq!(open.judge(&unlisted), (PASS, Reason::Passed));
        Ok(())
    });
    outcome.unwrap();
}
