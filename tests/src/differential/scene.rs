//! A world at random, once as the oracle knows it and once as the filter is configured.

use std::{collections::BTreeSet, net::IpAddr, path::Path, sync::Arc, time::Duration};

use gateway_common::{Class, Reason};
use gateway_userspace::{
    config::model::{Answer, Answers, Capacity, Kernel, Mode, Policy, Rate, Service},
    guard::kernel::{BanSource, Bulk, KernelBan, ShadowOrders},
};
use ipnet::IpNet;

use super::{
    dice::Dice,
    hosts::{self, Host},
};
use crate::{
    kernel::{PLENTY, kernel},
    oracle::{Ban, Exhausted, Flow, Numbers, World, judge::ban},
};

/// What a world is about. Those with a limit used up need a filter of their own: what a limit
/// remembers outlives a change of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Plain,
    Panic,
    AllowOver,
    /// The limit of this reason is used up.
    Limited(u8),
}

impl Theme {
    const ORDER: [Self; 16] = [
        Self::Plain,
        Self::Limited(12),
        Self::Plain,
        Self::AllowOver,
        Self::Plain,
        Self::Limited(14),
        Self::Plain,
        Self::Panic,
        Self::Plain,
        Self::Limited(15),
        Self::Plain,
        Self::Plain,
        Self::Plain,
        Self::Limited(16),
        Self::Plain,
        Self::Plain,
    ];

    /// After so many they begin anew.
    pub(super) const TURNS: usize = Self::ORDER.len();

    pub(super) fn of(number: usize) -> Self {
        Self::ORDER.get(number % Self::TURNS).copied().unwrap_or(Self::Plain)
    }

    /// Whether such worlds are for packets counted under a reason.
    pub(super) const fn is_about(self, reason: u8) -> bool {
        match self {
            Self::Panic => reason == 3,
            Self::AllowOver => reason == 4,
            Self::Limited(limited) => reason == limited,
            Self::Plain => !matches!(reason, 3 | 4 | 12 | 14..=16),
        }
    }

    pub(super) const fn uses_up(self) -> bool {
        matches!(self, Self::AllowOver | Self::Limited(_))
    }
}

/// Both sides of a world.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) theme: Theme,
    pub(super) world: World,
    pub(super) kernel: Kernel,
    pub(super) bans: Vec<(IpNet, KernelBan)>,
    pub(super) bulk: Arc<Bulk>,
    pub(super) orders: ShadowOrders,
    pub(super) hosts: Vec<Host>,
}

const DAY: Duration = Duration::from_hours(24);

/// Used up by the second packet, for as long as any of this takes.
const NEXT_TO_NOTHING: Rate = Rate { count: 1, per: DAY, burst: 1 };

/// The configuration before anything is drawn: everything passes.
pub(super) fn plain(pins: &Path) -> Kernel {
    Kernel {
        packets: None,
        limit_inserts: 100_000,
        capacity: Capacity {
            hosts: 256,
            prefixes: 256,
            dynamic: 256,
            allow: 64,
            limits: 4096,
            flows: 1024,
        },
        events: 1,
        ..kernel(pins.to_owned())
    }
}

impl Scene {
    pub(super) fn draw(theme: Theme, pins: &Path, flows: &[Flow], dice: &mut Dice) -> Self {
        let ends: BTreeSet<IpAddr> = flows.iter().map(|flow| flow.remote.ip()).collect();
        let ends: Vec<IpAddr> = ends.into_iter().collect();
        let mut scene = Self {
            theme,
            world: World { flows: flows.to_vec(), ..World::default() },
            kernel: plain(pins),
            bans: Vec::new(),
            bulk: Arc::default(),
            orders: ShadowOrders::default(),
            hosts: hosts::draw(dice, &ends),
        };
        scene.draw_answers(dice);
        scene.draw_services(dice);
        scene.draw_lists(dice);
        scene.draw_limits(dice);
        if dice.percent(30) {
            scene.draw_shadow(dice);
        }
        scene.world.panic = theme == Theme::Panic;
        scene
    }

