//! `[kernel]`: what the packet filter runs by.

use std::{path::PathBuf, time::Duration};

use gateway_common::Class;
use ipnet::IpNet;

use crate::config::answers::Answers;

/// `[kernel]`: the XDP filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// False with `--kernel off` or without interfaces.
    pub enabled: bool,
    pub interfaces: Vec<String>,
    pub attach: Attach,
    pub mode: Mode,
    pub policy: Policy,
    /// What is served besides the listeners; `closed` refuses the rest.
    pub services: Vec<Service>,
    /// TCP ports of the listeners, and of the metrics where others than this host can ask for them.
    pub listening: Vec<u16>,
    /// UDP source ports from which nothing unsolicited is taken (`answers.udp_amplification`).
    pub amplifiers: Vec<u16>,
    /// How long after this host's last datagram to a peer the peer's answers pass.
    pub flow_timeout: Duration,
    /// Classes in shadow mode while `mode` is to enforce.
    pub shadow: Vec<Class>,
    /// How long a changed policy waits to be confirmed; `None` if it need not be.
    pub confirm: Option<Duration>,
    /// Never banned; also allowed, within `allow_limit`.
    pub protect: Vec<IpNet>,
    /// Clients behind these never lead to a kernel ban.
    pub trusted_proxies: Vec<IpNet>,
    /// Many clients behind one address: no kernel bans.
    pub shared: Vec<IpNet>,
    /// Aggregate limit of all allowed sources together.
    pub allow_limit: Rate,
    /// Packets of one host (/32, /64). `None` is off, here and in the next three.
    pub packets: Option<Rate>,
    /// Packets of a neighbourhood (/24, /48).
    pub packets_neighbourhood: Option<Rate>,
    /// SYNs of one host.
    pub syns: Option<Rate>,
    /// SYNs of a neighbourhood.
    pub syns_neighbourhood: Option<Rate>,
    /// How many new sources a second the exact limit table takes before its guard trips.
    pub limit_inserts: u32,
    pub syn_cookies: SynCookies,
    pub capacity: Capacity,
    pub answers: Answers,
    /// Sampled drop events a second, at most, per reason and CPU.
    pub events: u32,
    /// Folder of pins inside a mounted bpffs.
    pub pins: PathBuf,
}

impl Kernel {
    /// This policy on the interfaces and maps of another: what a running filter cannot change is
    /// as in `fixed`.
    #[must_use]
    pub fn on(&self, fixed: &Self) -> Self {
        Self {
            enabled: fixed.enabled,
            interfaces: fixed.interfaces.clone(),
            attach: fixed.attach,
            listening: fixed.listening.clone(),
            trusted_proxies: fixed.trusted_proxies.clone(),
            shared: fixed.shared.clone(),
            capacity: fixed.capacity,
            pins: fixed.pins.clone(),
            ..self.clone()
        }
    }

    /// The keys that differ and take a restart.
    pub fn needs_restart(&self, wanted: &Self) -> Vec<&'static str> {
        let rows = [
            ("interfaces", self.interfaces != wanted.interfaces),
            ("attach", self.attach != wanted.attach),
            ("trusted_proxies", self.trusted_proxies != wanted.trusted_proxies),
            ("shared", self.shared != wanted.shared),
            ("capacity", self.capacity != wanted.capacity),
            ("pins", self.pins != wanted.pins),
        ];
        rows.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// How XDP is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Native, else generic.
    Auto,
    Native,
    Generic,
}

/// Whether verdicts are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Counts and samples what it would drop, drops nothing.
    Shadow,
}

/// Which ports and protocols are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All.
    Open,
    /// Services, listeners, return traffic, and what a host cannot do without.
    Closed,
}

/// Something served to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Tcp(u16),
    Udp(u16),
    /// Another IP protocol, by number.
    Ip(u8),
}

/// A steady rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Events per `per`; at least 1.
    pub count: u32,
    pub per: Duration,
    /// Events at once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// The time one event takes at the steady rate.
    pub fn interval(&self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// `[kernel.syn_cookies]`: SYNs are answered in XDP while they flood in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SynCookies {
    pub enabled: bool,
    /// On above this many SYNs of all sources together, a second's worth of them at once.
    pub above: Rate,
    /// How long they stay on after the last SYN above.
    pub hold: Duration,
    /// SYN-ACKs sent to all sources together, at most.
    pub most: Rate,
    /// Sets `net.ipv4.tcp_timestamps` to 2 while they are on, so that window scale and SACK outlive
    /// a cookie.
    pub timestamps: bool,
    /// Also on veth interfaces: their other ends run an XDP program.
    pub veth: bool,
}

/// Map sizes, in entries per address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bulk bans of one family: so many addresses and so many prefixes, in any mix.
    pub hosts: u32,
    pub prefixes: u32,
    /// Single bans of one family.
    pub dynamic: u32,
    /// Allowed prefixes.
    pub allow: u32,
    /// Exact entries of sources over their packet limit (both families together).
    pub limits: u32,
    /// Flows this host asked for (both families together).
    pub flows: u32,
}

/// A configured answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Pass,
    Drop,
}
