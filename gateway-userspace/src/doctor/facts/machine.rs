//! Kernel, memory and settings of the machine.

use std::{fs, io, path::PathBuf};

use caps::{CapSet, Capability};
use nix::unistd::Uid;

use super::{Seen, processors, sysctl};
use crate::{
    config::model::Kernel,
    guard::kernel::{
        KernelError,
        probe::{self, Feature},
    },
};

const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const GROUPS: &str = "/sys/fs/cgroup";
/// Where systemd runs the unit of this repository.
const SERVICE: &str = "/system.slice/gateway.service";

/// Everything about the machine.
#[derive(Debug)]
pub(in crate::doctor) struct Machine {
    pub(in crate::doctor) release: String,
    pub(in crate::doctor) root: bool,
    /// Capabilities the filter needs and this process has not.
    pub(in crate::doctor) missing: Vec<String>,
    pub(in crate::doctor) btf: bool,
    /// Seen by what became of a program.
    pub(in crate::doctor) compiled: Option<bool>,
    pub(in crate::doctor) jit: Seen<u64>,
    pub(in crate::doctor) harden: Seen<u64>,
    pub(in crate::doctor) stats: Seen<u64>,
    pub(in crate::doctor) unprivileged: Seen<u64>,
    pub(in crate::doctor) pins: Pins,
    pub(in crate::doctor) tick_ns: Option<u64>,
    pub(in crate::doctor) cookies: Seen<u64>,
    pub(in crate::doctor) timestamps: Seen<u64>,
    pub(in crate::doctor) clock: Option<String>,
    pub(in crate::doctor) memory: Memory,
    pub(in crate::doctor) features: Vec<Feature>,
    /// Whether this kernel's verifier takes the filter.
    pub(in crate::doctor) program: Result<(), KernelError>,
}

/// Where maps and links would be pinned.
#[derive(Debug)]
pub(in crate::doctor) struct Pins {
    pub(in crate::doctor) path: PathBuf,
    pub(in crate::doctor) usable: Result<(), KernelError>,
}

/// What the maps take and what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) struct Memory {
    pub(in crate::doctor) needed: u64,
    pub(in crate::doctor) available: Option<u64>,
    /// What the tightest control group leaves, and its name.
    pub(in crate::doctor) group: Option<(String, u64)>,
    /// A filter is there already, and has its memory.
    pub(in crate::doctor) loaded: bool,
}

impl Machine {
    pub(in crate::doctor) fn gather(kernel: &Kernel) -> Self {
        let release = nix::sys::utsname::uname()
            .map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned());
        Self {
            release,
            root: Uid::effective().is_root(),
            missing: missing(),
            btf: fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false),
            compiled: probe::is_compiled().ok(),
            jit: sysctl("net.core.bpf_jit_enable"),
            harden: sysctl("net.core.bpf_jit_harden"),
            stats: sysctl("kernel.bpf_stats_enabled"),
            unprivileged: sysctl("kernel.unprivileged_bpf_disabled"),
            pins: Pins { path: kernel.pins.clone(), usable: probe::check_pins(&kernel.pins) },
            tick_ns: probe::tick_ns().ok(),
            cookies: sysctl("net.ipv4.tcp_syncookies"),
            timestamps: sysctl("net.ipv4.tcp_timestamps"),
            clock: fs::read_to_string(CLOCK).ok().map(|name| name.trim().to_owned()),
            memory: memory(kernel),
            features: probe::features(),
            program: probe::verify_filter(),
        }
    }
}

fn missing() -> Vec<String> {
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN]
        .iter()
        .filter(|one| !caps::has_cap(None, CapSet::Effective, **one).unwrap_or(false))
        .map(ToString::to_string)
        .collect()
}

fn memory(kernel: &Kernel) -> Memory {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let groups = [SERVICE, own].into_iter().filter_map(tightest);
    Memory {
        needed: probe::map_bytes(&kernel.capacity, processors(&possible)),
        available: fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)),
        group: groups.min_by_key(|(_, left)| *left),
        loaded: probe::is_loaded(kernel),
    }
}

/// The group of this path or above it that leaves least.
fn tightest(group: &str) -> Option<(String, u64)> {
    let above = std::path::Path::new(group).ancestors();
    let limited = above.filter_map(|path| {
        let name = path.display().to_string();
        let read = |file: &str| -> io::Result<String> {
            fs::read_to_string(format!("{GROUPS}{name}/{file}"))
        };
        left(&read("memory.max").ok()?, &read("memory.current").ok()?).map(|left| (name, left))
    });
    limited.min_by_key(|(_, left)| *left)
}

/// `None` where there is no limit.
fn left(most: &str, current: &str) -> Option<u64> {
    let most: u64 = most.trim().parse().ok()?;
    Some(most.saturating_sub(current.trim().parse().ok()?))
}

/// Bytes that can be had without swapping.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_and_limits() {
        let text = "MemTotal:  4000 kB\nMemFree: 10 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available(text), Some(2 << 20));
        assert_eq!(available("MemTotal: 1 kB"), None);
        assert_eq!(left("1000\n", "400\n"), Some(600));
        assert_eq!(left("400\n", "1000\n"), Some(0));
        assert_eq!(left("max\n", "400\n"), None);
    }
}