    /// A frame that would be the first of its source to touch a limit says nothing for sure.
    pub(super) fn is_settled(&self, source: Option<IpAddr>) -> bool {
        match (&self.world.limit, source) {
            (Some(limit), Some(source)) => limit.sources.contains(&source),
            _ => true,
        }
    }

    /// False for a reason that no packet of this world is counted under.
    pub(super) fn may_meet(&self, reason: u8) -> bool {
        let world = &self.world;
        let is_drawn = match reason {
            5..=8 | 47..=49 => world.closed,
            34 | 35 | 45 | 46 => world.drops.has(reason),
            _ => true,
        };
        is_drawn && self.theme.is_about(reason)
    }

    fn draw_answers(&mut self, dice: &mut Dice) {
        // What is dropped for a row meets no limit.
        let chance = if matches!(self.theme, Theme::Limited(_)) { 15 } else { 50 };
        for row in Answers::rows() {
            if dice.percent(chance) {
                self.kernel.answers = self.kernel.answers.with(row, Answer::Drop);
                let number = u8::try_from(row.number()).unwrap_or(0);
                self.world.drops = self.world.drops.with(number);
            }
        }
    }

    fn draw_services(&mut self, dice: &mut Dice) {
        self.world.closed = dice.percent(60);
        self.kernel.policy = if self.world.closed { Policy::Closed } else { Policy::Open };
        for _ in 0..dice.between(1, 6) {
            let (tcp, udp, listening) = (served(dice), served(dice), served(dice));
            self.kernel.services.extend([Service::Tcp(tcp), Service::Udp(udp)]);
            self.kernel.listening.push(listening);
            self.world.tcp.extend([tcp, listening]);
            self.world.udp.insert(udp);
        }
        for _ in 0..dice.between(0, 4) {
            let protocol = dice.pick(&[2, 4, 41, 47, 50, 89, 103, 132, 200, 255, 0, 59, 63, 64]);
            self.kernel.services.push(Service::Ip(protocol));
            self.world.protocols.insert(protocol);
        }
        for _ in 0..dice.between(1, 8) {
            let port = dice.pick(&[17, 19, 53, 123, 389, 1900, 11_211, 67, 547, 63, 64, 65_535]);
            self.kernel.amplifiers.push(port);
            self.world.amplifiers.insert(port);
        }
    }

    /// Entries of every length and both layers around some of the hosts, nested and apart.
    fn draw_lists(&mut self, dice: &mut Dice) {
        let mut seen = BTreeSet::new();
        let mut listed = Vec::new();
        for _ in 0..dice.between(2, 24) {
            let Some(net) = self.draw_net(dice) else { continue };
            let in_bulk = dice.percent(50);
            if !seen.insert((net, in_bulk)) {
                continue;
            }
            let left = dice.pick(&[None, None, Some(DAY), Some(Duration::from_nanos(1))]);
            let is_live = left.is_none_or(|left| left == DAY);
            self.world.bans.push(Ban { net, is_live, in_bulk });
            if in_bulk {
                listed.push((net, left));
            } else {
                let ban = KernelBan { left, reason: Reason::Operator, source: BanSource::Cli };
                self.bans.push((net, ban));
            }
        }
        self.bulk = Arc::new(bulk(listed));
        let count = dice.between(usize::from(self.theme == Theme::AllowOver), 4);
        let allowed: BTreeSet<IpNet> = (0..count).filter_map(|_| self.draw_net(dice)).collect();
        self.world.allowed = allowed.into_iter().collect();
        for host in &mut self.hosts {
            let address = host.address.to_canonical();
            host.is_allowed = self.world.allowed.iter().any(|net| net.contains(&address));
            host.ban = ban(&self.world, address);
        }
    }

