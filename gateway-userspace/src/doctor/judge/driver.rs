//! Whether the driver would run the filter itself, before a socket buffer is made, and what keeps
//! it from that: too large frames, frames merged before XDP sees them, too few queues.

use gateway_common::maps::PROGRAM;

use super::{
    super::{
        facts::{Interface, Offload},
        finding::{Finding, Level},
    },
    interface::{LOOPBACK, kind_of},
};
use crate::{config::model::Attach, guard::kernel::netlink::Attached};

/// `NETDEV_XDP_ACT_BASIC`
const BASIC: u64 = 1;
/// `NETDEV_XDP_ACT_RX_SG`: frames in several buffers.
const FRAGMENTS: u64 = 1 << 5;
/// What a page holds besides the frame: XDP's headroom, the shared info of a socket buffer, the
/// Ethernet header, two VLAN tags.
const OVERHEAD: u64 = 256 + 320 + 14 + 8;
/// Drivers that split a page stop below it.
const SURE_MTU: u64 = 3000;
/// Drivers that had native XDP before kernels told (Linux 6.3), by the name ethtool has for them.
const DRIVERS: [&str; 25] = [
    "bnxt_en",
    "bonding",
    "cpsw",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "netsec",
    "nfp",
    "nicvf",
    "qede",
    "tun",
    "veth",
    "vif",
    "virtio_net",
];
/// Kinds that have the generic hook alone.
const GENERIC_KINDS: [&str; 9] =
    ["bridge", "dummy", "ifb", "ipvlan", "ipvtap", "macvtap", "team", "vlan", "vrf"];

const NATIVE: &str = "native xdp";

pub(super) fn judge(facts: &Interface, attach: Attach) -> Vec<Finding> {
    let mut findings = vec![native(facts, attach), mtu(facts, attach)];
    // What is attached has proved that nothing is in the way.
    if !is_ours(facts, Attached::Native) {
        findings.extend(merging(facts, attach));
    }
    findings.extend(queues(facts, attach));
    findings
}

fn is_ours(facts: &Interface, attached: Attached) -> bool {
    facts.link.slot.attached == attached && facts.program.as_deref() == Some(PROGRAM)
}

/// What keeps the driver from running the filter: no start at all, a slower hook, or what was
/// asked for.
fn obstacle(attach: Attach, about: &'static str, what: &str) -> Finding {
    match attach {
        Attach::Native => Finding::fail(about, format!("{what}, and kernel.attach is \"native\"")),
        Attach::Auto => {
            Finding::warn(about, format!("{what}: the generic hook is used, behind the driver"))
        }
        Attach::Generic => {
            Finding::new(Level::Note, about, format!("{what}; kernel.attach is \"generic\" anyway"))
        }
    }
}

fn native(facts: &Interface, attach: Attach) -> Finding {
    let driver = kind_of(facts);
    let known = has_native(facts);
    let other = "use an interface whose driver has native XDP, or set kernel.attach = \"generic\"";
    if is_ours(facts, Attached::Native) {
        return Finding::ok(NATIVE, format!("{driver} runs the filter"));
    }
    if is_ours(facts, Attached::Generic) && known == Some(true) && attach != Attach::Generic {
        let what =
            format!("{driver} has native XDP, but the filter is attached to the generic hook");
        return Finding::warn(NATIVE, what).change(
            "clear what is in the way below; then stop gateway, remove its pins and start it: a moment without a filter",
        );
    }
    match known {
        Some(true) => Finding::ok(NATIVE, format!("{driver} has it")),
        Some(false) => {
            obstacle(attach, NATIVE, &format!("{driver} has none as it is set up")).change(other)
        }
        None => {
            obstacle(attach, NATIVE, &format!("{driver} is not known to have it")).change(other)
        }
    }
}

/// The kernel's word if it gives one. `None` if nothing is known.
fn has_native(facts: &Interface) -> Option<bool> {
    let kind = facts.link.kind.as_deref();
    if facts.link.hardware == LOOPBACK || kind.is_some_and(|kind| GENERIC_KINDS.contains(&kind)) {
        return Some(false);
    }
    if let Some(features) = facts.xdp {
        return Some(features & BASIC != 0);
    }
    let named = [facts.driver.as_deref(), kind];
    named.iter().flatten().any(|name| DRIVERS.contains(name)).then_some(true)
}

