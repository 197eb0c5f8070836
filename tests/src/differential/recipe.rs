//! Packets made to be counted under a given reason in a given framing, where that can be: what
//! really becomes of them the oracle says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    dice::Dice,
    draft::{Draft, IPV4, IPV6, ethernet, icmp, spoil, tcp, udp},
    hosts::{Host, Kind},
    scene::Scene,
    spoilt,
};
use crate::oracle::framing::{Framing, Network};

pub(super) const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const ENCAPSULATED: [u16; 10] =
    [0x8847, 0x8848, 0x8863, 0x8864, 0x88e5, 0x88e7, 0x22f3, 0x894f, 0x9200, 0x9300];
/// LACP, LLDP, 802.3 lengths, and neighbours of numbers that mean something.
const UNKNOWN: [u16; 12] = [
    0x8809, 0x88cc, 0x0026, 0x05ff, 0x0600, 0x07ff, 0x0801, 0x86dc, 0x86de, 0x0805, 0x0807, 0x8101,
];

pub(super) const TO4: Ipv4Addr = Ipv4Addr::new(80, 81, 82, 83);
pub(super) const TO6: Ipv6Addr = Ipv6Addr::new(0x2a01, 0x111, 0, 0, 0, 0, 0, 0x80);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOLICITED: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x80);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// A frame for one cell of the coverage.
pub(super) fn frame(scene: &Scene, reason: u8, framing: Framing, dice: &mut Dice) -> Vec<u8> {
    let tags: Vec<u16> = (0..framing.tags).map(|_| dice.pick(&TAGS)).collect();
    let network = framing.network;
    let mut frame = if network.is_v4() || network.is_v6() {
        Cook { scene, reason, network, dice: &mut *dice }.packet(tags)
    } else {
        bare(tags, reason, network, dice)
    };
    if reason == 51 && dice.percent(20) {
        // To or from a group, by the link addresses.
        let at = dice.pick(&[0, 6]);
        frame.iter_mut().skip(at).take(1).for_each(|byte| *byte |= 1);
    }
    if dice.percent(25) {
        // Padding to the shortest frame of Ethernet.
        frame.resize(frame.len().max(60), 0);
    }
    if dice.percent(10) {
        spoil(&mut frame, dice);
    }
    frame
}

/// A frame without IP.
fn bare(tags: Vec<u16>, reason: u8, network: Network, dice: &mut Dice) -> Vec<u8> {
    if network == Network::Arp {
        return ethernet(&tags, 0x0806, &spoilt::arp(reason == 31, dice));
    }
    let kinds: &[u16] = match network == Network::Encapsulated {
        true => &ENCAPSULATED,
        false if network == Network::Unknown => &UNKNOWN,
        false => return half_tag(tags, dice),
    };
    ethernet(&tags, dice.pick(kinds), &dice.bytes(46))
}

/// A tag of which less than four bytes are there, or a third.
fn half_tag(mut tags: Vec<u16>, dice: &mut Dice) -> Vec<u8> {
    if tags.len() == 2 && dice.percent(70) {
        tags.push(dice.pick(&TAGS));
        return ethernet(&tags, dice.pick(&[IPV4, IPV6, 0x8100]), &dice.bytes(46));
    }
    let count = dice.between(0, 3);
    ethernet(&tags, dice.pick(&TAGS), &dice.bytes(count))
}

/// Makes one packet.
pub(super) struct Cook<'a> {
    pub(super) scene: &'a Scene,
    pub(super) reason: u8,
    pub(super) network: Network,
    pub(super) dice: &'a mut Dice,
}

