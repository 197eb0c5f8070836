//! What the filter tells of itself: counters, maps, interfaces.

use std::{fs, os::fd::AsRawFd as _};

use aya::Pod;
use gateway_common::{
    Class, Reason,
    maps::{self, EventTokens, FlowKey, LAYOUT_VERSION, LimitKey, flag},
};

use super::{
    ahead, attach,
    egress::Place,
    filter::{KernelError, PacketFilter as _, Untold},
    list::Entries as _,
    live::Filter,
    netlink,
    object::Object,
    slots::{Slots, packet_reasons},
    table::Table,
};
use crate::{
    control::{CookieStatus, Counter, InterfaceStatus, KernelStatus, MapStatus},
    ipc::message::ReasonCount,
};

/// The maps that are only read.
#[derive(Debug)]
pub(super) struct Gauges {
    pub(super) slots: Slots,
    tokens: Table<u32, EventTokens>,
    exact: Table<LimitKey, u64>,
    flows: Table<FlowKey, u64>,
    /// Those of fixed size, which are full from the start.
    arrays: Vec<MapStatus>,
    cpus: usize,
}

impl Gauges {
    pub(super) fn new(
        object: &mut Object,
        interfaces: &[String],
        arrays: Vec<MapStatus>,
    ) -> Result<Self, KernelError> {
        let cpus = aya::util::nr_cpus().map_err(|(path, source)| KernelError::System {
            doing: format!("counting processors in {path}"),
            source,
        })?;
        Ok(Self {
            slots: Slots::new(object, interfaces, cpus)?,
            tokens: object.table(maps::EVENT_TOKENS)?,
            exact: object.table(maps::EXACT)?,
            flows: object.table(maps::FLOWS)?,
            arrays,
            cpus,
        })
    }

    /// Drops that nobody is told of.
    pub(super) fn untold(&self) -> Result<Untold, KernelError> {
        let mut untold = Untold::default();
        for reason in packet_reasons() {
            let index = u32::from(reason.number());
            for tokens in self.tokens.get_per_cpu(&index, self.cpus)? {
                untold.lost += tokens.lost;
                untold.unsampled += tokens.unsampled;
            }
        }
        Ok(untold)
    }
}

/// The whole picture. What cannot be read is left at zero: a status never fails.
pub(super) fn of(filter: &Filter) -> KernelStatus {
    let maps = map_statuses(filter);
    KernelStatus {
        enabled: true,
        mode: mode(filter).to_owned(),
        slot: slot(filter).to_owned(),
        shadow: shadow_classes(filter),
        layout: format!("v{LAYOUT_VERSION}"),
        pins: filter.folder.path.display().to_string(),
        interfaces: filter.config.interfaces.iter().map(|name| interface(filter, name)).collect(),
        memory_bytes: maps.iter().map(|map| map.bytes).sum(),
        maps,
        counters: filter.counters().unwrap_or_default().iter().filter_map(counter).collect(),
        events_lost: filter.gauges.untold().unwrap_or_default().lost,
        // Told by who follows them with the kernel's settings.
        syn_cookies: CookieStatus::default(),
    }
}

fn mode(filter: &Filter) -> &'static str {
    if filter.settings.has(flag::PANIC) {
        "panic pass"
    } else if is_shadow(filter) {
        "shadow"
    } else {
        "enforce"
    }
}

fn slot(filter: &Filter) -> &'static str {
    match filter.policy_slot() {
        Ok(0) => "A",
        Ok(_) => "B",
        Err(_) => "",
    }
}

/// The classes of which nothing is dropped.
fn shadow_classes(filter: &Filter) -> Vec<String> {
    let in_shadow = filter.in_shadow().unwrap_or(0);
    let classes = Class::ALL.iter().filter(|class| class.bits() & !in_shadow == 0);
    classes.map(|class| class.name().to_owned()).collect()
}

/// True if nothing at all is dropped.
fn is_shadow(filter: &Filter) -> bool {
    let in_shadow = filter.in_shadow().unwrap_or(0);
    Class::ALL.iter().all(|class| class.bits() & !in_shadow == 0)
}

fn interface(filter: &Filter, name: &str) -> InterfaceStatus {
    let index = attach::index_of(name).ok();
    let slot = index.and_then(|index| netlink::slot(index).ok());
    let counts = filter.gauges.slots.of(name).unwrap_or_default();
    InterfaceStatus {
        name: name.to_owned(),
        attached: slot.map_or("unknown", |slot| slot.attached.name()).to_owned(),
        program_id: slot.map_or(0, |slot| slot.program),
        egress: egress(filter, name),
        before_egress: index.map(ahead::of).unwrap_or_default(),
        counters: counts.iter().filter_map(counter).collect(),
    }
}

fn egress(filter: &Filter, name: &str) -> String {
    match filter.seen.iter().find(|seen| seen.name == name).map(|seen| &seen.place) {
        Some(Ok(Place::Link)) => "seen".to_owned(),
        Some(Ok(Place::Filter)) => "seen by a tc filter".to_owned(),
        Some(Err(why)) => format!("not seen: {why}"),
        None => "not attached".to_owned(),
    }
}

fn counter(count: &ReasonCount) -> Option<Counter> {
    Some(Counter {
        reason: Reason::from_number(count.reason)?.name().to_owned(),
        packets: count.packets,
        bytes: count.bytes,
        shadow_packets: count.shadow_packets,
    })
}

fn map_statuses(filter: &Filter) -> Vec<MapStatus> {
    let exact = filter.gauges.exact.all().map_or(0, |entries| entries.len());
    let flows = filter.gauges.flows.all().map_or(0, |entries| entries.len());
    let (bulk4, bulk6, bulk_tail) = filter.bulk_used.counts();
    let hashed6 = filter.bans6.used() - filter.bans6.used_tail();
    let mut maps = vec![
        map(&filter.tables.bans4, filter.bans4.used() + bulk4),
        map(&filter.tables.bans6, hashed6 + bulk6),
        map(&filter.tables.tail6, filter.bans6.used_tail() + bulk_tail),
        map(filter.allows4.prefixes.entries(), filter.allows4.prefixes.used()),
        map(filter.allows6.prefixes.entries(), filter.allows6.prefixes.used()),
        map(&filter.gauges.exact, exact),
        map(&filter.gauges.flows, flows),
    ];
    maps.extend(filter.gauges.arrays.iter().cloned());
    maps
}

/// An array: all of it is in use.
pub(super) fn array<V: Pod + Default>(table: &Table<u32, V>) -> MapStatus {
    map(table, table.capacity())
}

fn map<K: Pod + Default, V: Pod + Default>(table: &Table<K, V>, used: usize) -> MapStatus {
    MapStatus {
        name: table.shape().name.to_ascii_lowercase(),
        used: used as u64,
        capacity: table.capacity() as u64,
        bytes: memory(table.descriptor().as_raw_fd()),
    }
}

/// What the kernel charges for a map.
fn memory(descriptor: i32) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0)
}
