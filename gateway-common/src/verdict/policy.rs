//! Which ports and protocols are served: `open` refuses none, `closed` all that is not configured,
//! asked for by this host, or needed for the host to be reached at all.

use super::{Notes, Rules, flows};
use crate::{
    Reason,
    maps::{PortSet, port_bit, port_word},
    packet::{Packet, address, link_local, protocol, unspecified},
};

/// What the rules of this file look up.
pub trait PolicyTables {
    /// A word of the sets of ports.
    fn ports(&self, word: u32) -> u64;
}

/// `Ok` with the reason to pass, `Err` with the reason to drop. Only for packets whose headers
/// were read.
#[inline(always)]
pub(super) fn judge<T: PolicyTables + flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    notes: &mut Notes,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let closed = rules.policy.is_closed();
    match packet.protocol {
        protocol::UDP => udp(packet, rules, notes, tables, now),
        _ if !closed => Ok(Reason::Passed),
        protocol::TCP => tcp(packet, rules, tables, now),
        protocol::ICMP if packet.version == 4 => icmp(packet, rules, tables, now),
        protocol::ICMPV6 if packet.version == 6 => icmpv6(packet, rules, tables, now),
        protocol if rules.policy.serves_protocol(protocol) => Ok(Reason::Passed),
        _ => Err(Reason::ProtocolClosed),
    }
}

/// True if the port is in the set, in the slot in force.
#[inline(always)]
pub(super) fn is_in<T: PolicyTables>(
    set: PortSet,
    port: u16,
    rules: &Rules<'_>,
    tables: &T,
) -> bool {
    tables.ports(port_word(rules.slot, set, port)) & port_bit(port) != 0
}

#[inline(always)]
fn tcp<T: PolicyTables + flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if is_in(PortSet::Tcp, packet.destination_port, rules, tables) {
        return Ok(Reason::Passed);
    }
    // The flood of floods: nothing is looked up for it.
    if packet.asks_for_connection() {
        return Err(Reason::PortClosed);
    }
    returning(packet, rules, tables, now).ok_or(Reason::PortClosed)
}

/// Amplified answers nobody asked for are refused under both policies.
#[inline(always)]
fn udp<T: PolicyTables + flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    notes: &mut Notes,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    let closed = rules.policy.is_closed();
    let amplified = rules.policy.drops(Reason::UdpAmplification)
        && is_in(PortSet::Amplifiers, packet.source_port, rules, tables);
    if !(closed || amplified) || is_in(PortSet::Udp, packet.destination_port, rules, tables) {
        return Ok(Reason::Passed);
    }
    let returning = returning(packet, rules, tables, now);
    if amplified && returning.is_none() {
        notes.refuse(Reason::UdpAmplification, rules)?;
    }
    if !closed {
        return Ok(Reason::Passed);
    }
    if is_from_dhcp_server(packet) {
        return Ok(Reason::Dhcp);
    }
    returning.ok_or(Reason::PortClosed)
}

/// RFC 2131 section 4.1, RFC 8415 section 7.2: only what comes to a client.
#[inline(always)]
const fn is_from_dhcp_server(packet: &Packet) -> bool {
    match packet.version {
        4 => address::is_udp(packet, 67, 68),
        _ => address::is_udp(packet, 547, 546),
    }
}

/// Unreachable (with "fragmentation needed"), time exceeded, parameter problem: RFC 1122 section
/// 3.2.2, RFC 1191.
#[inline(always)]
fn icmp<T: flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    match packet.icmp_type() {
        3 | 11 | 12 => Ok(Reason::IcmpEssential),
        8 => Ok(Reason::Passed),
        _ => reply(packet, rules, tables, now),
    }
}

/// RFC 4890 section 4.4: errors, discovery of neighbours and of multicast listeners.
#[inline(always)]
fn icmpv6<T: flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    match packet.icmp_type() {
        1..=4 => Ok(Reason::IcmpEssential),
        128 => Ok(Reason::Passed),
        133..=137 => Ok(Reason::Neighbour),
        130..=132 | 143 if is_from_link(packet) => Ok(Reason::Neighbour),
        _ => reply(packet, rules, tables, now),
    }
}

/// RFC 3810 section 5: hop limit 1, from the link or from a host without address.
#[inline(always)]
fn is_from_link(packet: &Packet) -> bool {
    let source = packet.from;
    packet.family == 6 && packet.hop_limit == 1 && (link_local(source) || unspecified(source))
}

#[inline(always)]
fn reply<T: flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Result<Reason, Reason> {
    if !flows::is_echo_reply(packet) {
        return Err(Reason::IcmpClosed);
    }
    returning(packet, rules, tables, now).ok_or(Reason::IcmpClosed)
}

#[inline(always)]
fn returning<T: flows::FlowTables>(
    packet: &Packet,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Option<Reason> {
    flows::is_return(packet, rules, tables, now).then_some(Reason::ReturnTraffic)
}
