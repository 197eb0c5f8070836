//! What this host sends, what comes back for it, and SYNs to those who listen.

use std::net::IpAddr;

use super::{
    dice::Dice,
    draft::{Draft, fragment, icmp, syn, tcp, udp},
    hosts::Kind,
    recipe::{Cook, TAGS, TO4, TO6},
    scene::Scene,
};
use crate::oracle::{Flow, framing::Network};

/// Groups: their members answer from addresses of their own.
const GROUPS: [&str; 2] = ["239.1.2.3", "ff0e::1:3"];

const ACK: u8 = 16;

/// A frame on its way out: mostly a question that can be answered.
pub(super) fn frame(scene: &Scene, dice: &mut Dice) -> Vec<u8> {
    let asked: Vec<_> = scene.hosts.iter().filter(|host| host.kind == Kind::Asked).collect();
    let mut destination = dice.choose(&asked).map_or(TO4.into(), |host| host.address);
    if dice.percent(5) {
        let same = |group: &IpAddr| group.is_ipv4() == destination.is_ipv4();
        let mut groups = GROUPS.iter().filter_map(|group| group.parse().ok());
        destination = groups.find(same).unwrap_or(destination);
    }
    let is_v4 = destination.is_ipv4();
    let mut draft = Draft {
        tags: (0..dice.between(0, 2)).map(|_| dice.pick(&TAGS)).collect(),
        source: if is_v4 { TO4.into() } else { TO6.into() },
        destination,
        hop_limit: 64,
        options: Vec::new(),
        damage: 0,
        fragment: (0, is_v4 && dice.percent(5)),
        extensions: Vec::new(),
        protocol: 17,
        payload: Vec::new(),
    };
    if !is_v4 && dice.percent(5) {
        draft.extensions.push(fragment(0, dice.percent(50)));
    }
    question(scene, &mut draft, dice);
    draft.frame()
}

fn question(scene: &Scene, draft: &mut Draft, dice: &mut Dice) {
    let is_v4 = draft.source.is_ipv4();
    let served: Vec<u16> = scene.world.udp.iter().copied().collect();
    let amplifiers: Vec<u16> = scene.world.amplifiers.iter().copied().collect();
    let to = if dice.percent(50) { dice.pick(&amplifiers) } else { dice.port() };
    let (protocol, payload) = match dice.between(0, 9) {
        0..=3 => (17, udp(dice.port(), to, dice)),
        4 => (17, udp(dice.pick(&served), to, dice)),
        5..=7 if is_v4 => (1, icmp(8, 0, 24, dice)),
        5..=7 => (58, icmp(128, 0, 24, dice)),
        // Nothing that an echo reply would answer.
        8 if is_v4 => (1, icmp(dice.pick(&[0, 13, 128]), 0, 24, dice)),
        8 => (58, icmp(dice.pick(&[8, 129, 135]), 0, 24, dice)),
        _ => (6, tcp(dice.port(), to, ACK, dice)),
    };
    (draft.protocol, draft.payload) = (protocol, payload);
}

impl Cook<'_> {
    /// An answer, now and then to somebody else's question.
    pub(super) fn answer(&mut self, draft: &mut Draft) {
        let flows = self.scene.world.flows.iter();
        let flows: Vec<Flow> =
            flows.filter(|flow| flow.remote.ip() == draft.source).copied().collect();
        let Some(flow) = self.dice.choose(&flows).copied() else { return self.any(draft) };
        draft.destination = flow.local.ip();
        let (from, mut to) = (flow.remote.port(), flow.local.port());
        if self.dice.percent(5) {
            to ^= 1;
        }
        draft.protocol = flow.protocol;
        draft.payload = match flow.protocol {
            6 => {
                let flags = self.dice.pick(&[ACK, ACK | 8, ACK | 1, 4, 2 | ACK, 2]);
                tcp(from, to, flags, self.dice)
            }
            17 => udp(from, to, self.dice),
            protocol => self.echo_reply(protocol, to),
        };
    }

    fn echo_reply(&mut self, protocol: u8, identifier: u16) -> Vec<u8> {
        let kind = if protocol == 1 { 0 } else { 129 };
        let length = self.dice.between(8, 60);
        let mut payload = icmp(kind, 0, length, self.dice);
        payload.splice(4..6, identifier.to_be_bytes()).for_each(drop);
        payload
    }

    /// A SYN that is counted under one of the reasons 50 to 54.
    pub(super) fn opening(&mut self, draft: &mut Draft) {
        let listeners = self.scene.world.cookies.iter().flat_map(|cookies| &cookies.listeners);
        let same = listeners.filter(|to| to.is_ipv4() == draft.source.is_ipv4());
        let same: Vec<_> = same.copied().collect();
        let Some(to) = self.dice.choose(&same).copied() else { return self.any(draft) };
        let mut port = to.port();
        draft.destination = to.ip();
        if self.dice.percent(5) {
            port ^= 0x0101;
        }
        let variant = self.dice.between(0, 2);
        if self.reason == 51 && variant == 0 {
            draft.destination = if draft.source.is_ipv4() { TO4.into() } else { TO6.into() };
        }
        (draft.protocol, draft.payload) = (6, syn(self.dice.port(), port, self.dice));
        if self.reason == 51 && variant == 1 {
            self.reopen(draft);
        }
        if self.reason == 53 {
            let count = self.dice.between(1, 40);
            draft.payload.extend(self.dice.bytes(count));
        }
        if matches!(self.network, Network::V4First | Network::V6First) {
            draft.payload.resize(draft.payload.len().next_multiple_of(8), 0);
        }
        draft.damage = 0;
        draft.seal();
        if self.reason == 52 {
            self.damage(draft);
        }
    }

    /// For a connection that exists.
    fn reopen(&mut self, draft: &mut Draft) {
        let flows =
            self.scene.world.flows.iter().filter(|flow| {
                flow.protocol == 6 && flow.local.is_ipv4() == draft.source.is_ipv4()
            });
        let flows: Vec<Flow> = flows.copied().collect();
        if let (Some(flow), false) = (self.dice.choose(&flows), self.network == Network::V6Mapped) {
            (draft.source, draft.destination) = (flow.remote.ip(), flow.local.ip());
            draft.payload = syn(flow.remote.port(), flow.local.port(), self.dice);
        }
    }

    /// Of either header that has a checksum.
    fn damage(&mut self, draft: &mut Draft) {
        if draft.source.is_ipv4() && self.dice.percent(50) {
            draft.damage = 1 << self.dice.between(0, 15);
            return;
        }
        // Neither ports nor offset nor flags.
        let at = self.dice.pick(&[4, 7, 8, 11, 14, 15, 16, 17, 19]);
        let bit = self.dice.between(0, 7);
        draft.payload.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
    }
}
