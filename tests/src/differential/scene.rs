//! A world at random, once as the oracle knows it and once as the filter is configured.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use gateway_common::{Class, Reason};
use gateway_userspace::{
    config::model::{Answer, Answers, Capacity, Kernel, Mode, Policy, Rate, Service, SynCookies},
    guard::kernel::{BanSource, Bulk, KernelBan, ShadowOrders},
};
use ipnet::IpNet;

use super::{
    asking,
    dice::Dice,
    flows::{Sockets, own},
    hosts::{self, Host},
    theme::{Course, Theme},
};
use crate::{
    kernel::{PLENTY, kernel},
    oracle::{
        Ban, Cookies, Exhausted, Numbers, World,
        judge::{asked, ban},
        reading::read,
    },
};

/// Both sides of a world.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) theme: Theme,
    pub(super) course: Course,
    pub(super) world: World,
    pub(super) kernel: Kernel,
    pub(super) bans: Vec<(IpNet, KernelBan)>,
    pub(super) bulk: Arc<Bulk>,
    pub(super) orders: ShadowOrders,
    pub(super) hosts: Vec<Host>,
    /// What this host sends before anything comes.
    pub(super) departures: Vec<Vec<u8>>,
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
            // None is ever evicted: what was asked in one world is asked in none before.
            flows: 16_384,
        },
        events: 1,
        ..kernel(pins.to_owned())
    }
}

impl Scene {
    pub(super) fn draw(theme: Theme, pins: &Path, sockets: &Sockets, dice: &mut Dice) -> Self {
        let ends: BTreeSet<IpAddr> = sockets.flows.iter().map(|flow| flow.remote.ip()).collect();
        let ends: Vec<IpAddr> = ends.into_iter().collect();
        let mut scene = Self {
            theme,
            course: Course::draw(theme, dice),
            world: World { flows: sockets.flows.clone(), ..World::default() },
            kernel: plain(pins),
            bans: Vec::new(),
            bulk: Arc::default(),
            orders: ShadowOrders::default(),
            hosts: hosts::draw(dice, &ends),
            departures: Vec::new(),
        };
        scene.draw_answers(dice);
        scene.draw_services(dice);
        scene.draw_lists(dice);
        scene.draw_limits(dice);
        scene.draw_cookies(sockets, dice);
        // The last two steps, and the first, are met seldom otherwise.
        let often = matches!(theme, Theme::AllowOver | Theme::Cookies { capped: false });
        if dice.percent(if often { 60 } else { 30 }) {
            scene.draw_shadow(dice);
        }
        scene.world.panic = theme == Theme::Panic;
        scene.depart(dice);
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
            51..=54 => !world.shadow.has(50),
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
            Theme::Plain | Theme::Panic | Theme::Cookies { .. } => return,
            Theme::AllowOver => {
                self.world.allow_is_over = true;
                self.kernel.allow_limit = NEXT_TO_NOTHING;
                return;
            }
            Theme::Limited(13) => self.guard_inserts(dice),
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

    /// One entry a second, and all want one.
    fn guard_inserts(&mut self, dice: &mut Dice) {
        self.kernel.packets = Some(NEXT_TO_NOTHING);
        self.kernel.limit_inserts = 1;
        let drops = dice.percent(75);
        let answer = if drops { Answer::Drop } else { Answer::Pass };
        self.kernel.answers = self.kernel.answers.with(Reason::LimitInserts, answer);
        let others = self.world.drops.without(Numbers::default().with(13));
        self.world.drops = if drops { others.with(13) } else { others };
    }

    /// On since the second SYN, for as long as any of this takes.
    fn draw_cookies(&mut self, sockets: &Sockets, dice: &mut Dice) {
        let is_capped = match self.theme {
            Theme::Cookies { capped } => capped,
            Theme::AllowOver if dice.percent(50) => false,
            Theme::Plain | Theme::Panic | Theme::AllowOver | Theme::Limited(_) => return,
        };
        self.kernel.syn_cookies = SynCookies {
            enabled: true,
            above: NEXT_TO_NOTHING,
            hold: DAY,
            most: if is_capped { NEXT_TO_NOTHING } else { PLENTY },
            ..self.kernel.syn_cookies
        };
        let listeners = sockets.listeners.clone();
        for port in listeners.iter().map(SocketAddr::port).filter(|_| dice.percent(85)) {
            self.kernel.listening.push(port);
            self.world.tcp.insert(port);
        }
        let own = own().filter(|_| dice.percent(85)).collect();
        self.world.cookies = Some(Cookies { own, listeners, is_capped });
    }

    /// What this host sends, and which answers may come for it.
    fn depart(&mut self, dice: &mut Dice) {
        for _ in 0..dice.between(8, 40) {
            let frame = asking::frame(self, dice);
            self.world.flows.extend(asked(&self.world, &read(&frame)));
            self.departures.push(frame);
        }
    }

    /// By mode, by class and by order, as docs/reference.toml has the classes.
    fn draw_shadow(&mut self, dice: &mut Dice) {
        let classes = [
            (Class::Bans, Numbers::between(10, 11)),
            (Class::Limits, Numbers(Numbers::between(12, 16).0 | 1 << 4)),
            (Class::Malformed, Numbers::between(20, 46)),
            (Class::Policy, Numbers::between(47, 49)),
            (Class::Syns, Numbers::between(50, 54)),
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
