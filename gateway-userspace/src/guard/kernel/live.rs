//! The filter in the kernel: loads the program, owns the maps, attaches, reports.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use gateway_common::{
    Reason,
    cover::{self, Group4},
    event::Event,
    maps::{self, BanSet, Offer, PrefixKey, flag},
    summary,
    syn::flood,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    attach,
    bulk::{Generations, Used},
    cookies::Cookies,
    drops::DropEvent,
    egress::{self, Seen},
    family::{self, Allows, BanTables, Bans4, Bans6},
    filter::{
        BulkFilter, KernelBan, KernelError, Met, PacketFilter, Reconciled, Record, ShadowOrders,
        Untold, check_width,
    },
    marks::{Sheet4, Sheet6},
    netlink,
    object::Object,
    pins::{self, Folder},
    preconditions,
    settings::Live,
    status::{Gauges, array},
    sys,
    ticks::Ticks,
    value::{record_at, value_at},
};
use crate::{
    config::model::Kernel,
    control::{KernelStatus, MapStatus},
    ipc::message::ReasonCount,
};

/// Of an interface that cannot be asked.
const ETHERNET_MTU: u16 = 1500;

/// The filter. Dropping it leaves the program attached: the link is pinned.
#[derive(Debug)]
pub struct Filter {
    pub(super) config: Kernel,
    pub(super) folder: Folder,
    program: OwnedFd,
    /// Else why the kernel refused it.
    egress: Result<OwnedFd, String>,
    pub(super) seen: Vec<Seen>,
    ticks: Arc<Ticks>,
    pub(super) settings: Arc<Live>,
    pub(super) tables: BanTables,
    pub(super) bulk_used: Arc<Used>,
    pub(super) bans4: Bans4,
    pub(super) bans6: Bans6,
    pub(super) allows4: Allows<4>,
    pub(super) allows6: Allows<16>,
    events: Events,
    pub(super) gauges: Gauges,
    cookies: Cookies,
}

/// aya's ring buffer shows nothing of itself.
struct Events(RingBuf<MapData>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Filter {
    /// Checks the machine, loads the program, and opens or makes the pinned maps. Nothing is
    /// filtered by this program before [`PacketFilter::attach`].
    pub fn open(config: &Kernel) -> Result<Self, KernelError> {
        preconditions::check(config)?;
        let folder = pins::prepare(&config.pins, &config.capacity)?;
        let mut object = Object::load(&folder.path, &config.capacity)?;
        object.diagnostics().greet(&object.program(maps::HELLO_PROGRAM)?);
        let ticks = Ticks::new(object.program(maps::CLOCKS_PROGRAM)?, object.table(maps::CLOCKS)?)?;
        // Loaded while the object holds every map: it names them by descriptors.
        let program = object.program(maps::PROGRAM)?;
        // The filter works without it, and `status` says what is not seen then.
        let egress = object.program(maps::EGRESS_PROGRAM).map_err(|error| egress::refused(&error));
        let (tables, arrays) = ban_tables(&mut object)?;
        let settings = object.table(maps::SETTINGS)?;
        let policies = object.table(maps::POLICIES)?;
        let ports = object.table(maps::PORTS)?;
        // What filters already goes on as it was; what is not attached yet learns it then.
        let blind = folder.reused && !egress::was_seen(&folder, &config.interfaces);
        let settings = Live::new(settings, policies, ports, (config, blind), &ticks)?;
        let settings = Arc::new(settings);
        let dynamic = config.capacity.dynamic;
        let mut filter = Self {
            config: config.clone(),
            program,
            egress,
            seen: Vec::new(),
            bans4: Bans4::new(&tables, dynamic),
            bans6: Bans6::new(&tables, dynamic),
            tables,
            bulk_used: Arc::default(),
            allows4: allows(&mut object, &settings, [maps::ALLOW4, maps::ALLOW4_SUMMARY], 0)?,
            allows6: allows(
                &mut object,
                &settings,
                [maps::ALLOW6, maps::ALLOW6_SUMMARY],
                flag::ALLOW6_WIDE,
            )?,
            events: Events(object.ring(maps::EVENTS)?),
            gauges: Gauges::new(&mut object, &config.interfaces, arrays)?,
            cookies: Cookies::new(&mut object, config)?,
            folder,
            ticks: Arc::new(ticks),
            settings,
        };
        if filter.folder.reused {
            filter.recount()?;
        } else if let Some(orders) = pins::inherited_orders(&filter.folder)? {
            filter.set_panic(orders.panic)?;
            filter.order_shadow(orders.shadow)?;
        }
        Ok(filter)
    }

    /// Runs the program on a frame of at least 14 bytes without any interface (tests and
    /// measurements): its answer as an `xdp_action`, and the mean time of `repeat` runs.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<(u32, Duration), KernelError> {
        sys::test_run(self.program.as_fd(), frame, repeat).map_err(|source| KernelError::System {
            doing: "test-running the XDP program".to_owned(),
            source,
        })
    }

    /// Runs the program on a frame once: its answer, and the frame as the program left it.
    pub fn test_frame(&self, frame: &[u8]) -> Result<(u32, Vec<u8>), KernelError> {
        sys::test_frame(self.program.as_fd(), frame).map_err(|source| KernelError::System {
            doing: "test-running the XDP program".to_owned(),
            source,
        })
    }

    /// Runs the program on the way out on a frame, without any interface.
    pub fn test_departure(&self, frame: &[u8]) -> Result<(), KernelError> {
        let program = self.egress.as_ref().map_err(|why| KernelError::System {
            doing: "test-running the egress program".to_owned(),
            source: io::Error::other(why.clone()),
        })?;
        let run = sys::test_run(program.as_fd(), frame, 1);
        run.map(drop).map_err(|source| KernelError::System {
            doing: "test-running the egress program".to_owned(),
            source,
        })
    }

    /// True if a filter of an earlier gateway drops packets still, whatever this one does.
    pub fn is_left_attached(config: &Kernel) -> bool {
        pins::holds_links(&config.pins)
    }

    /// Length of a kernel tick: the grain of limits and expiries.
    pub fn tick_ns(&self) -> u64 {
        self.ticks.tick_ns()
    }

    /// The slot of policy in force.
    pub(super) fn policy_slot(&self) -> Result<u32, KernelError> {
        Ok(self.settings.now().policy_slot(self.ticks.now_ns()?))
    }

    fn record(&self, set: BanSet, net: IpNet) -> Result<Record, KernelError> {
        let value = self.tables.find(set, canonical(net))?;
        let record = value.map(|value| record_at(self.ticks.about_now_ns(), &value));
        Ok(record.unwrap_or_default())
    }

    /// Puts the program on the way out wherever it is not, and notes where it cannot be.
    fn watch_egress(&mut self) -> Result<(), KernelError> {
        let program = self.egress.as_ref().map(AsFd::as_fd);
        self.seen = egress::attach(&self.folder, &self.config.interfaces, program)?;
        self.settings.set_blind(self.seen.iter().any(|seen| seen.place.is_err()))
    }

    fn recount(&mut self) -> Result<(), KernelError> {
        self.bans4.recount()?;
        self.bans6.recount()?;
        self.allows4.recount()?;
        self.allows6.recount()
    }
}

