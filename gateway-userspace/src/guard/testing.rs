//! What the guard's tests share: a small configuration and a kernel that only remembers.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;

use super::kernel::{KernelBan, KernelError, PacketFilter, filter::DropEvent, filter::Reconciled};
use crate::{
    config::model::{
        AccessLog, Admin, Answer, Answers, Attach, Bans, Capacity, Config, Guard, Kernel, Log,
        Mode, Proxy, Rate, SynCookies, Timeouts,
    },
    control::KernelStatus,
    ipc::message::ReasonCount,
};

/// Threshold 100, first ban a minute, longest ten; sources are forgotten after an hour.
pub(crate) fn config() -> Config {
    Config {
        kernel: kernel(),
        bans: Bans {
            threshold: 100,
            half_life: Duration::from_mins(1),
            first: Duration::from_mins(1),
            longest: Duration::from_mins(10),
            forget: Duration::from_hours(1),
            trust: Duration::from_mins(5),
            sources: 1000,
            per_second: 10,
            weights: Vec::new(),
        },
        guard: Guard {
            run: "/nonexistent/run".into(),
            state: "/nonexistent/state".into(),
            user: "gateway-proxy".to_owned(),
            group: "gateway".to_owned(),
        },
        admin: Admin { metrics: None },
        log: Log { access: AccessLog::Off, queue: 100 },
        proxy: proxy(),
        listeners: Vec::new(),
        identities: Vec::new(),
        suppliers: Vec::new(),
        routes: Vec::new(),
    }
}

fn kernel() -> Kernel {
    let pass = Answer::Pass;
    Kernel {
        enabled: false,
        interfaces: Vec::new(),
        attach: Attach::Auto,
        mode: Mode::Enforce,
        protect: Vec::new(),
        trusted_proxies: Vec::new(),
        shared: Vec::new(),
        allow_limit: rate(1000),
        packets: rate(1000),
        limit_inserts: 100,
        syn_cookies: syn_cookies(),
        capacity: Capacity { hosts: 100, prefixes: 100, allow: 100, limits: 100 },
        answers: Answers {
            ethernet_truncated: pass,
            vlan_depth: pass,
            ether_type_unknown: pass,
            ipv4_malformed: pass,
            ipv6_malformed: pass,
            extension_depth: pass,
            extension_malformed: pass,
            later_fragment: pass,
            transport_malformed: pass,
            limit_inserts: pass,
        },
        events: 10,
        pins: "/sys/fs/bpf/gateway-test".into(),
    }
}

fn syn_cookies() -> SynCookies {
    SynCookies {
        enabled: true,
        above: rate(1000),
        hold: Duration::from_secs(10),
        most: rate(1000),
        timestamps: false,
    }
}

fn proxy() -> Proxy {
    let second = Duration::from_secs(1);
    Proxy {
        workers: 1,
        connections: 100,
        connections_per_source: 10,
        requests: 100,
        head_bytes: 16384,
        head_fields: 100,
        streams: 100,
        body_bytes: 65536,
        anonymous: rate(100),
        limiter_keys: 100,
        timeouts: Timeouts {
            handshake: second,
            head: second,
            body: second,
            idle: second,
            request: second,
            connect: second,
            first_byte: second,
            stall: second,
            drain: second,
        },
    }
}

fn rate(count: u32) -> Rate {
    Rate { count, per: Duration::from_secs(1), burst: count }
}

/// Holds what it is given, up to a capacity, and fails when told to.
#[derive(Debug, Default)]
pub(crate) struct FakeKernel {
    pub(crate) bans: BTreeMap<IpNet, KernelBan>,
    pub(crate) allows: Vec<IpNet>,
    pub(crate) capacity: Option<usize>,
    pub(crate) broken: bool,
    pub(crate) panic: bool,
    pub(crate) cookies: bool,
    /// What SYN-ACKs offered, in turn.
    pub(crate) offers: Vec<Option<u8>>,
    /// Waiting to be taken.
    pub(crate) events: Vec<DropEvent>,
}

impl FakeKernel {
    fn check(&self) -> Result<(), KernelError> {
        if self.broken { Err(KernelError::NotPermitted) } else { Ok(()) }
    }
}

impl PacketFilter for FakeKernel {
    fn put_ban(&mut self, net: IpNet, ban: &KernelBan) -> Result<(), KernelError> {
        self.check()?;
        let full = self.capacity.is_some_and(|capacity| self.bans.len() >= capacity);
        if full && !self.bans.contains_key(&net) {
            return Err(KernelError::Full { map: "ban_hosts", capacity: 2, key: "hosts" });
        }
        self.bans.insert(net, *ban);
        Ok(())
    }

    fn remove_ban(&mut self, net: IpNet) -> Result<bool, KernelError> {
        self.check()?;
        Ok(self.bans.remove(&net).is_some())
    }

    fn ban_hits(&self, _net: IpNet) -> Result<u64, KernelError> {
        Ok(7)
    }

    fn put_allow(&mut self, net: IpNet) -> Result<(), KernelError> {
        self.check()?;
        self.allows.push(net);
        Ok(())
    }

    fn remove_allow(&mut self, net: IpNet) -> Result<bool, KernelError> {
        self.check()?;
        let before = self.allows.len();
        self.allows.retain(|allowed| *allowed != net);
        Ok(self.allows.len() < before)
    }

    fn reconcile(
        &mut self,
        bans: &[(IpNet, KernelBan)],
        allows: &[IpNet],
    ) -> Result<Reconciled, KernelError> {
        self.check()?;
        self.bans = bans.iter().copied().collect();
        self.allows = allows.to_vec();
        Ok(Reconciled { added: bans.len(), ..Reconciled::default() })
    }

    fn attach(&mut self) -> Result<(), KernelError> {
        self.check()
    }

    fn set_panic(&mut self, pass: bool) -> Result<(), KernelError> {
        self.check()?;
        self.panic = pass;
        Ok(())
    }

    fn are_cookies_on(&self) -> Result<bool, KernelError> {
        self.check()?;
        Ok(self.cookies)
    }

    fn offer(&mut self, scale: Option<u8>) -> Result<(), KernelError> {
        self.check()?;
        self.offers.push(scale);
        Ok(())
    }

    fn counters(&self) -> Result<Vec<ReasonCount>, KernelError> {
        self.check()?;
        Ok(Vec::new())
    }

    fn status(&self) -> KernelStatus {
        let mode = if self.panic { "panic pass" } else { "enforce" };
        KernelStatus { mode: mode.to_owned(), ..KernelStatus::default() }
    }

    fn events_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn next_event(&mut self) -> Option<DropEvent> {
        self.events.pop()
    }
}