    fn draw_net(&self, dice: &mut Dice) -> Option<IpNet> {
        let address = dice.choose(&self.hosts)?.address.to_canonical();
        let (widest, full) = if address.is_ipv4() { (8, 32) } else { (16, 128) };
        let length = if dice.percent(40) { full } else { dice.between(widest, full) };
        let net = IpNet::new(address, u8::try_from(length).ok()?).ok()?.trunc();
        // What is mapped is listed as the IPv4 it stands for.
        let covers_mapped = net.contains(&IpAddr::from([0, 0, 0, 0, 0, 0xffff_u16, 0, 0]));
        (!covers_mapped).then_some(net)
    }

    fn draw_limits(&mut self, dice: &mut Dice) {
        let any = |dice: &mut Dice| dice.percent(40).then_some(PLENTY);
        self.kernel.packets = any(dice);
        self.kernel.packets_neighbourhood = any(dice);
        self.kernel.syns = any(dice);
        self.kernel.syns_neighbourhood = any(dice);
        self.kernel.limit_inserts = 100_000;
        match self.theme {
            Theme::Plain | Theme::Panic => return,
            Theme::AllowOver => {
                self.world.allow_is_over = true;
                self.kernel.allow_limit = NEXT_TO_NOTHING;
                return;
            }
            Theme::Limited(12) => self.kernel.packets = Some(NEXT_TO_NOTHING),
            Theme::Limited(14) => self.kernel.syns = Some(NEXT_TO_NOTHING),
            Theme::Limited(15) => self.kernel.packets_neighbourhood = Some(NEXT_TO_NOTHING),
            Theme::Limited(_) => self.kernel.syns_neighbourhood = Some(NEXT_TO_NOTHING),
        }
        if let Theme::Limited(reason) = self.theme {
            let sources = self.hosts.iter().map(|host| host.address.to_canonical()).collect();
            self.world.limit = Some(Exhausted { reason, sources });
        }
    }

    /// By mode, by class and by order, as docs/reference.toml has the classes.
    fn draw_shadow(&mut self, dice: &mut Dice) {
        let classes = [
            (Class::Bans, Numbers::between(10, 11)),
            (Class::Limits, Numbers(Numbers::between(12, 16).0 | 1 << 4)),
            (Class::Malformed, Numbers::between(20, 46)),
            (Class::Policy, Numbers::between(47, 49)),
        ];
        let mut configured = Numbers::default();
        let mut all = Numbers::default();
        for (class, numbers) in classes {
            all = Numbers(all.0 | numbers.0);
            if dice.percent(30) {
                self.kernel.shadow.push(class);
                configured = Numbers(configured.0 | numbers.0);
            }
        }
        if dice.percent(10) {
            self.kernel.mode = Mode::Shadow;
            configured = all;
        }
        if dice.percent(60) {
            self.orders.shadow = dice.word() & dice.word() & all.0;
            self.orders.enforce = dice.word() & dice.word() & all.0 & !self.orders.shadow;
        }
        self.world.shadow = Numbers(configured.0 & !self.orders.enforce | self.orders.shadow);
    }
}

/// Ports that fall on both ends of a word of any bitmap, and others.
fn served(dice: &mut Dice) -> u16 {
    let any = dice.port();
    dice.pick(&[1, 22, 53, 63, 64, 80, 443, 546, 68, 8080, 65_535, any])
}

fn bulk(mut listed: Vec<(IpNet, Option<Duration>)>) -> Bulk {
    listed.sort_unstable_by_key(|(net, _)| *net);
    let kinds = [None, Some(DAY), Some(Duration::from_nanos(1))];
    let mut bulk = Bulk::default();
    bulk.kinds.extend(kinds.map(|left| KernelBan {
        left,
        reason: Reason::Import,
        source: BanSource::Import,
    }));
    for (net, left) in listed {
        let kind = kinds.iter().position(|kind| *kind == left).unwrap_or(0);
        let kind = u8::try_from(kind).unwrap_or(0);
        match net {
            IpNet::V4(net) => bulk.push4(net.addr().into(), net.prefix_len(), kind),
            IpNet::V6(net) => bulk.push6(net.addr().into(), net.prefix_len(), kind),
        }
    }
    bulk
}
