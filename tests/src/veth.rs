//! Two namespaces joined by a veth pair, as close to a NIC as a test gets: native XDP runs on it.

use std::net::IpAddr;

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;

use crate::netns::{Namespace, command};

/// One end of a pair.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub interface: &'a str,
    /// With prefix length, such as `10.77.0.1/16`.
    pub addresses: &'a [&'a str],
}

/// Hardware addresses of both ends.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub near: [u8; 6],
    pub far: [u8; 6],
}

/// Creates the pair and brings both ends up.
pub fn connect(near: End<'_>, far: End<'_>) -> Result<Pair> {
    let (a, b) = (near.namespace.name(), far.namespace.name());
    let peer = ["peer", "name", far.interface, "netns", b];
    let mut add = vec!["link", "add", near.interface, "netns", a, "type", "veth"];
    add.extend(peer);
    command("ip", &add)?;
    bring_up(near)?;
    bring_up(far)?;
    Ok(Pair { near: hardware_address(near)?, far: hardware_address(far)? })
}

/// The interface's link-layer address, which also names the interface to packet sockets.
pub fn link_address(interface: &str) -> Result<LinkAddr> {
    let mut all = getifaddrs().context("listing interfaces")?;
    all.find_map(|entry| {
        let address = entry.address.filter(|_| entry.interface_name == interface)?;
        address.as_link_addr().copied()
    })
    .with_context(|| format!("no interface {interface}"))
}

fn bring_up(end: End<'_>) -> Result<()> {
    for address in end.addresses {
        let mut add = vec!["address", "add", address, "dev", end.interface];
        let host = address.split('/').next().unwrap_or(address);
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            // Nobody else is on this link: do not wait for duplicates to answer.
            add.push("nodad");
        }
        end.namespace.ip(&add)?;
    }
    end.namespace.ip(&["link", "set", end.interface, "up"])?;
    // A local stack leaves checksums to the "hardware" of a veth, which has none; and XDP_TX out
    // of the other end needs NAPI here, which `gro on` brings.
    let arguments = ["-K", end.interface, "tx", "off", "gro", "on"];
    end.namespace.run(|| command("ethtool", &arguments).map(drop))
}

fn hardware_address(end: End<'_>) -> Result<[u8; 6]> {
    let address = end.namespace.run(|| link_address(end.interface))?;
    address.addr().with_context(|| format!("{} has no hardware address", end.interface))
}
