//! Debian's xdp-filter, the variant with every feature, loaded without libxdp's dispatcher: at its
//! best.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{PerCpuHashMap, PerCpuValues},
    programs::Xdp,
    util::nr_cpus,
};
use gateway_tests::netns::{remove, unique};
use ipnet::IpNet;

/// The file of the package xdp-tools: passes what is not listed.
const OBJECT: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_all.o";
const PROGRAM: &str = "xdpfilt_alw_all";

/// `MAP_FLAG_SRC` of its `common_kern_user.h`.
const AS_SOURCE: u64 = 1;

/// As the package makes its maps.
pub(crate) const SHIPPED_ENTRIES: u32 = 10_000;

/// The filter, with room for as many addresses of each family as its maker is asked for.
pub(crate) struct XdpFilter {
    object: Ebpf,
    pins: PathBuf,
}

impl XdpFilter {
    /// Its own loader always makes room for [`SHIPPED_ENTRIES`].
    pub(crate) fn load(entries: u32) -> Result<Self> {
        // Its maps ask to be pinned.
        let pins = PathBuf::from("/sys/fs/bpf").join(unique());
        std::fs::create_dir(&pins).context("making a folder for xdp-filter's pins")?;
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(&pins);
        for map in ["filter_ipv4", "filter_ipv6"] {
            loader.map_max_entries(map, entries);
        }
        let mut filter = Self {
            object: loader.load_file(OBJECT).context("loading xdp-filter from xdp-tools")?,
            pins,
        };
        let program = filter.object.program_mut(PROGRAM).context("no program in xdp-filter")?;
        let program: &mut Xdp = program.try_into()?;
        program.load().context("verifying xdp-filter")?;
        Ok(filter)
    }

    pub(crate) fn program(&self) -> Result<&Xdp> {
        let program = self.object.program(PROGRAM).context("no program in xdp-filter")?;
        Ok(program.try_into()?)
    }

    /// Denies these sources: single addresses only, it knows no prefixes.
    pub(crate) fn deny(&mut self, hosts: impl Iterator<Item = IpNet>) -> Result<()> {
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for host in hosts {
            match host.addr() {
                IpAddr::V4(address) => v4.push(address.octets()),
                IpAddr::V6(address) => v6.push(address.octets()),
            }
        }
        let value = || PerCpuValues::try_from(vec![AS_SOURCE; cpus]);
        let mut map = PerCpuHashMap::<_, [u8; 4], u64>::try_from(self.map("filter_ipv4")?)?;
        for key in v4 {
            map.insert(key, value()?, 0).context("filling xdp-filter")?;
        }
        let mut map = PerCpuHashMap::<_, [u8; 16], u64>::try_from(self.map("filter_ipv6")?)?;
        for key in v6 {
            map.insert(key, value()?, 0).context("filling xdp-filter")?;
        }
        Ok(())
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.object.map_mut(name).with_context(|| format!("xdp-filter has no map {name}"))
    }
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        drop(remove(&self.pins));
    }
}
