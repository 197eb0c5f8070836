//! What a world makes of a packet: the order of section 1 of the policy, and section 4.

use std::net::{IpAddr, SocketAddr};

use super::{
    Cookies, Flow, Numbers, World,
    addresses::{LINK_LOCAL, is_mapped},
    reading::{ICMP, ICMPV6, Packet, Reading, Transport, flag},
    syn::Form,
};

/// What becomes of a packet, and under which reason it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub reason: u8,
    pub action: Action,
    /// It passes because what would have dropped it is in shadow mode.
    pub in_shadow: bool,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pass,
    Drop,
    /// Back, as the answer to what it was.
    Answer,
}

/// Rows of packets that no policy is asked about.
const WITHOUT_POLICY: Numbers = Numbers(1 << 2 | 0b1_1111_1111 << 20 | 1 << 30 | 1 << 31);

/// Rows that are looked for only where they drop.
const OPT_IN: [u8; 4] = [34, 35, 45, 46];

/// Judges.
pub fn judge(world: &World, reading: &Reading) -> Outcome {
    if world.panic {
        return passed(3);
    }
    let mut memory = Memory { shadow: world.shadow, first: None };
    if let Some(source) = reading.source
        && world.allowed.iter().any(|net| net.contains(&source))
    {
        let over = if world.allow_is_over { memory.drop(4) } else { None };
        return over.unwrap_or_else(|| memory.pass(1));
    }
    let rows = rows_met(world, reading);
    let course = course(world, reading, rows);
    let refused = match course {
        Course::Refuse(reason) => Some(reason),
        Course::On(_) => None,
    };
    let over = limit(world, reading);
    let dropped = reading
        .source
        .and_then(|source| ban(world, source))
        .and_then(|reason| memory.drop(reason))
        .or_else(|| memory.drop_rows(rows.and(world.drops)))
        .or_else(|| refused.and_then(|reason| memory.drop(reason)))
        .or_else(|| over.filter(|reason| drops(world, *reason)).and_then(|r| memory.drop(r)));
    dropped.or_else(|| answer(world, reading)).unwrap_or_else(|| {
        let exception = match course {
            Course::On(exception) => exception,
            Course::Refuse(_) => None,
        };
        let row = rows.without(world.drops).first();
        memory.pass(row.or(exception).or(over).unwrap_or(0))
    })
}

/// Of the limits, only the guard of the exact table has an answer to configure.
const fn drops(world: &World, limit: u8) -> bool {
    limit != 13 || world.drops.has(limit)
}

const fn passed(reason: u8) -> Outcome {
    Outcome { reason, action: Action::Pass, in_shadow: false }
}

/// What would have dropped the packet, were it not in shadow mode.
struct Memory {
    shadow: Numbers,
    first: Option<u8>,
}

impl Memory {
    fn drop(&mut self, reason: u8) -> Option<Outcome> {
        if self.shadow.has(reason) {
            self.first.get_or_insert(reason);
            return None;
        }
        Some(Outcome { reason, action: Action::Drop, in_shadow: false })
    }

    /// All rows that drop, at once: those in shadow do not speak for the others.
    fn drop_rows(&mut self, rows: Numbers) -> Option<Outcome> {
        if let Some(reason) = rows.and(self.shadow).first() {
            self.first.get_or_insert(reason);
        }
        let reason = rows.without(self.shadow).first()?;
        Some(Outcome { reason, action: Action::Drop, in_shadow: false })
    }

    fn pass(&self, reason: u8) -> Outcome {
        match self.first {
            Some(reason) => Outcome { reason, action: Action::Pass, in_shadow: true },
            None => passed(reason),
        }
    }
}

/// Single bans before those of lists, whole addresses before prefixes.
pub(crate) fn ban(world: &World, source: IpAddr) -> Option<u8> {
    let bans = world.bans.iter().filter(|ban| ban.is_live && ban.net.contains(&source));
    let first = bans.map(|ban| (ban.in_bulk, ban.net.prefix_len() < ban.net.max_prefix_len()));
    let (_, is_prefix) = first.min()?;
    Some(if is_prefix { 11 } else { 10 })
}

fn rows_met(world: &World, reading: &Reading) -> Numbers {
    let mut rows = reading.rows;
    if let Some(packet) = &reading.packet
        && is_amplified(world, packet)
    {
        rows = rows.with(46);
    }
    let ignored = OPT_IN.into_iter().filter(|row| !world.drops.has(*row));
    rows.without(ignored.fold(Numbers::default(), Numbers::with))
}

fn is_amplified(world: &World, packet: &Packet) -> bool {
    let Transport::Udp { from, to } = packet.transport else { return false };
    world.amplifiers.contains(&from) && !world.udp.contains(&to) && !is_return(world, packet)
}

/// What a policy says.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Goes on, perhaps under an exception.
    On(Option<u8>),
    Refuse(u8),
}

fn course(world: &World, reading: &Reading, rows: Numbers) -> Course {
    match &reading.packet {
        Some(packet) if world.closed && !rows.has_any_of(WITHOUT_POLICY) => closed(world, packet),
        _ => Course::On(None),
    }
}

