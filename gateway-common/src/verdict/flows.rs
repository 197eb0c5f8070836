//! Return traffic: what this host asked for. A cache in front of the kernel's own sockets; only
//! what one of them or this host's own sending vouches for comes in, so that a flood cannot.

use super::Rules;
use crate::{
    maps::{FlowKey, PortSet},
    packet::{Address, Packet, protocol},
    verdict::policy,
};

/// What the rules of this file look up.
pub trait FlowTables {
    /// When the flow was last seen, on the tick clock.
    fn flow(&self, key: &FlowKey) -> Option<u64>;
    /// Enters it as seen `now`.
    fn remember_flow(&self, key: &FlowKey, now: u64);
    /// True if a socket of this host is connected, or connecting, to the peer.
    fn has_socket(&self, key: &FlowKey) -> bool;
}

/// How long the word of the socket table counts for TCP.
const VERIFIED_NS: u64 = 5_000_000_000;

/// A flow is entered anew after this part of its time: most packets only read.
const RENEW_SHARE: u64 = 4;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// True if the packet answers what this host sent.
#[inline(always)]
pub(super) fn is_return<T: FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> bool {
    let Some(key) = incoming(packet) else { return false };
    let valid_ns =
        if packet.protocol == protocol::TCP { VERIFIED_NS } else { rules.policy.flow_ns };
    if let Some(seen) = tables.flow(&key)
        && now <= seen.saturating_add(valid_ns)
    {
        return true;
    }
    let is_verified =
        matches!(packet.protocol, protocol::TCP | protocol::UDP) && tables.has_socket(&key);
    if is_verified {
        tables.remember_flow(&key, now);
    }
    is_verified
}

/// The flow a packet would be the answer in.
#[inline(always)]
fn incoming(packet: &Packet) -> Option<FlowKey> {
    let (remote_port, local_port) = match packet.protocol {
        protocol::TCP | protocol::UDP => (packet.source_port, packet.destination_port),
        protocol::ICMP | protocol::ICMPV6 => (0, packet.source_port),
        _ => return None,
    };
    let remote = known(packet)?;
    let (protocol, version) = (packet.protocol, packet.version);
    let local = packet.to;
    Some(FlowKey { remote, local, remote_port, local_port, protocol, version, zero: 0 })
}

/// True for the answer to an echo request.
#[inline(always)]
pub(super) const fn is_echo_reply(packet: &Packet) -> bool {
    matches!((packet.version, packet.icmp_type()), (4, ECHO_REPLY) | (6, ECHO_REPLY_V6))
}

/// Enters what this host sends, if an answer to it could not be told otherwise: datagrams that do
/// not answer for a served port, and echo requests.
#[inline(always)]
pub fn depart<T: FlowTables + policy::PolicyTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) {
    if !packet.is_readable() || is_multicast(packet) {
        return;
    }
    let (remote_port, local_port) = match (packet.protocol, packet.version) {
        (protocol::UDP, _) => (packet.destination_port, packet.source_port),
        (protocol::ICMP, 4) if packet.icmp_type() == ECHO_REQUEST => (0, packet.source_port),
        (protocol::ICMPV6, 6) if packet.icmp_type() == ECHO_REQUEST_V6 => (0, packet.source_port),
        _ => return,
    };
    if packet.protocol == protocol::UDP && policy::is_in(PortSet::Udp, local_port, rules, tables) {
        return;
    }
    let Some(local) = known(packet) else { return };
    let (protocol, version, remote) = (packet.protocol, packet.version, packet.to);
    let key = FlowKey { remote, local, remote_port, local_port, protocol, version, zero: 0 };
    let is_fresh = tables
        .flow(&key)
        .is_some_and(|seen| now < seen.saturating_add(rules.policy.flow_ns / RENEW_SHARE));
    if !is_fresh {
        tables.remember_flow(&key, now);
    }
}

/// The source, if it is of the packet's own version.
#[inline(always)]
const fn known(packet: &Packet) -> Option<Address> {
    if packet.family != 0 && packet.family == packet.version { Some(packet.from) } else { None }
}

/// Answers to these come from another address, so a flow would match none.
#[inline(always)]
const fn is_multicast(packet: &Packet) -> bool {
    let [first, ..] = packet.to;
    let first = u32::from_be(first) >> 24;
    if packet.version == 6 { first == 0xff } else { first >= 224 }
}
