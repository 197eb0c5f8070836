//! What the guard's tests share: a small configuration and a kernel that only remembers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use gateway_common::Reason;
use ipnet::IpNet;

use super::kernel::{
    Bulk, BulkFilter, DropEvent, KernelBan, KernelError, Loaded, PacketFilter, Record,
    ShadowOrders, Snippet, Transport,
    filter::{Met, Reconciled},
};
use crate::{
    config::{
        model::{Config, Kernel},
        testing::sample,
    },
    control::KernelStatus,
    ipc::message::ReasonCount,
};

/// Threshold 100, first ban a minute, longest ten; sources are forgotten after an hour.
const SETTINGS: &str = r#"
[kernel]
allow_limit = { rate = "1000/s" }
packets = { rate = "1000/s" }
limit_inserts = 100
events = 10
pins = "/sys/fs/bpf/gateway-test"
[kernel.capacity]
hosts = 100
prefixes = 100
dynamic = 1000
allow = 100
limits = 100
[bans]
threshold = 100
half_life = "1m"
first = "1m"
longest = "10m"
forget = "1h"
trust = "5m"
sources = 1000
per_second = 10
[guard]
run = "/nonexistent/run"
state = "/nonexistent/state"
[log]
access = "off"
queue = 100
"#;

pub(crate) fn config() -> Config {
    let mut config = sample(SETTINGS);
    config.suppliers.clear();
    config
}

/// A UDP packet of a banned source, eight bytes of payload in it.
pub(crate) fn drop_event() -> DropEvent {
    DropEvent {
        at_ns: 1,
        reason: Reason::BanHost,
        shadow: false,
        interface: 1,
        source: Some([192, 0, 2, 1].into()),
        destination: Some([10, 0, 0, 1].into()),
        protocol: 17,
        transport: Transport::Udp { source: 4096, destination: 53 },
        ether_type: 0x0800,
        frame_length: 50,
        header_length: 42,
        snippet: Snippet::new(&[0x55; 50]),
    }
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
    /// The policy on trial, and what is left of it.
    pub(crate) trial: Option<(Kernel, Duration)>,
    /// The policy confirmed last.
    pub(crate) policy: Option<Kernel>,
    pub(crate) shadow: ShadowOrders,
    pub(crate) bulk: FakeBulk,
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

    fn ban_record(&self, _net: IpNet) -> Result<Record, KernelError> {
        Ok(Record { hits: 7, last_seen: Some(Duration::from_secs(3)) })
    }

    fn bulk_record(&self, net: IpNet) -> Result<Record, KernelError> {
        let held = self.bulk.held().contains_key(&net);
        Ok(Record { hits: if held { 9 } else { 0 }, last_seen: None })
    }

    fn met_by(&self, address: std::net::IpAddr) -> Result<Vec<Met>, KernelError> {
        let met = |bulk, net: &IpNet| Met { net: *net, bulk, record: Record::default() };
        let singles = self.bans.keys().map(|net| met(false, net));
        let held = self.bulk.held();
        let listed = held.keys().map(|net| met(true, net));
        Ok(singles.chain(listed).filter(|met| met.net.contains(&address)).collect())
    }

    fn bulk(&self) -> Box<dyn BulkFilter> {
        Box::new(self.bulk.clone())
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

    fn try_policy(&mut self, config: &Kernel, time: Duration) -> Result<(), KernelError> {
        self.check()?;
        self.trial = Some((config.clone(), time));
        Ok(())
    }

    fn confirm_policy(&mut self, _config: &Kernel) -> Result<(), KernelError> {
        self.check()?;
        match self.trial.take() {
            Some((policy, left)) if !left.is_zero() => {
                self.policy = Some(policy);
                Ok(())
            }
            Some(over) => {
                self.trial = Some(over);
                Err(KernelError::TrialOver)
            }
            None => Err(KernelError::NoTrial),
        }
    }

    fn roll_back_policy(&mut self) -> Result<(), KernelError> {
        self.check()?;
        self.trial.take().map(drop).ok_or(KernelError::NoTrial)
    }

    fn trial_left(&self) -> Result<Option<Duration>, KernelError> {
        self.check()?;
        Ok(self.trial.as_ref().map(|(_, left)| *left))
    }

    fn order_shadow(&mut self, orders: ShadowOrders) -> Result<(), KernelError> {
        self.check()?;
        self.shadow = orders;
        Ok(())
    }

    fn shadow_orders(&self) -> ShadowOrders {
        self.shadow
    }

    fn in_shadow(&self) -> Result<u64, KernelError> {
        self.check()?;
        Ok(self.shadow.shadow)
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

/// The lists of a [`FakeKernel`].
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeBulk(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    bans: BTreeMap<IpNet, KernelBan>,
    capacity: Option<usize>,
}

impl FakeBulk {
    pub(crate) fn held(&self) -> BTreeMap<IpNet, KernelBan> {
        self.0.lock().unwrap().bans.clone()
    }

    pub(crate) fn limit(&self, capacity: usize) {
        self.0.lock().unwrap().capacity = Some(capacity);
    }
}

impl BulkFilter for FakeBulk {
    fn replace(&mut self, wanted: Arc<Bulk>) -> Result<Loaded, KernelError> {
        let mut held = self.0.lock().unwrap();
        let entries = wanted.v4.len() + wanted.v6.len();
        if let Some(capacity) = held.capacity.filter(|capacity| entries > *capacity) {
            let capacity = u32::try_from(capacity).unwrap();
            return Err(KernelError::BulkFull { map: "BAN4", wanted: entries, capacity });
        }
        let kind = |kind: u8| wanted.kinds[usize::from(kind)];
        let v4 = wanted.v4.iter().map(|ban| {
            let address = std::net::Ipv4Addr::from(ban.address);
            (IpNet::new(address.into(), ban.length).unwrap(), kind(ban.kind))
        });
        let v6 = wanted.v6.iter().map(|ban| {
            let address = std::net::Ipv6Addr::from(ban.address);
            (IpNet::new(address.into(), ban.length).unwrap(), kind(ban.kind))
        });
        held.bans = v4.chain(v6).collect();
        Ok(Loaded { entries, kept: false })
    }

    fn clear_some(&mut self) -> Result<bool, KernelError> {
        Ok(false)
    }
}