fn closed(world: &World, packet: &Packet) -> Course {
    let is_v4 = packet.source.is_ipv4();
    match (packet.transport, packet.protocol) {
        (Transport::Tcp { to, .. }, _) if world.tcp.contains(&to) => Course::On(None),
        (Transport::Udp { to, .. }, _) if world.udp.contains(&to) => Course::On(None),
        (Transport::Udp { from: 67, to: 68 }, _) if is_v4 => Course::On(Some(7)),
        (Transport::Udp { from: 547, to: 546 }, _) if !is_v4 => Course::On(Some(7)),
        (Transport::Tcp { .. } | Transport::Udp { .. }, _) => {
            if is_return(world, packet) {
                Course::On(Some(5))
            } else {
                Course::Refuse(47)
            }
        }
        (Transport::Icmp { kind, .. }, ICMP) if is_v4 => match kind {
            3 | 11 | 12 => Course::On(Some(8)),
            8 => Course::On(None),
            _ => reply(world, packet),
        },
        (Transport::Icmp { kind, .. }, ICMPV6) if !is_v4 => icmpv6(world, packet, kind),
        (Transport::Other, protocol) if world.protocols.contains(&protocol) => Course::On(None),
        (Transport::Icmp { .. } | Transport::Other, _) => Course::Refuse(49),
    }
}

fn reply(world: &World, packet: &Packet) -> Course {
    if is_return(world, packet) { Course::On(Some(5)) } else { Course::Refuse(48) }
}

fn icmpv6(world: &World, packet: &Packet, kind: u8) -> Course {
    match kind {
        1..=4 => Course::On(Some(8)),
        128 => Course::On(None),
        133..=137 => Course::On(Some(6)),
        130..=132 | 143 if packet.hop_limit == 1 && is_on_link(packet.source) => {
            Course::On(Some(6))
        }
        _ => reply(world, packet),
    }
}

fn is_on_link(source: IpAddr) -> bool {
    source.is_unspecified() || matches!(source, IpAddr::V6(source) if LINK_LOCAL.contains(&source))
}

/// Answers to what a connected socket of this host sent, or to what was seen on its way out.
fn is_return(world: &World, packet: &Packet) -> bool {
    !is_mapped(packet.source)
        && answered(packet).is_some_and(|answered| world.flows.contains(&answered))
}

/// What the packet would be the answer to.
fn answered(packet: &Packet) -> Option<Flow> {
    let (from, to) = match packet.transport {
        Transport::Tcp { flags, .. } if flags & (flag::SYN | flag::ACK) == flag::SYN => {
            return None;
        }
        Transport::Tcp { from, to, .. } | Transport::Udp { from, to } => (from, to),
        Transport::Icmp { kind, identifier, .. } => {
            let reply = if packet.source.is_ipv4() { 0 } else { 129 };
            return (kind == reply).then(|| flow(packet, 0, identifier));
        }
        Transport::Other => return None,
    };
    Some(flow(packet, from, to))
}

fn flow(packet: &Packet, from: u16, to: u16) -> Flow {
    Flow {
        protocol: packet.protocol,
        remote: SocketAddr::new(packet.source, from),
        local: SocketAddr::new(packet.destination, to),
    }
}

/// What a packet on its way out asks for: datagrams but for those of served ports, and echo
/// requests; of groups nobody answers.
pub fn asked(world: &World, reading: &Reading) -> Option<Flow> {
    let packet = reading.packet.filter(|packet| !is_group(packet.destination))?;
    let (from, to) = match (packet.transport, packet.protocol, packet.source.is_ipv4()) {
        (Transport::Udp { from, .. }, _, _) if world.udp.contains(&from) => return None,
        (Transport::Udp { from, to }, _, _) => (from, to),
        (Transport::Icmp { kind: 8, identifier, .. }, ICMP, true)
        | (Transport::Icmp { kind: 128, identifier, .. }, ICMPV6, false) => (identifier, 0),
        _ => return None,
    };
    Some(Flow {
        protocol: packet.protocol,
        remote: SocketAddr::new(packet.destination, to),
        local: SocketAddr::new(packet.source, from),
    })
}

/// `224.0.0.0/4` and above, `ff00::/8`.
const fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] >= 224,
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// What becomes of a SYN that nothing dropped, while SYNs flood in.
fn answer(world: &World, reading: &Reading) -> Option<Outcome> {
    let (cookies, form) = (world.cookies.as_ref()?, reading.syn?);
    if world.shadow.has(50) {
        return Some(Outcome { reason: 50, action: Action::Pass, in_shadow: true });
    }
    let reason = asked_for(world, cookies, reading.packet.as_ref()?, form);
    let is_drop = (52..=54).contains(&reason);
    let in_shadow = is_drop && world.shadow.has(reason);
    let action = match reason {
        50 => Action::Answer,
        _ if is_drop && !in_shadow => Action::Drop,
        _ => Action::Pass,
    };
    Some(Outcome { reason, action, in_shadow })
}

fn asked_for(world: &World, cookies: &Cookies, packet: &Packet, form: Form) -> u8 {
    if form != Form::Strange && !cookies.own.contains(&packet.destination) {
        return 51;
    }
    let Transport::Tcp { from, to, .. } = packet.transport else { return 51 };
    match form {
        Form::Strange | Form::Forged => 51,
        Form::Damaged => 52,
        Form::Loaded => 53,
        Form::Sound if world.flows.contains(&flow(packet, from, to)) => 51,
        Form::Sound => match cookies.listeners.contains(&SocketAddr::new(packet.destination, to)) {
            false => 0,
            true if cookies.is_capped => 54,
            true => 50,
        },
    }
}

/// Limits of SYNs ask for TCP with SYN and without ACK.
fn limit(world: &World, reading: &Reading) -> Option<u8> {
    let exhausted = world.limit.as_ref()?;
    let is_syn = reading.packet.is_some_and(|packet| match packet.transport {
        Transport::Tcp { flags, .. } => flags & (flag::SYN | flag::ACK) == flag::SYN,
        Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Other => false,
    });
    let applies = is_syn || matches!(exhausted.reason, 12 | 13 | 15);
    let is_over = applies && exhausted.sources.contains(&reading.source?);
    is_over.then_some(exhausted.reason)
}
