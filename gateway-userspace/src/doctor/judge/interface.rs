//! Whether an interface is one to attach to, and what is in the way.

use gateway_common::maps::PROGRAM;

use super::{
    super::{
        facts::{Interface, Seen},
        finding::{Finding, Level},
    },
    driver,
    machine::unseen,
};
use crate::{config::model::Attach, guard::kernel::netlink::Attached};

/// `ARPHRD_LOOPBACK`
pub(super) const LOOPBACK: u16 = 772;
/// `ARPHRD_ETHER` and loopback: frames begin with Ethernet's header.
const WITH_ETHERNET: [u16; 2] = [1, LOOPBACK];

/// `None`, where there is no interface of this name.
pub(in crate::doctor) fn judge(
    name: &str,
    facts: Option<&Interface>,
    attach: Attach,
) -> Vec<Finding> {
    let Some(facts) = facts else {
        let what = format!("there is no interface {name} in this network namespace");
        return vec![Finding::fail("interface", what).change(
            "`ip link` lists those that are there; kernel.interfaces names those to guard",
        )];
    };
    let mut findings = vec![state(facts), slot(facts)];
    findings.extend(way_out(facts));
    findings.extend(framing(facts));
    findings.extend(place(facts));
    findings.extend(driver::judge(facts, attach));
    if facts.link.hardware != LOOPBACK {
        findings.push(rp_filter(facts));
    }
    findings
}

/// Nothing was named to look at.
pub(in crate::doctor) fn none(names: &[String]) -> Finding {
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Finding::note("interface", "no interface is configured, so none is filtered")
        .change(format!("gateway doctor --interface NAME; there are: {there}"))
}

fn state(facts: &Interface) -> Finding {
    let link = &facts.link;
    let kind = kind_of(facts);
    if link.up {
        return Finding::ok("interface", format!("{kind}, up"));
    }
    Finding::note("interface", format!("{kind}, down: it can be attached to, but nothing comes in"))
        .change(format!("ip link set dev {} up", link.name))
}

/// What to call it.
pub(super) fn kind_of(facts: &Interface) -> &str {
    if facts.link.hardware == LOOPBACK {
        return "loopback";
    }
    facts.link.kind.as_deref().or(facts.driver.as_deref()).unwrap_or("unknown driver")
}

fn slot(facts: &Interface) -> Finding {
    let (link, slot) = (&facts.link, facts.link.slot);
    if slot.attached == Attached::Not {
        return Finding::ok("xdp slot", "free");
    }
    let (name, mode, id) =
        (facts.program.as_deref().unwrap_or("-"), slot.attached.name(), slot.program);
    match name {
        PROGRAM => Finding::ok("xdp slot", format!("filtered by gateway, {mode}, program {id}")),
        // Programs' names are root's to see.
        "-" => Finding::note("xdp slot", format!("program {id} is attached, {mode}; its name cannot be seen"))
            .change(super::AS_ROOT),
        other => Finding::fail(
            "xdp slot",
            format!("another program is attached, {mode}: {other}, id {id}; gateway leaves it alone"),
        )
        .change(format!(
            "ip link set dev {} xdp off; if a link holds it, `bpftool link` lists its ID for `bpftool link detach id ID`",
            link.name
        )),
    }
}

/// A program that ends the walk hides packets from those behind it.
fn way_out(facts: &Interface) -> Option<Finding> {
    if facts.before_egress.is_empty() {
        return None;
    }
    let names = facts.before_egress.join(", ");
    let what = format!(
        "on the way out {names} comes before gateway, which does not see what that drops or sends elsewhere"
    );
    let change = "let it run behind (a tc filter: a priority over 7), or start gateway after it";
    Some(Finding::note("way out", what).change(change))
}

/// The parser begins with an Ethernet header. Where there is none every packet is misread.
fn framing(facts: &Interface) -> Option<Finding> {
    let hardware = facts.link.hardware;
    if WITH_ETHERNET.contains(&hardware) {
        return None;
    }
    let what = format!(
        "its packets have no Ethernet header (hardware type {hardware}): the filter cannot read them"
    );
    let below = "attach to the interface its packets come in by, and take this one out of kernel.interfaces";
    Some(Finding::fail("framing", what).change(below))
}

/// Where it stands among others: what hides behind it, what it hides behind.
fn place(facts: &Interface) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(kind(facts));
    if let Some((master, kind)) = &facts.master {
        findings.push(port_of(&facts.link.name, master, kind));
    }
    findings
}

fn kind(facts: &Interface) -> Option<Finding> {
    let kind = facts.link.kind.as_deref()?;
    let lower = facts.lower.as_deref().unwrap_or("its parent");
    let on_lower = |what: &str| {
        Finding::warn(
            "parent",
            format!("{what} on {lower}: only the generic hook, behind the driver"),
        )
        .change(format!("name {lower} in kernel.interfaces; the filter reads VLAN tags itself"))
    };
    match kind {
        "vlan" => Some(on_lower("a VLAN")),
        "macvlan" | "macvtap" | "ipvlan" | "ipvtap" => Some(on_lower("a virtual interface")),
        "bridge" => Some(
            Finding::warn(
                "parent",
                "a bridge: only the generic hook, and only for what it hands up",
            )
            .change("name its ports in kernel.interfaces (`bridge link` lists them)"),
        ),
        "team" => Some(
            Finding::warn("parent", "a team has no native XDP")
                .change("name its ports in kernel.interfaces, or use a bond"),
        ),
        "bond" => Some(Finding::note(
            "parent",
            "a bond: native XDP needs it in the driver of each port, and mode balance-rr, active-backup, balance-xor or 802.3ad",
        )),
        _ => None,
    }
}