/// What every guarded interface takes in one frame: an answer may be for any of them.
fn smallest_mtu(interfaces: &[String]) -> u16 {
    let mtu = |name: &String| {
        let found = netlink::interface(attach::index_of(name).ok()?).ok()?;
        Some(found.mtu)
    };
    let smallest = interfaces.iter().filter_map(mtu).min();
    smallest.map_or(ETHERNET_MTU, |mtu| u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// The tables of all bans, and what those of them are that are words in our memory.
fn ban_tables(object: &mut Object) -> Result<(BanTables, Vec<MapStatus>), KernelError> {
    let group = u32::try_from(size_of::<Group4>() / size_of::<u64>()).unwrap_or(1);
    let words = cover::SUMMARY4_GROUPS * group;
    let (summary, groups) = object.mapped::<Group4>(maps::BAN4_SUMMARY, words)?;
    let (detail, details) = object.mapped::<u64>(maps::BAN4_DETAIL, cover::DETAIL4_WORDS)?;
    let (sites, signs) = object.mapped::<u64>(maps::BAN6_SUMMARY, cover::SUMMARY6_WORDS)?;
    let (fine, fines) = object.mapped::<u64>(maps::BAN6_FINE, 1 << (cover::FINE6_LOG - 1))?;
    let (coarse, coarses) =
        object.mapped::<u64>(maps::BAN6_COARSE, 1 << (cover::COARSE6_LOG - 1))?;
    let tables = BanTables {
        bans4: Arc::new(object.table(maps::BAN4)?),
        bans6: Arc::new(object.table(maps::BAN6)?),
        tail6: Arc::new(object.table(maps::BAN6_TAIL)?),
        sheet4: Sheet4 { summary: Arc::new(summary), detail: Arc::new(detail) },
        sheet6: Sheet6::new(Arc::new(sites), Arc::new(fine), Arc::new(coarse)),
    };
    let arrays = [array(&groups), array(&details), array(&signs), array(&fines), array(&coarses)];
    Ok((tables, arrays.into()))
}

fn allows<const N: usize>(
    object: &mut Object,
    settings: &Arc<Live>,
    [prefixes, bitmap]: [&'static str; 2],
    wide: u32,
) -> Result<Allows<N>, KernelError>
where
    PrefixKey<N>: super::summary::Covers + aya::Pod,
{
    let bitmap = family::bitmap(summary::ALLOW, object.table(bitmap)?, settings, wide);
    Ok(Allows::new(object.table(prefixes)?, bitmap))
}

/// Without host bits, and IPv4-mapped IPv6 as the IPv4 the parser reads it as.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net.trunc() };
    let mapped = v6.addr().to_ipv4_mapped();
    match (mapped, v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => {
            Ipv4Net::new(address, length).map_or(net, |v4| IpNet::V4(v4.trunc()))
        }
        _ => net.trunc(),
    }
}

/// Every prefix around an address that may be banned, the longest first.
fn around(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let host = IpNet::from(address);
    (8..=host.prefix_len())
        .rev()
        .filter_map(move |length| IpNet::new(address, length).ok())
        .map(|net| net.trunc())
}

fn key4(net: Ipv4Net) -> PrefixKey<4> {
    PrefixKey { length: u32::from(net.prefix_len()), address: net.addr().octets() }
}

fn key6(net: Ipv6Net) -> PrefixKey<16> {
    PrefixKey { length: u32::from(net.prefix_len()), address: net.addr().octets() }
}

impl PacketFilter for Filter {
    fn put_ban(&mut self, net: IpNet, ban: &KernelBan) -> Result<(), KernelError> {
        let net = canonical(net);
        check_width(net)?;
        let value = value_at(self.ticks.now_ns()?, ban, net.prefix_len());
        match net {
            IpNet::V4(net) => self.bans4.put(net, value),
            IpNet::V6(net) => self.bans6.put(net, value),
        }
    }

    fn remove_ban(&mut self, net: IpNet) -> Result<bool, KernelError> {
        match canonical(net) {
            IpNet::V4(net) => self.bans4.remove(net),
            IpNet::V6(net) => self.bans6.remove(net),
        }
    }

    fn ban_record(&self, net: IpNet) -> Result<Record, KernelError> {
        self.record(BanSet::Dynamic, net)
    }

    fn bulk_record(&self, net: IpNet) -> Result<Record, KernelError> {
        self.record(self.settings.generation(), net)
    }

    fn met_by(&self, address: IpAddr) -> Result<Vec<Met>, KernelError> {
        let now_ns = self.ticks.about_now_ns();
        let mut met = Vec::new();
        for set in [BanSet::Dynamic, self.settings.generation()] {
            for net in around(address.to_canonical()) {
                if let Some(value) = self.tables.find(set, net)? {
                    let (bulk, record) = (set != BanSet::Dynamic, record_at(now_ns, &value));
                    met.push(Met { net, bulk, record });
                }
            }
        }
        Ok(met)
    }

    fn bulk(&self) -> Box<dyn BulkFilter> {
        let (settings, ticks) = (Arc::clone(&self.settings), Arc::clone(&self.ticks));
        let (tables, capacity) = (self.tables.clone(), self.config.capacity);
        let used = Arc::clone(&self.bulk_used);
        Box::new(Generations::new(tables, settings, ticks, capacity, used, self.folder.reused))
    }

    fn put_allow(&mut self, net: IpNet) -> Result<(), KernelError> {
        match canonical(net) {
            IpNet::V4(net) => self.allows4.put(key4(net)),
            IpNet::V6(net) => self.allows6.put(key6(net)),
        }
    }

    fn remove_allow(&mut self, net: IpNet) -> Result<bool, KernelError> {
        match canonical(net) {
            IpNet::V4(net) => self.allows4.remove(key4(net)),
            IpNet::V6(net) => self.allows6.remove(key6(net)),
        }
    }

    fn reconcile(
        &mut self,
        bans: &[(IpNet, KernelBan)],
        allows: &[IpNet],
    ) -> Result<Reconciled, KernelError> {
        let (mut wanted4, mut wanted6) = (Vec::new(), Vec::new());
        let now_ns = self.ticks.now_ns()?;
        for (net, ban) in bans {
            let net = canonical(*net);
            check_width(net)?;
            let value = value_at(now_ns, ban, net.prefix_len());
            match net {
                IpNet::V4(net) => wanted4.push((net, value)),
                IpNet::V6(net) => wanted6.push((net, value)),
            }
        }
        let allows: Vec<IpNet> = allows.iter().copied().map(canonical).collect();
        let v4 = allows.iter().filter_map(|net| match net {
            IpNet::V4(net) => Some(key4(*net)),
            IpNet::V6(_) => None,
        });
        let v6 = allows.iter().filter_map(|net| match net {
            IpNet::V6(net) => Some(key6(*net)),
            IpNet::V4(_) => None,
        });
        // Exemptions first: no allowed source meets a ban that is just being restored.
        self.allows4.reconcile(v4)?;
        self.allows6.reconcile(v6)?;
        let v4 = self.bans4.reconcile(wanted4.into_iter())?;
        Ok(family::sum(v4, self.bans6.reconcile(wanted6.into_iter())?))
    }

    fn attach(&mut self) -> Result<(), KernelError> {
        // First what sees the questions, then what judges the answers.
        self.watch_egress()?;
        let (program, interfaces) = (self.program.as_fd(), &self.config.interfaces);
        attach::attach(&self.folder, interfaces, self.config.attach, program)
    }

    fn tend(&mut self) -> Result<(), KernelError> {
        self.gauges.slots.point()?;
        let (program, interfaces) = (self.program.as_fd(), &self.config.interfaces);
        attach::tend(&self.folder, interfaces, self.config.attach, program)?;
        if egress::is_stale(&self.folder, &self.seen) {
            self.watch_egress()?;
        }
        Ok(())
    }

    fn set_panic(&mut self, pass: bool) -> Result<(), KernelError> {
        self.settings.switch(flag::PANIC, pass)
    }

    fn are_cookies_on(&self) -> Result<bool, KernelError> {
        let Some(until) = self.cookies.until()? else { return Ok(false) };
        let now_ns = self.ticks.now_ns()?;
        let hold_ns = self.settings.policy(now_ns)?.cookies.hold_ns;
        let is_shadow = self.settings.shadow(now_ns)? & (1 << Reason::SynCookie.number()) != 0;
        Ok(!is_shadow && flood::is_on(until, hold_ns, now_ns))
    }

    fn offer(&mut self, scale: Option<u8>) -> Result<(), KernelError> {
        let mtu = smallest_mtu(&self.config.interfaces);
        let mss = |headers| mtu.saturating_sub(headers);
        self.cookies.offer(Offer { mss4: mss(40), mss6: mss(60), scale })
    }

    fn answer_for(&mut self, own: &[IpAddr]) -> Result<(), KernelError> {
        self.cookies.answer_for(own)
    }

    fn lacks_for_cookies(&self) -> Option<&str> {
        self.cookies.missing()
    }

    fn try_policy(&mut self, config: &Kernel, time: Duration) -> Result<(), KernelError> {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.settings.fill(self.settings.free_slot(), config)?;
        self.settings.begin_trial(self.ticks.now_ns()?.saturating_add(time_ns))
    }

    fn confirm_policy(&mut self, config: &Kernel) -> Result<(), KernelError> {
        // The kernel's clock moves while we write: what is confirmed in the last tick is late.
        match self.trial_left()? {
            None => Err(KernelError::NoTrial),
            Some(left) if left <= Duration::from_nanos(self.tick_ns()) => {
                Err(KernelError::TrialOver)
            }
            Some(_) => self.settings.confirm(config.events),
        }
    }

    fn roll_back_policy(&mut self) -> Result<(), KernelError> {
        if self.settings.deadline_ns().is_none() {
            return Err(KernelError::NoTrial);
        }
        self.settings.roll_back()
    }

    fn trial_left(&self) -> Result<Option<Duration>, KernelError> {
        let Some(deadline_ns) = self.settings.deadline_ns() else { return Ok(None) };
        let left_ns = deadline_ns.saturating_sub(self.ticks.now_ns()?);
        Ok(Some(Duration::from_nanos(left_ns)))
    }

    fn order_shadow(&mut self, orders: ShadowOrders) -> Result<(), KernelError> {
        self.settings.change(|settings| {
            settings.shadow = orders.shadow;
            settings.enforce = orders.enforce;
        })
    }

    fn shadow_orders(&self) -> ShadowOrders {
        let now = self.settings.now();
        ShadowOrders { shadow: now.shadow, enforce: now.enforce }
    }

    fn in_shadow(&self) -> Result<u64, KernelError> {
        self.settings.shadow(self.ticks.now_ns()?)
    }

    fn sight(&self) -> Vec<(String, bool)> {
        self.seen.iter().map(|seen| (seen.name.clone(), seen.place.is_ok())).collect()
    }

    fn counters(&self) -> Result<Vec<ReasonCount>, KernelError> {
        self.gauges.slots.total()
    }

    fn interface_counters(&self) -> Result<Vec<(String, Vec<ReasonCount>)>, KernelError> {
        let names = self.config.interfaces.iter();
        names.map(|name| Ok((name.clone(), self.gauges.slots.of(name)?))).collect()
    }

    fn untold(&self) -> Result<Untold, KernelError> {
        self.gauges.untold()
    }

    fn status(&self) -> KernelStatus {
        super::status::of(self)
    }

    fn events_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.0.as_fd())
    }

    fn next_event(&mut self) -> Option<DropEvent> {
        // Bytes that are no event would be another layout's: there is none in a map of this one.
        loop {
            let item = self.events.0.next()?;
            if let Some(event) = Event::from_bytes(&item).as_ref().and_then(DropEvent::of) {
                return Some(event);
            }
        }
    }
}
