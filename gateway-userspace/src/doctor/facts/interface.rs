//! One interface: what rtnetlink, ethtool, the netdev family and its driver's folder tell of it.

use std::fs;

use nix::net::if_::{if_nameindex, if_nametoindex};

use super::{
    Seen,
    ethtool::{Channels, Ethtool, Offload},
    netdev, online, sysctl,
};
use crate::guard::kernel::{
    netlink::{self, Attached},
    probe,
};

/// `AT_PAGESZ`
const PAGE_SIZE: u64 = 6;

/// Everything about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) struct Interface {
    pub(in crate::doctor) link: netlink::Interface,
    /// What it stands on, where that is in the same namespace.
    pub(in crate::doctor) lower: Option<String>,
    /// What it is a port of: name and kind.
    pub(in crate::doctor) master: Option<(String, String)>,
    pub(in crate::doctor) driver: Option<String>,
    /// `NETDEV_XDP_ACT_…`, by kernels that tell (6.3).
    pub(in crate::doctor) xdp: Option<u64>,
    pub(in crate::doctor) virtio: Option<Virtio>,
    pub(in crate::doctor) lro: Option<Offload>,
    pub(in crate::doctor) gro_hw: Option<Offload>,
    pub(in crate::doctor) channels: Option<Channels>,
    /// Name of the program in its slot.
    pub(in crate::doctor) program: Option<String>,
    /// What comes before gateway on the way out, if gateway is there.
    pub(in crate::doctor) before_egress: Vec<String>,
    /// The stricter of the interface's and that of all.
    pub(in crate::doctor) rp_filter: Seen<u64>,
    pub(in crate::doctor) processors: u64,
    pub(in crate::doctor) page: u64,
    /// The filter takes frames in several buffers.
    pub(in crate::doctor) fragments: bool,
}

/// What a virtio device and its driver agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doctor) struct Virtio {
    /// The host may hand over frames without checksums, or several merged into one.
    pub(in crate::doctor) merges: bool,
    /// The guest can forbid that.
    pub(in crate::doctor) control: bool,
}

/// Names of all interfaces but the loopback.
pub(in crate::doctor) fn names() -> Vec<String> {
    let all = if_nameindex().map_or_else(
        |_| Vec::new(),
        |all| all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect(),
    );
    all.into_iter().filter(|name| name != "lo").collect()
}

impl Interface {
    /// `None` if there is no such interface.
    pub(in crate::doctor) fn gather(name: &str) -> Option<Self> {
        let link = netlink::interface(if_nametoindex(name).ok()?).ok()?;
        let ethtool = Ethtool::open(name);
        let offloads = ethtool.as_ref().map(Ethtool::offloads).unwrap_or_default();
        let offload =
            |name: &str| offloads.iter().find(|(found, _)| found == name).map(|one| one.1);
        let named = |index: u32| netlink::interface(index).ok();
        let taken = link.slot.attached != Attached::Not;
        Some(Self {
            lower: link.lower.and_then(named).map(|lower| lower.name),
            master: link.master.and_then(named).map(|up| (up.name, up.kind.unwrap_or_default())),
            driver: ethtool.as_ref().and_then(Ethtool::driver),
            xdp: netdev::xdp_features(link.index),
            virtio: virtio(&link),
            lro: offload("rx-lro"),
            gro_hw: offload("rx-gro-hw"),
            channels: ethtool.as_ref().and_then(Ethtool::channels),
            program: taken.then(|| probe::program_name(link.slot.program)),
            before_egress: probe::before_egress(link.index),
            rp_filter: rp_filter(&link.name),
            processors: online(),
            page: page().unwrap_or(4096),
            fragments: probe::takes_fragments(),
            link,
        })
    }
}

/// The kernel takes the larger of the two; 1 is strict, 2 is loose.
fn rp_filter(name: &str) -> Seen<u64> {
    // A dot in a name is no separator below /proc/sys.
    let own = super::number(&format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"));
    match (own, sysctl("net.ipv4.conf.all.rp_filter")) {
        (Seen::Is(own), Seen::Is(all)) => Seen::Is(own.max(all)),
        (Seen::Is(_), hidden) | (hidden, _) => hidden,
    }
}

/// Bits as virtio's specification numbers them, printed by the kernel lowest first.
fn virtio(link: &netlink::Interface) -> Option<Virtio> {
    let folder = format!("/sys/class/net/{}", link.name);
    // Another namespace's /sys may have another interface of this name.
    let index: u32 = fs::read_to_string(format!("{folder}/ifindex")).ok()?.trim().parse().ok()?;
    if index != link.index {
        return None;
    }
    let driver = fs::read_link(format!("{folder}/device/driver")).ok()?;
    let bits = fs::read_to_string(format!("{folder}/device/features")).ok()?;
    driver.ends_with("virtio_net").then(|| agreed(&bits))
}

fn agreed(bits: &str) -> Virtio {
    let has = |bit: usize| bits.as_bytes().get(bit) == Some(&b'1');
    // GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, GUEST_ECN, GUEST_UFO, GUEST_USO4, GUEST_USO6.
    let merges = [1, 7, 8, 9, 10, 54, 55].into_iter().any(has);
    Virtio { merges, control: has(2) }
}

/// The size of a page, as the kernel told this process at its start.
fn page() -> Option<u64> {
    let vector = fs::read("/proc/self/auxv").ok()?;
    let words: Vec<u64> = vector
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)))
        .collect();
    words.chunks_exact(2).find_map(|pair| match pair {
        [PAGE_SIZE, size] => Some(*size),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_can_be_looked_at() {
        let found = Interface::gather("lo").unwrap();
        assert_eq!(found.link.index, 1);
        assert!(found.page.is_power_of_two() && found.page >= 4096);
        assert_eq!(Interface::gather("nowhere0"), None);
    }

    #[test]
    fn reads_virtio_bits() {
        let bits = |set: &[usize]| -> String {
            (0..64).map(|bit| if set.contains(&bit) { '1' } else { '0' }).collect()
        };
        assert_eq!(agreed(&bits(&[0, 5])), Virtio { merges: false, control: false });
        assert_eq!(agreed(&bits(&[1, 2])), Virtio { merges: true, control: true });
        assert_eq!(agreed(&bits(&[7])), Virtio { merges: true, control: false });
        assert_eq!(agreed(""), Virtio { merges: false, control: false });
    }
}