fn port_of(name: &str, master: &str, kind: &str) -> Finding {
    let what = format!("a port of the {kind} {master}");
    match kind {
        "bond" => Finding::note("parent", format!("{what}, whose own filter would take its slot"))
            .change(format!("name either {master} or all its ports in kernel.interfaces")),
        "team" => Finding::note("parent", format!("{what}; every port needs the filter"))
            .change(format!("name all ports of {master} in kernel.interfaces")),
        _ => Finding::note(
            "parent",
            format!("{what}: what comes in by other ports is not filtered by {name}'s"),
        ),
    }
}

fn rp_filter(facts: &Interface) -> Finding {
    let name = &facts.link.name;
    match facts.rp_filter {
        Seen::Is(1) => {
            Finding::ok("rp_filter", "strict: forged sources of other networks are dropped")
        }
        Seen::Is(2) => Finding::ok("rp_filter", "loose: sources without any route are dropped"),
        Seen::Is(_) => Finding::new(
            Level::Note,
            "rp_filter",
            "off: nothing checks whether a source may come in here, so forged ones reach the stack",
        )
        .change(format!(
            "sysctl -w net/ipv4/conf/{name}/rp_filter=1, or 2 where routes are asymmetric"
        )),
        Seen::Absent | Seen::Hidden => {
            unseen("rp_filter", "whether sources are checked against routes")
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::guard::kernel::netlink::{self, Slot};

    /// A plain Ethernet card with nothing in the way.
    pub(in crate::doctor::judge) fn card() -> Interface {
        Interface {
            link: netlink::Interface {
                index: 2,
                name: "eth0".to_owned(),
                other_names: Vec::new(),
                hardware: 1,
                up: true,
                mtu: 1500,
                kind: None,
                master: None,
                lower: None,
                rx_queues: 4,
                tx_queues: 8,
                slot: Slot { attached: Attached::Not, program: 0 },
            },
            lower: None,
            master: None,
            driver: Some("ice".to_owned()),
            xdp: Some(1),
            virtio: None,
            lro: None,
            gro_hw: None,
            channels: None,
            program: None,
            before_egress: Vec::new(),
            rp_filter: Seen::Is(1),
            processors: 4,
            page: 4096,
            fragments: false,
        }
    }

    fn worst(facts: &Interface) -> (Level, Finding) {
        let findings = judge("eth0", Some(facts), Attach::Auto);
        for finding in &findings {
            assert!(finding.level < Level::Warn || finding.change.is_some(), "{finding:?}");
        }
        let worst = findings.into_iter().max_by_key(|finding| finding.level).unwrap();
        (worst.level, worst)
    }

    #[test]
    fn a_plain_card_has_nothing_to_change() {
        assert_eq!(worst(&card()).0, Level::Ok);
    }

    #[test]
    fn a_missing_interface_fails() {
        let findings = judge("nowhere0", None, Attach::Auto);
        assert_eq!(findings.first().map(|one| one.level), Some(Level::Fail));
    }

    #[test]
    fn the_slot_tells_ours_from_others() {
        let with = |program: &str| {
            let mut facts = card();
            facts.link.slot = Slot { attached: Attached::Native, program: 42 };
            facts.program = Some(program.to_owned());
            worst(&facts)
        };
        assert_eq!(with(PROGRAM).0, Level::Ok);
        let (level, foreign) = with("xdp_lb");
        assert_eq!(level, Level::Fail);
        assert!(foreign.what.contains("xdp_lb, id 42"), "{}", foreign.what);
        assert!(foreign.change.unwrap().contains("ip link set dev eth0 xdp off"));
        assert_eq!(with("-").0, Level::Note, "a name that may not be seen is not foreign");
    }

    #[test]
    fn what_stands_on_another_is_sent_there() {
        for (kind, named) in
            [("vlan", "eth1"), ("macvlan", "eth1"), ("bridge", "ports"), ("team", "ports")]
        {
            let mut facts = card();
            facts.link.kind = Some(kind.to_owned());
            facts.lower = Some("eth1".to_owned());
            let found = judge("eth0", Some(&facts), Attach::Auto);
            let found = found.into_iter().find(|one| one.about == "parent").unwrap();
            assert_eq!(found.level, Level::Warn, "{kind}");
            assert!(found.change.unwrap().contains(named), "{kind}");
        }
        let port = Interface { master: Some(("bond0".to_owned(), "bond".to_owned())), ..card() };
        let (level, found) = worst(&port);
        assert_eq!(level, Level::Note);
        assert!(found.what.contains("bond0"));
    }

    #[test]
    fn packets_without_ethernet_fail() {
        let mut tunnel = card();
        tunnel.link.hardware = 65_534;
        tunnel.link.kind = Some("wireguard".to_owned());
        assert_eq!(worst(&tunnel).0, Level::Fail);
    }

    #[test]
    fn sources_that_nobody_checks_are_noted() {
        let facts = Interface { rp_filter: Seen::Is(0), ..card() };
        let (level, found) = worst(&facts);
        assert_eq!((level, found.about), (Level::Note, "rp_filter"));
    }
}
