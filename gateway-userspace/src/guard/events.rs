//! What the guard remembers of a source for `gateway why`, and how fast the loop is: the time from
//! the last strike to the ban in the map, and to the first packet that died of it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use ipnet::IpNet;
use tracing::info;

use super::{
    address::source,
    bans::Sentence,
    kernel::{DropEvent, Transport},
    recent::Recent,
};
use crate::{
    control::{DropRecord, StrikeRecord},
    sampled::Icmp,
};

/// Sources remembered, those that struck and those whose packets were dropped each.
const SOURCES: u32 = 8192;

/// Strikes, and drops, remembered of each.
const EACH: usize = 16;

/// Bans whose first drop is waited for.
const AWAITED: u32 = 1024;

/// What is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    /// Apart from the drops: a flood from forged sources may not wash away who struck.
    strikes: Recent<IpNet, VecDeque<Strike>>,
    dropped: Recent<IpNet, VecDeque<Drop>>,
    awaited: Recent<IpNet, u64>,
    drops: u64,
    to_map: Latency,
    to_drop: Latency,
}

#[derive(Debug)]
struct Strike {
    at: Instant,
    reason: Reason,
    weight: u32,
}

/// What is remembered of a drop: not the frame's bytes, of which there would be too many.
#[derive(Debug)]
struct Drop {
    at_ns: u64,
    reason: Reason,
    shadow: bool,
    protocol: u8,
    transport: Transport,
}

/// Microseconds, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) last: u64,
    pub(super) max: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            strikes: Recent::new(SOURCES),
            dropped: Recent::new(SOURCES),
            awaited: Recent::new(AWAITED),
            drops: 0,
            to_map: Latency::default(),
            to_drop: Latency::default(),
        }
    }
}

impl Memory {
    pub(super) fn struck(&mut self, net: IpNet, reason: Reason, weight: u32, now: Instant) {
        let strikes = self.strikes.entry(net, VecDeque::new);
        push(strikes, Strike { at: now, reason, weight });
    }

    /// A strike of `struck_ns` led to a ban that the map holds since `held_ns`.
    pub(super) fn banned(&mut self, sentence: &Sentence, struck_ns: u64, held_ns: u64) {
        let strike_to_map_us = micros(struck_ns, held_ns);
        self.to_map.add(strike_to_map_us);
        *self.awaited.entry(sentence.net, || struck_ns) = struck_ns;
        info!(
            source = %sentence.net,
            reason = %sentence.reason,
            ttl = sentence.ttl.as_secs(),
            relapse = sentence.relapse,
            strike_to_map_us,
            "banned"
        );
    }

    /// The kernel dropped a packet and sampled it.
    pub(super) fn dropped(&mut self, event: &DropEvent) {
        self.drops += 1;
        let Some(net) = event.source.map(source) else { return };
        let DropEvent { at_ns, reason, shadow, protocol, transport, .. } = *event;
        let drop = Drop { at_ns, reason, shadow, protocol, transport };
        push(self.dropped.entry(net, VecDeque::new), drop);
        if !matches!(event.reason, Reason::BanHost | Reason::BanPrefix) {
            return;
        }
        if let Some(struck_ns) = self.awaited.remove(net) {
            let strike_to_drop_us = micros(struck_ns, event.at_ns);
            self.to_drop.add(strike_to_drop_us);
            info!(source = %net, reason = %event.reason, strike_to_drop_us, "first packet dropped");
        }
    }

    /// The last strikes of a source, newest first.
    pub(super) fn strikes(&self, net: IpNet, now: Instant) -> Vec<StrikeRecord> {
        let record = |strike: &Strike| StrikeRecord {
            reason: strike.reason.name().to_owned(),
            weight: strike.weight,
            seconds_ago: now.saturating_duration_since(strike.at).as_secs(),
        };
        let strikes = self.strikes.get(net);
        strikes.map_or_else(Vec::new, |strikes| strikes.iter().rev().map(record).collect())
    }