fn mtu(facts: &Interface, attach: Attach) -> Finding {
    let (mtu, name) = (u64::from(facts.link.mtu), &facts.link.name);
    let most = facts.page.saturating_sub(OVERHEAD);
    let in_pieces = facts.fragments && facts.xdp.is_some_and(|flags| flags & FRAGMENTS != 0);
    let proved = is_ours(facts, Attached::Native) || has_native(facts) == Some(false);
    if mtu <= most.min(SURE_MTU) || in_pieces || proved {
        return Finding::ok("mtu", format!("{mtu}"));
    }
    if mtu <= most {
        let what =
            format!("{mtu}: drivers that split pages refuse native XDP above about {SURE_MTU}");
        return Finding::note("mtu", what)
            .change(format!("if it is refused: ip link set dev {name} mtu {SURE_MTU}"));
    }
    obstacle(
        attach,
        "mtu",
        &format!("{mtu}: no frame above about {most} fits into a page with XDP"),
    )
    .change(format!("ip link set dev {name} mtu {most}"))
}

fn merging(facts: &Interface, attach: Attach) -> Vec<Finding> {
    let name = &facts.link.name;
    let mut findings = Vec::new();
    if let Some(Offload { on: true, .. }) = facts.lro {
        let what = "LRO merges packets before XDP could see them";
        findings.push(obstacle(attach, "lro", what).change(format!("ethtool -K {name} lro off")));
    }
    match (facts.virtio, facts.gro_hw) {
        (Some(virtio), _) if virtio.merges && !virtio.control => {
            let what = "the host hands over merged packets, and this guest cannot forbid it";
            let change = "start the virtual machine's virtio-net with ctrl_guest_offloads=on, or with guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off";
            findings.push(obstacle(attach, "guest offloads", what).change(change));
        }
        (Some(_), _) => {
            let what = "the driver forbids merged packets when XDP is attached";
            findings.push(Finding::ok("guest offloads", what));
        }
        (None, Some(Offload { on: true, fixed: false })) => {
            let what = "the hardware merges packets before XDP could see them";
            let change = format!("ethtool -K {name} rx-gro-hw off");
            findings.push(obstacle(attach, "gro", what).change(change));
        }
        (None, Some(Offload { on: true, fixed: true })) => {
            let what = "the hardware merges packets before XDP could see them, for good";
            findings.push(obstacle(attach, "gro", what).change("ask for a device without it"));
        }
        (None, _) => {}
    }
    findings
}

/// Hardware alone: a software interface runs on the processor that sends to it.
fn queues(facts: &Interface, attach: Attach) -> Vec<Finding> {
    let Some(channels) = facts.channels.filter(|_| facts.link.kind.is_none()) else {
        return Vec::new();
    };
    let name = &facts.link.name;
    let (now, most) =
        (channels.rx + channels.combined, channels.most_rx.max(channels.most_combined));
    let mut findings = Vec::new();
    let driver = facts.driver.as_deref();
    if driver == Some("ena") && u64::from(now) * 2 > u64::from(most) {
        let what = format!("ena wants a spare queue for each of {now} and has {most} in all");
        let change = format!("ethtool -L {name} combined {}", (most / 2).max(1));
        findings.push(obstacle(attach, "spare queues", &what).change(change));
    }
    if driver == Some("virtio_net") && u64::from(now) + facts.processors > u64::from(most) {
        findings.push(spare_for_virtio(now, most, facts.processors));
    }
    findings.push(enough(facts, now, most));
    findings
}

fn spare_for_virtio(now: u32, most: u32, processors: u64) -> Finding {
    let wanted = u64::from(now) + processors;
    let what = format!(
        "{most} of {wanted}: processors share queues under a lock to send from XDP, as SYN cookies do"
    );
    Finding::note("spare queues", what)
        .change(format!("start the virtual machine with queues={wanted} for this device"))
}

