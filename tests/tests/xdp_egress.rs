//! What this host sends is seen, so that the answers come in: from unconnected sockets and to
//! pings, on every kernel, by a link or by an older tc filter. Without the daemons, on a real wire.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gateway_common::Reason;
use gateway_tests::{
    datagrams::{Echo, PATIENCE, Pinger, is_answered, socket},
    kernel::kernel,
    lab::{GATEWAY, GATEWAY_V6, HONEST, INTERFACE, Lab, PEER},
    netns::command,
    pins::Pins,
    skip,
    veth::{End, connect},
    wait::{pause, until},
};
use gateway_userspace::{
    config::model::{Answer, Attach, Kernel, Policy},
    guard::kernel::{Filter, PacketFilter, ShadowOrders},
};

const SOON: Duration = Duration::from_secs(20);
const DNS: u16 = 53;
const NTP: u16 = 123;
const PEER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
const ENFORCED: ShadowOrders =
    ShadowOrders { shadow: 0, enforce: 1 << Reason::UdpAmplification.number() };

fn config(pins: &Pins, policy: Policy) -> Kernel {
    let before = kernel(pins.0.clone());
    Kernel {
        interfaces: vec![INTERFACE.to_owned()],
        attach: Attach::Native,
        policy,
        amplifiers: vec![DNS, NTP],
        answers: before.answers.with(Reason::UdpAmplification, Answer::Drop),
        ..before
    }
}

fn start(lab: &Lab, config: &Kernel) -> Result<Filter> {
    lab.inside.run(|| {
        let mut filter = Filter::open(config)?;
        filter.attach()?;
        Ok(filter)
    })
}

/// What the filter says of the way out.
fn said(lab: &Lab, filter: &Filter) -> Result<String> {
    let status = lab.inside.run(|| Ok(filter.status()))?;
    Ok(status.interfaces.first().context("no interface")?.egress.clone())
}

/// Tells also that one program is there, and no second.
fn is_seen(lab: &Lab, filter: &Filter) -> Result<()> {
    let (said, filters) = (said(lab, filter)?, tc_filters(lab)?);
    let one = (said == "seen" && filters == 0) || (said == "seen by a tc filter" && filters == 1);
    ensure!(one, "{said}, with {filters} filters");
    ensure!(filter.sight() == [(INTERFACE.to_owned(), true)], "{:?}", filter.sight());
    Ok(())
}

fn tc_filters(lab: &Lab) -> Result<usize> {
    let shown =
        command("tc", &["-netns", lab.inside.name(), "filter", "show", "dev", INTERFACE, "egress"]);
    Ok(shown?.lines().filter(|line| line.contains("gateway_egress")).count())
}

fn counted(filter: &Filter, reason: Reason) -> Result<(u64, u64)> {
    let counts = filter.counters()?;
    let of_it = counts.iter().find(|count| count.reason == reason.number());
    Ok(of_it.map_or((0, 0), |count| (count.packets, count.shadow_packets)))
}

/// One question from a socket that is connected to nobody.
fn asks(lab: &Lab, local: (IpAddr, u16), server: (IpAddr, u16)) -> Result<()> {
    let server = SocketAddr::from(server);
    let _echo = Echo::start(&lab.outside, server)?;
    is_answered(&socket(&lab.inside, SocketAddr::from(local))?, server, SOON)
}

/// DNS from a port of its own each time, NTP from port 123 to port 123.
fn names_and_times_are_answered(lab: &Lab) -> Result<()> {
    for (host, peer) in [(IpAddr::V4(GATEWAY), HONEST), (IpAddr::V6(GATEWAY_V6), PEER_V6)] {
        asks(lab, (host, 0), (peer, DNS))?;
        asks(lab, (host, NTP), (peer, NTP))?;
    }
    Ok(())
}

/// A datagram that nobody asked for, from a port of amplifiers: true if it reached its socket.
fn arrives_unasked(lab: &Lab) -> Result<bool> {
    let victim = socket(&lab.inside, SocketAddr::from((GATEWAY, 0)))?;
    let attacker = socket(&lab.outside, SocketAddr::from((HONEST, DNS)))?;
    attacker.send_to(b"unasked", victim.local_addr()?)?;
    Ok(victim.recv(&mut [0; 64]).is_ok())
}

#[test]
fn answers_to_unconnected_sockets_come_in_under_both_policies_and_nothing_unasked() -> Result<()> {
    let case = "answers_to_unconnected_sockets_come_in_under_both_policies_and_nothing_unasked";
    if skip::without_root(case)? {
        return Ok(());
    }
    for policy in [Policy::Open, Policy::Closed] {
        let (lab, pins) = (Lab::build()?, Pins::new());
        let filter = start(&lab, &config(&pins, policy))?;
        is_seen(&lab, &filter)?;
        names_and_times_are_answered(&lab).with_context(|| format!("{policy:?}"))?;
        ensure!(!arrives_unasked(&lab)?, "{policy:?}");
        ensure!(counted(&filter, Reason::UdpAmplification)?.0 > 0, "{policy:?}");
    }
    Ok(())
}