    /// The last sampled drops of a source, newest first. `now_ns` is `CLOCK_MONOTONIC`.
    pub(super) fn drops(&self, net: IpNet, now_ns: u64) -> Vec<DropRecord> {
        let drops = self.dropped.get(net);
        let record = |drop: &Drop| drop.record(now_ns);
        drops.map_or_else(Vec::new, |drops| drops.iter().rev().map(record).collect())
    }

    /// Sampled drops that were heard of.
    pub(super) fn drop_events(&self) -> u64 {
        self.drops
    }

    pub(super) fn to_map(&self) -> Latency {
        self.to_map
    }

    pub(super) fn to_drop(&self) -> Latency {
        self.to_drop
    }

    pub(super) fn evicted(&self) -> u64 {
        self.strikes.evicted() + self.dropped.evicted() + self.awaited.evicted()
    }
}

impl Drop {
    fn record(&self, now_ns: u64) -> DropRecord {
        let (port, icmp) = match self.transport {
            Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
                (Some(destination), None)
            }
            Transport::Icmp { kind, code } => (None, Some(Icmp { kind, code })),
            Transport::Unknown => (None, None),
        };
        DropRecord {
            reason: self.reason.name().to_owned(),
            protocol: self.protocol,
            destination_port: port,
            icmp,
            shadow: self.shadow,
            seconds_ago: Duration::from_nanos(now_ns.saturating_sub(self.at_ns)).as_secs(),
        }
    }
}

impl Latency {
    fn add(&mut self, micros: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.last = micros;
        self.max = self.max.max(micros);
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T) {
    if ring.len() >= EACH {
        ring.pop_front();
    }
    ring.push_back(value);
}

fn micros(from_ns: u64, to_ns: u64) -> u64 {
    to_ns.saturating_sub(from_ns) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, guard::testing};

    #[test]
    fn measures_from_the_strike_to_the_map_and_to_the_first_drop_only() {
        let mut memory = Memory::default();
        memory.banned(&sentence(), 1_000_000, 1_250_000);
        memory.dropped(&drop_at(3_000_000, Reason::PacketLimit));
        memory.dropped(&drop_at(4_000_000, Reason::BanHost));
        memory.dropped(&drop_at(9_000_000, Reason::BanHost));

        assert_eq!((memory.to_map().count, memory.to_map().last), (1, 250));
        assert_eq!((memory.to_drop().count, memory.to_drop().last), (1, 3000));
        assert_eq!(memory.drop_events(), 3);
    }

    #[test]
    fn remembers_a_bounded_number_of_strikes_newest_first() {
        let (mut memory, now) = (Memory::default(), clock::now());
        let net = "192.0.2.1/32".parse().unwrap();
        for weight in 0..100 {
            memory.struck(net, Reason::RouteUnknown, weight, now);
        }
        let strikes = memory.strikes(net, now + Duration::from_secs(3));
        assert_eq!(strikes.len(), EACH);
        assert_eq!((strikes[0].weight, strikes[0].seconds_ago), (99, 3));
    }

    #[test]
    fn a_flood_from_forged_sources_does_not_wash_away_strikes() {
        let (mut memory, now) = (Memory::default(), clock::now());
        let net = "192.0.2.1/32".parse().unwrap();
        memory.struck(net, Reason::CredentialUnknown, 20, now);
        for forged in 0..=SOURCES {
            let source = Some(std::net::Ipv4Addr::from(0xC612_0000 + forged).into());
            memory.dropped(&DropEvent { source, ..drop_at(1, Reason::PacketLimit) });
        }
        assert_eq!(memory.strikes(net, now).len(), 1);
        assert_eq!(memory.evicted(), 1);
    }

    fn sentence() -> Sentence {
        Sentence {
            net: "192.0.2.1/32".parse().unwrap(),
            reason: Reason::CredentialUnknown,
            ttl: Duration::from_mins(1),
            relapse: 0,
        }
    }

    fn drop_at(at_ns: u64, reason: Reason) -> DropEvent {
        DropEvent { at_ns, reason, ..testing::drop_event() }
    }
}
