//! The closed policy on a real wire: what is served and what the host asked for works, with IPv4
//! and IPv6, and nothing else comes in.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Result, ensure};
use gateway_tests::{
    client::{Ask, Version},
    datagrams::{Echo, PATIENCE, is_answered, socket},
    gateway::Gateway,
    lab::{GATEWAY, GATEWAY_V6, HONEST, Lab},
    origin::Origin,
    settings::services,
    skip,
    wait::until,
};

use super::SOON;

const CLOSED: &str = "attach = \"native\"\n\
     policy = \"closed\"\n\
     capacity = { hosts = 1000, prefixes = 100, allow = 100, limits = 4096 }";

const PEER_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));

fn closed(lab: &Lab, origin: &Origin) -> gateway_tests::settings::Settings {
    let mut settings = lab.settings();
    CLOSED.clone_into(&mut settings.kernel);
    settings.services = services(origin.http1, origin.h2c);
    settings
}

fn supplier_answers(lab: &Lab, origin: &Origin) -> Result<()> {
    let before = origin.served();
    let client = lab.client(HONEST, Version::Http1)?;
    let answer =
        lab.outside.block_on(|| async move { client.once(&Ask::get("/status/204")).await })?;
    ensure!(answer.status == 204, "{answer:?}");
    ensure!(origin.served() == before + 1);
    Ok(())
}

#[test]
fn closed_serves_and_asks_and_lets_nothing_else_in() -> Result<()> {
    if skip::without_root("netns::closed_serves_and_asks_and_lets_nothing_else_in")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let origin = Origin::start(&lab.outside, "10.77.0.2")?;
    let mut gateway = lab.gateway(&closed(&lab, &origin))?;
    gateway.start()?;
    supplier_answers(&lab, &origin)?;
    names_and_times_are_answered(&lab)?;
    unasked_datagrams_are_dropped(&lab, &gateway)?;
    unserved_ports_are_closed(&lab, &gateway)?;
    let status = gateway.status()?;
    let edge = &status.kernel.interfaces[0];
    ensure!(edge.egress == "seen", "{}", edge.egress);
    let counted = |name: &str| edge.counters.iter().any(|counter| counter.reason == name);
    for reason in ["passed", "return_traffic", "port_closed", "neighbour"] {
        ensure!(counted(reason), "{reason} is not among {:?}", edge.counters);
    }
    Ok(())
}

/// DNS from a port of its own each time, NTP from port 123 to port 123.
fn names_and_times_are_answered(lab: &Lab) -> Result<()> {
    for (host, peer) in [(IpAddr::V4(GATEWAY), HONEST), (IpAddr::V6(GATEWAY_V6), PEER_V6)] {
        for (local, port) in [(0, 53), (123, 123)] {
            let server = SocketAddr::from((peer, port));
            let _echo = Echo::start(&lab.outside, server)?;
            is_answered(&socket(&lab.inside, SocketAddr::from((host, local)))?, server, SOON)?;
        }
    }
    Ok(())
}

fn unasked_datagrams_are_dropped(lab: &Lab, gateway: &Gateway<'_>) -> Result<()> {
    let victim = socket(&lab.inside, SocketAddr::from((GATEWAY, 0)))?;
    let target = victim.local_addr()?;
    for (port, reason) in [(53, "udp_amplification"), (5000, "port_closed")] {
        let before = gateway.packets(reason)?;
        lab.outside.run(|| {
            Ok(UdpSocket::bind(SocketAddr::from((HONEST, port)))?.send_to(b"unasked", target)?)
        })?;
        until(reason, SOON, || (gateway.packets(reason).ok()? > before).then_some(()))?;
    }
    ensure!(victim.recv(&mut [0; 64]).is_err(), "something came through");
    Ok(())
}

fn unserved_ports_are_closed(lab: &Lab, gateway: &Gateway<'_>) -> Result<()> {
    let listener = lab.inside.run(|| Ok(TcpListener::bind((GATEWAY, 0))?))?;
    let address = listener.local_addr()?;
    let before = gateway.packets("port_closed")?;
    let reached = lab.outside.run(|| Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok()))?;
    ensure!(!reached, "a port that is not served is open");
    ensure!(gateway.packets("port_closed")? > before);
    Ok(())
}

#[test]
fn closed_goes_on_answering_the_host_while_the_guard_is_dead() -> Result<()> {
    if skip::without_root("netns::closed_goes_on_answering_the_host_while_the_guard_is_dead")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let origin = Origin::start(&lab.outside, "10.77.0.2")?;
    let mut gateway = lab.gateway(&closed(&lab, &origin))?;
    gateway.start()?;
    let server = SocketAddr::from((HONEST, 53));
    let _echo = Echo::start(&lab.outside, server)?;
    gateway.kill_guard()?;
    is_answered(&socket(&lab.inside, SocketAddr::from((GATEWAY, 0)))?, server, SOON)?;
    supplier_answers(&lab, &origin)
}
