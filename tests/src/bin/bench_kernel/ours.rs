//! The filter under test, through the guard's own interface: the one file that knows it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use aya::{
    maps::{HashMap, Map, MapData},
    programs::{ProgramFd, loaded_programs},
};
use gateway_common::{
    Reason,
    maps::{self, FlowKey, PROGRAM},
    packet,
};
use gateway_tests::netns::{remove, unique};
use gateway_userspace::{
    clock,
    config::{self, defaults, model::Kernel},
    guard::kernel::{BanSource, Bulk, BulkFilter, Filter, KernelBan, PacketFilter as _},
};
use ipnet::IpNet;

use crate::programs::Subject;

/// Exempt sources: some, so that the list is asked.
const ALLOWED: [&str; 4] =
    ["192.0.2.0/24", "203.0.113.7/32", "2001:db8:a::/48", "2001:db8:b::7/128"];

/// What the filter was built with, for the report.
pub(crate) const FEATURES: &str = "allow list, single bans and a generation of listed hosts and prefixes, answers, policy `closed` \
     on trial until its deadline, limits on packets and SYNs of host and neighbourhood (sketch and \
     exact table), a class in shadow mode, panic switch, counters, sampled events";

/// A trial that no bench outlives: each packet looks whether its deadline is past.
const TRIAL: Duration = Duration::from_hours(24);

/// A loaded filter with pins of its own, attached nowhere.
pub(crate) struct Ours {
    filter: Filter,
    bulk: Box<dyn BulkFilter>,
    pins: PathBuf,
}

impl Ours {
    pub(crate) fn open() -> Result<Self> {
        let config = config()?;
        let filter = Filter::open(&config)?;
        let mut ours = Self { bulk: filter.bulk(), filter, pins: config.pins.clone() };
        ours.filter.try_policy(&config, TRIAL)?;
        for net in ALLOWED {
            ours.filter.put_allow(net.parse()?)?;
        }
        Ok(ours)
    }

    /// Enters the flows that these frames are answers in, as asked for far ahead of any bench's end.
    pub(crate) fn ask(&self, frames: impl Iterator<Item = Vec<u8>>) -> Result<()> {
        let folder = fs::read_dir(&self.pins)?.next().context("no pins")??.path();
        let map = Map::LruHashMap(MapData::from_pin(folder.join(maps::FLOWS))?);
        let mut flows: HashMap<_, FlowKey, u64> = HashMap::try_from(map)?;
        for frame in frames {
            let packet = packet::parse(frame.as_slice());
            let key = FlowKey {
                remote: packet.from,
                local: packet.to,
                remote_port: packet.source_port,
                local_port: packet.destination_port,
                protocol: packet.protocol,
                version: packet.version,
                zero: 0,
            };
            flows.insert(key, u64::MAX, 0)?;
        }
        Ok(())
    }

    /// Puts this list in the place of the one before; how long that took, from an ordered list to
    /// one in force. What it replaced is cleared behind it, as the guard does at leisure.
    pub(crate) fn set(&mut self, nets: &[IpNet]) -> Result<Duration> {
        let wanted = Arc::new(generation(nets));
        let start = clock::now();
        let loaded = self.bulk.replace(wanted)?;
        let took = start.elapsed();
        if loaded.entries != nets.len() {
            bail!("{} of {} entries are in force", loaded.entries, nets.len());
        }
        while self.bulk.clear_some()? {}
        Ok(took)
    }
}

/// The list as the guard keeps it.
fn generation(nets: &[IpNet]) -> Bulk {
    let kind = KernelBan { left: None, reason: Reason::Import, source: BanSource::Import };
    let mut bulk = Bulk { kinds: vec![kind], ..Bulk::default() };
    for net in nets {
        match net {
            IpNet::V4(net) => bulk.push4(net.addr().into(), net.prefix_len(), 0),
            IpNet::V6(net) => bulk.push6(net.addr().into(), net.prefix_len(), 0),
        }
    }
    bulk.v4.sort_unstable();
    bulk.v6.sort_unstable();
    bulk
}

impl Subject for Ours {
    fn run(&self, frame: &[u8], repeat: u32) -> Result<(u32, Duration)> {
        Ok(self.filter.test_run(frame, repeat)?)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        drop(remove(&self.pins));
    }
}

/// The filter's program, as a tail call reaches it. The guard's interface does not hand it out, but
/// this process holds it.
pub(crate) fn program() -> Result<ProgramFd> {
    let own = own_programs()?;
    let mut all = loaded_programs().filter_map(Result::ok);
    let info = all.find(|info| own.contains(&info.id()) && info.name() == PROGRAM.as_bytes());
    Ok(info.context("this process holds no filter program")?.fd()?)
}

/// Numbers of the BPF programs this process has open: others on this machine may have the same
/// name.
fn own_programs() -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo").context("listing descriptors")? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        numbers.extend(line.and_then(|number| number.trim().parse::<u32>().ok()));
    }
    Ok(numbers)
}

/// Everything on and nothing in the way: one source sends all packets of a cell, so the rates are
/// beyond what a processor can send.
const KERNEL: &str = r#"
[kernel]
policy = "closed"
services = ["tcp/443"]
shadow = ["malformed"]
allow_limit = { rate = "1000000000/s", burst = 1000000000 }
packets = { rate = "1000000000/s", burst = 1000000000 }
packets_neighbourhood = { rate = "1000000000/s", burst = 1000000000 }
syns = { rate = "1000000000/s", burst = 1000000000 }
syns_neighbourhood = { rate = "1000000000/s", burst = 1000000000 }
capacity = { hosts = 1000000, prefixes = 200000, allow = 10000, limits = 100000 }
"#;

fn config() -> Result<Kernel> {
    let text = format!("{}{KERNEL}", defaults::EMBEDDED);
    let mut kernel = config::load(&text, "the bench's configuration")?.kernel;
    kernel.pins = PathBuf::from("/sys/fs/bpf").join(unique());
    Ok(kernel)
}