impl Cook<'_> {
    fn packet(&mut self, tags: Vec<u16>) -> Vec<u8> {
        let source = self.source();
        let destination = if source.is_ipv4() { TO4.into() } else { IpAddr::from(TO6) };
        let mut draft = Draft {
            tags,
            source,
            destination,
            hop_limit: self.dice.pick(&[64, 255, 1, 2]),
            options: Vec::new(),
            damage: if self.dice.percent(50) { 0 } else { self.dice.port() },
            fragment: (0, false),
            extensions: Vec::new(),
            protocol: 17,
            payload: Vec::new(),
        };
        self.transport(&mut draft);
        if self.reason == 33 {
            draft.destination = draft.source;
        }
        if source.is_ipv4() {
            self.wrap4(&mut draft);
        } else {
            self.wrap6(&mut draft);
        }
        let frame = draft.frame();
        let at = 14 + 4 * draft.tags.len();
        if self.network == Network::V4Unread {
            return spoilt::header4(frame, at, self.dice);
        }
        if self.network == Network::V6Unread {
            return spoilt::header6(frame, at, self.dice);
        }
        frame
    }

    fn source(&mut self) -> IpAddr {
        let is_v6 = self.network.is_v6();
        let is_mapped = self.network == Network::V6Mapped;
        let fits = |host: &&Host| {
            host.address.is_ipv6() == is_v6 && (host.kind == Kind::Mapped) == is_mapped
        };
        let hosts: Vec<Host> = self.scene.hosts.iter().filter(fits).copied().collect();
        let wanted: Vec<Host> = hosts.iter().filter(|host| self.suits(host)).copied().collect();
        let from = if wanted.is_empty() || self.dice.percent(5) { &hosts } else { &wanted };
        let chosen = self.dice.choose(from).map(|host| host.address);
        chosen.unwrap_or(if is_v6 { TO6.into() } else { TO4.into() })
    }

    fn suits(&self, host: &Host) -> bool {
        let free = !host.is_allowed && host.ban.is_none();
        let of = |kind| free && host.kind == kind;
        match self.reason {
            1 | 4 => host.is_allowed,
            10 | 11 => !host.is_allowed && host.ban == Some(self.reason),
            32 if host.kind != Kind::Mapped => of(Kind::Martian),
            34 => of(Kind::Private),
            35 => of(Kind::Reserved),
            5 => of(Kind::Connected) || of(Kind::Asked),
            12..=16 => free,
            _ => of(Kind::Clean) || of(Kind::Mapped),
        }
    }

    /// Ports, types and protocols that the reason is about.
    fn transport(&mut self, draft: &mut Draft) {
        let is_v4 = draft.source.is_ipv4();
        match self.reason {
            0 if self.network == Network::V4Options => self.report(draft),
            0 | 14 | 16 => self.served(draft),
            5 => self.answer(draft),
            6 => self.neighbour(draft),
            7 => self.dhcp(draft),
            8 => self.icmp(draft, if is_v4 { &[3, 11, 12] } else { &[1, 2, 3, 4] }),
            28 => spoilt::transport(draft, self.dice),
            37 => (draft.protocol, draft.payload) = self.other(&[147, 148, 200, 253, 254, 255]),
            42 => self.tcp(draft, |flags| !may_be_sent(flags)),
            43 => self.port_zero(draft),
            44 => self.spoilt_neighbour(draft),
            45 => self.icmp(draft, if is_v4 { &[8] } else { &[128] }),
            46 => self.amplified(draft),
            47 if self.dice.percent(50) => self.udp(draft),
            47 => self.tcp(draft, may_be_sent),
            48 => self.icmp(draft, &[0, 5, 9, 13, 17, 100, 127, 129, 130, 131, 132, 138, 143, 151]),
            49 => self.unserved(draft),
            50..=54 => self.opening(draft),
            _ => self.any(draft),
        }
    }

    pub(super) fn any(&mut self, draft: &mut Draft) {
        match self.dice.between(0, 9) {
            0..=2 => self.served(draft),
            3 => self.udp(draft),
            4 => self.tcp(draft, may_be_sent),
            5 => self.icmp(draft, &[0, 3, 8, 11, 12, 128, 129, 1, 2, 4]),
            6 => self.dhcp(draft),
            7 => self.unserved(draft),
            8 => self.amplified(draft),
            _ => self.report(draft),
        }
    }

    fn served(&mut self, draft: &mut Draft) {
        let ports: Vec<u16> = self.scene.world.tcp.iter().copied().collect();
        let udp_ports: Vec<u16> = self.scene.world.udp.iter().copied().collect();
        let from = self.dice.port();
        if self.reason == 0 && self.dice.percent(40) {
            let to = self.dice.pick(&udp_ports);
            (draft.protocol, draft.payload) = (17, udp(from, to, self.dice));
            return;
        }
        let flags = if matches!(self.reason, 14 | 16) { SYN } else { self.dice.pick(&[SYN, ACK]) };
        let to = self.dice.pick(&ports);
        (draft.protocol, draft.payload) = (6, tcp(from, to, flags, self.dice));
    }

    fn neighbour(&mut self, draft: &mut Draft) {
        let on_link = self.scene.hosts.iter().filter(|host| host.kind == Kind::LinkLocal);
        let on_link: Vec<IpAddr> = on_link.map(|host| host.address).collect();
        if let (Some(source), false) =
            (self.dice.choose(&on_link), self.network == Network::V6Mapped)
        {
            draft.source = *source;
        }
        // A fragmented one is no neighbour discovery, but may be of multicast.
        let kinds: &[u8] = match self.reason {
            6 if self.network == Network::V6Atomic => &[130, 131, 132, 143],
            44 => &[133, 134, 135, 136, 137],
            _ => &[133, 134, 135, 136, 137, 130, 131, 132, 143],
        };
        let kind = self.dice.pick(kinds);
        draft.destination = self
            .dice
            .pick(&[Some(SOLICITED), Some(ALL_NODES)])
            .map_or(draft.destination, Into::into);
        draft.hop_limit = if (133..=137).contains(&kind) { 255 } else { 1 };
        if matches!(kind, 131 | 133 | 135) && self.dice.percent(10) {
            draft.source = Ipv6Addr::UNSPECIFIED.into();
        }
        draft.protocol = 58;
        draft.payload = icmp(kind, 0, 40 + 8 * self.dice.between(0, 2), self.dice);
    }

    fn spoilt_neighbour(&mut self, draft: &mut Draft) {
        self.neighbour(draft);
        match self.dice.between(0, 4) {
            0 => draft.hop_limit = self.dice.pick(&[254, 64, 1, 0]),
            1 => draft.payload.truncate(self.dice.between(8, 40)),
            2 => draft.source = TO6.into(),
            3 => draft.source = Ipv6Addr::UNSPECIFIED.into(),
            _ => draft.payload.iter_mut().skip(1).take(1).for_each(|code| *code = 1),
        }
        if self.network == Network::V6Mapped {
            draft.source = self.source();
        }
    }

    fn dhcp(&mut self, draft: &mut Draft) {
        let v4 = self.dice.percent(if draft.source.is_ipv4() { 90 } else { 10 });
        let (from, to) = if v4 { (67, 68) } else { (547, 546) };
        let (from, to) = if self.dice.percent(10) { (to, from) } else { (from, to) };
        (draft.protocol, draft.payload) = (17, udp(from, to, self.dice));
    }

    fn icmp(&mut self, draft: &mut Draft, kinds: &[u8]) {
        let (kind, code) = (self.dice.pick(kinds), self.dice.pick(&[0, 0, 1, 4]));
        let length = self.dice.between(8, 60);
        draft.protocol = if draft.source.is_ipv4() { 1 } else { 58 };
        draft.payload = icmp(kind, code, length, self.dice);
    }

    fn tcp(&mut self, draft: &mut Draft, fits: fn(u8) -> bool) {
        let flags: Vec<u8> = (0..=255).filter(|flags| fits(*flags)).collect();
        let (from, to, flags) = (self.dice.port(), self.dice.port(), self.dice.pick(&flags));
        (draft.protocol, draft.payload) = (6, tcp(from, to, flags, self.dice));
    }

    fn udp(&mut self, draft: &mut Draft) {
        let (from, to) = (self.dice.port(), self.dice.port());
        (draft.protocol, draft.payload) = (17, udp(from, to, self.dice));
    }

    fn port_zero(&mut self, draft: &mut Draft) {
        let (from, to) = self.dice.pick(&[(0, 443), (443, 0), (0, 0)]);
        (draft.protocol, draft.payload) = if self.dice.percent(50) {
            (6, tcp(from, to, ACK, self.dice))
        } else {
            (17, udp(from, to, self.dice))
        };
    }

    fn amplified(&mut self, draft: &mut Draft) {
        let ports: Vec<u16> = self.scene.world.amplifiers.iter().copied().collect();
        let (from, to) = (self.dice.pick(&ports), self.dice.port());
        (draft.protocol, draft.payload) = (17, udp(from, to, self.dice));
    }

    /// IGMP, and with options such as a router looks at.
    fn report(&mut self, draft: &mut Draft) {
        (draft.protocol, draft.payload) = (2, self.dice.bytes(8));
        if draft.source.is_ipv4() && self.network != Network::V4 {
            draft.options = vec![0x94, 4, 0, 0];
        }
    }

    /// Another protocol, or ICMP in the wrong version of IP.
    fn unserved(&mut self, draft: &mut Draft) {
        let wrong = if draft.source.is_ipv4() { 58 } else { 1 };
        (draft.protocol, draft.payload) = self.other(&[wrong, 4, 41, 47, 50, 59, 89, 132, 146, 2]);
        if draft.protocol == 2 && self.network == Network::V4Options {
            self.report(draft);
        }
    }

    fn other(&mut self, protocols: &[u8]) -> (u8, Vec<u8>) {
        let count = self.dice.between(8, 40);
        (self.dice.pick(protocols), self.dice.bytes(count))
    }
}

/// As any stack sends.
fn may_be_sent(flags: u8) -> bool {
    let sent = [SYN, ACK, ACK | PSH, ACK | FIN, ACK | RST, RST, SYN | ACK, ACK | PSH | FIN];
    sent.contains(&(flags & 0x3f))
}