#[test]
fn closed_lets_in_answers_to_pings_and_no_other_echoes() -> Result<()> {
    if skip::without_root("closed_lets_in_answers_to_pings_and_no_other_echoes")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let filter = start(&lab, &config(&pins, Policy::Closed))?;
    let IpAddr::V4(peer) = HONEST else { return Ok(()) };
    Pinger::open(&lab.inside, 0x4711)?.is_answered(peer, SOON)?;
    // Nobody here has pinged with this one.
    let (listener, stranger) =
        (Pinger::open(&lab.inside, 0x0815)?, Pinger::open(&lab.outside, 0x0815)?);
    let before = counted(&filter, Reason::IcmpClosed)?.0;
    stranger.answer_unasked(GATEWAY)?;
    ensure!(!listener.hears_echo(), "an echo that nobody asked for");
    ensure!(counted(&filter, Reason::IcmpClosed)?.0 > before);
    Ok(())
}

#[test]
fn one_program_is_on_the_way_out_after_any_number_of_starts() -> Result<()> {
    if skip::without_root("one_program_is_on_the_way_out_after_any_number_of_starts")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut config = config(&pins, Policy::Closed);
    for round in 0..4 {
        // Even rounds change the capacity, and so the folder and the maps.
        config.capacity.hosts += 1 - round % 2;
        let filter = start(&lab, &config)?;
        is_seen(&lab, &filter)?;
        asks(&lab, (IpAddr::V4(GATEWAY), 0), (HONEST, DNS))?;
    }
    // Another interface in its place, and another folder.
    let other = Kernel { interfaces: vec!["lo".to_owned()], attach: Attach::Generic, ..config };
    drop(start(&lab, &other)?);
    ensure!(tc_filters(&lab)? == 0, "it is left behind");
    Ok(())
}

#[test]
fn what_is_sent_is_seen_again_when_the_interface_comes_back() -> Result<()> {
    if skip::without_root("what_is_sent_is_seen_again_when_the_interface_comes_back")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut filter = start(&lab, &config(&pins, Policy::Closed))?;
    let mut tend = || lab.inside.run(|| Ok(filter.tend()?));
    lab.inside.ip(&["link", "delete", INTERFACE])?;
    tend()?;
    let near = End {
        namespace: &lab.inside,
        interface: INTERFACE,
        addresses: &["10.77.0.1/16", "fd77::1/64"],
    };
    let far = End {
        namespace: &lab.outside,
        interface: PEER,
        addresses: &["10.77.0.2/16", "fd77::2/64"],
    };
    connect(near, far)?;
    tend()?;
    asks(&lab, (IpAddr::V4(GATEWAY), 0), (HONEST, DNS))?;
    if said(&lab, &filter)? == "seen by a tc filter" {
        // Unlike a link it can be taken off by anybody.
        let delete = ["-netns", lab.inside.name(), "qdisc", "delete", "dev", INTERFACE, "clsact"];
        command("tc", &delete)?;
        lab.inside.run(|| Ok(filter.tend()?))?;
        asks(&lab, (IpAddr::V4(GATEWAY), 0), (HONEST, DNS))?;
    }
    is_seen(&lab, &filter)
}

/// Where nobody sees the questions, an open policy must not drop the answers, whoever orders it.
#[test]
fn an_open_policy_that_cannot_see_counts_amplifiers_and_drops_nothing() -> Result<()> {
    let case = "an_open_policy_that_cannot_see_counts_amplifiers_and_drops_nothing";
    if skip::without_root(case)? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let ingress = |change| {
        command("tc", &["-netns", lab.inside.name(), "qdisc", change, "dev", INTERFACE, "ingress"])
    };
    // It has the place of the discipline that filters on the way out hang from.
    ingress("add")?;
    let open = config(&pins, Policy::Open);
    let mut filter = start(&lab, &open)?;
    let told = said(&lab, &filter)?;
    if told == "seen" {
        return skip::record(case, "a link needs no queue discipline: nothing keeps this one off");
    }
    ensure!(told.starts_with("not seen: ") && told.contains("ingress"), "{told}");
    ensure!(filter.sight() == [(INTERFACE.to_owned(), false)], "{:?}", filter.sight());
    names_and_times_are_answered(&lab)?;
    filter.order_shadow(ENFORCED)?;
    ensure!(filter.in_shadow()? == ENFORCED.enforce, "what is ordered is not what holds");
    ensure!(filter.shadow_orders() == ENFORCED, "what was ordered is remembered");
    names_and_times_are_answered(&lab)?;
    let (packets, shadow) = counted(&filter, Reason::UdpAmplification)?;
    ensure!(packets == shadow && shadow >= 8, "{shadow} of {packets}");
    // A guard that cannot see either takes over, and lets answers in before it attaches.
    drop(filter);
    let unattached = lab.inside.run(|| Ok(Filter::open(&open)?))?;
    names_and_times_are_answered(&lab)?;
    drop(unattached);
    ingress("delete")?;
    let filter = start(&lab, &open)?;
    ensure!(said(&lab, &filter)? == "seen by a tc filter");
    names_and_times_are_answered(&lab)?;
    pause(PATIENCE);
    ensure!(!arrives_unasked(&lab)?, "it sees, and drops what nobody asked for");
    until("the count", SOON, || {
        let (packets, shadow) = counted(&filter, Reason::UdpAmplification).ok()?;
        (packets > shadow).then_some(())
    })
}