fn enough(facts: &Interface, now: u32, most: u32) -> Finding {
    let processors = facts.processors;
    if u64::from(now) >= processors {
        return Finding::ok("queues", format!("{now} for {processors} processors"));
    }
    let what = format!("{now} for {processors} processors: no more than {now} of them can filter");
    let could = u64::from(most).min(processors);
    if could <= u64::from(now) {
        return Finding::note("queues", format!("{what}; the device has no more"));
    }
    let kind = if facts.channels.is_some_and(|channels| channels.most_combined > 0) {
        "combined"
    } else {
        "rx"
    };
    Finding::note("queues", what).change(format!("ethtool -L {} {kind} {could}", facts.link.name))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::facts::{Channels, Virtio},
            interface::tests::card,
        },
        *,
    };
    use crate::guard::kernel::netlink::Slot;

    /// The findings about one thing.
    fn about(facts: &Interface, attach: Attach, what: &str) -> Option<Finding> {
        let found = judge(facts, attach).into_iter().find(|finding| finding.about == what);
        if let Some(found) = &found {
            assert!(found.level < Level::Warn || found.change.is_some(), "{found:?}");
        }
        found
    }

    fn level(facts: &Interface, attach: Attach, what: &str) -> Option<Level> {
        about(facts, attach, what).map(|finding| finding.level)
    }

    #[test]
    fn an_obstacle_is_as_bad_as_the_attachment_that_was_asked_for() {
        let facts = Interface { xdp: Some(0), ..card() };
        for (attach, expected) in [
            (Attach::Native, Level::Fail),
            (Attach::Auto, Level::Warn),
            (Attach::Generic, Level::Note),
        ] {
            assert_eq!(level(&facts, attach, NATIVE), Some(expected));
        }
    }

    #[test]
    fn the_kernels_word_goes_before_the_list() {
        let with = |xdp, driver: &str| {
            let facts = Interface { xdp, driver: Some(driver.to_owned()), ..card() };
            level(&facts, Attach::Auto, NATIVE)
        };
        assert_eq!(with(Some(1), "new_driver"), Some(Level::Ok));
        assert_eq!(with(Some(0), "ice"), Some(Level::Warn));
        assert_eq!(with(None, "ice"), Some(Level::Ok));
        assert_eq!(with(None, "e1000e"), Some(Level::Warn));
        let mut loopback = card();
        loopback.link.hardware = LOOPBACK;
        assert_eq!(level(&loopback, Attach::Auto, NATIVE), Some(Level::Warn));
    }

    #[test]
    fn frames_must_fit_a_page_unless_the_filter_takes_pieces() {
        let with = |mtu, page, fragments, xdp| {
            let mut facts = Interface { page, fragments, xdp: Some(xdp), ..card() };
            facts.link.mtu = mtu;
            level(&facts, Attach::Native, "mtu")
        };
        assert_eq!(with(1500, 4096, false, BASIC), Some(Level::Ok));
        assert_eq!(with(3400, 4096, false, BASIC), Some(Level::Note));
        assert_eq!(with(9000, 4096, false, BASIC), Some(Level::Fail));
        assert_eq!(with(9000, 65_536, false, BASIC), Some(Level::Note));
        assert_eq!(with(9000, 4096, true, BASIC), Some(Level::Fail));
        assert_eq!(with(9000, 4096, true, BASIC | FRAGMENTS), Some(Level::Ok));
    }

    #[test]
    fn merged_packets_are_in_the_way() {
        let on = |fixed| Some(Offload { on: true, fixed });
        let lro = Interface { lro: on(false), ..card() };
        assert_eq!(level(&lro, Attach::Auto, "lro"), Some(Level::Warn));
        let gro = Interface { gro_hw: on(false), ..card() };
        let found = about(&gro, Attach::Auto, "gro").unwrap();
        assert!(found.change.unwrap().contains("ethtool -K eth0 rx-gro-hw off"));
        let virtio = |merges, control| {
            let virtio = Some(Virtio { merges, control });
            level(
                &Interface { virtio, gro_hw: on(true), ..card() },
                Attach::Native,
                "guest offloads",
            )
        };
        assert_eq!(virtio(true, false), Some(Level::Fail));
        assert_eq!(virtio(true, true), Some(Level::Ok));
        assert_eq!(virtio(false, false), Some(Level::Ok));
    }

    #[test]
    fn an_attached_filter_has_nothing_in_its_way() {
        let mut facts = Interface { lro: Some(Offload { on: true, fixed: false }), ..card() };
        facts.link.slot = Slot { attached: Attached::Native, program: 7 };
        facts.program = Some(PROGRAM.to_owned());
        facts.link.mtu = 9000;
        let findings = judge(&facts, Attach::Native);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
        facts.link.slot.attached = Attached::Generic;
        assert_eq!(level(&facts, Attach::Auto, NATIVE), Some(Level::Warn));
    }

    #[test]
    fn queues_are_counted_against_processors_and_spares() {
        let with = |driver: &str, combined, most_combined, processors| {
            let channels = Some(Channels { most_combined, combined, ..Channels::default() });
            Interface { driver: Some(driver.to_owned()), channels, processors, ..card() }
        };
        assert_eq!(level(&with("ice", 4, 8, 4), Attach::Auto, "queues"), Some(Level::Ok));
        let few = about(&with("ice", 1, 8, 4), Attach::Auto, "queues").unwrap();
        assert_eq!(few.change.as_deref(), Some("ethtool -L eth0 combined 4"));
        let ena = about(&with("ena", 8, 8, 8), Attach::Auto, "spare queues").unwrap();
        assert_eq!(ena.level, Level::Warn);
        assert_eq!(ena.change.as_deref(), Some("ethtool -L eth0 combined 4"));
        assert_eq!(about(&with("ena", 4, 8, 4), Attach::Auto, "spare queues"), None);
        let virtio = with("virtio_net", 2, 2, 2);
        assert_eq!(level(&virtio, Attach::Auto, "spare queues"), Some(Level::Note));
    }
}
