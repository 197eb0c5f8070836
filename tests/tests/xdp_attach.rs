//! The filter on a real interface, without the daemons: pins, takeover, other people's programs.
//! Leaks are counted behind XDP, never by the filter itself.

use std::{ops::Range, path::Path, time::Duration};

use anyhow::{Result, ensure};
use aya::maps::{Array, Map, MapData};
use gateway_common::{
    Class, Reason, cover,
    maps::{self, Settings},
};
use gateway_tests::{
    inject::Bound,
    kernel::kernel,
    lab::{FLOOD_V4, FLOOD_V6, INTERFACE, Lab},
    netns::Namespace,
    pins::Pins,
    skip,
    wait::{pause, until},
};
use gateway_userspace::{
    config::model::{Attach, Capacity, Kernel, Mode},
    guard::kernel::{BanSource, Filter, KernelBan, KernelError, PacketFilter, ShadowOrders},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Time for frames on their way to arrive.
const SETTLE: Duration = Duration::from_millis(200);
const FLOW: u16 = 7;

fn config(pins: &Pins) -> Kernel {
    Kernel {
        interfaces: vec![INTERFACE.to_owned()],
        attach: Attach::Native,
        capacity: Capacity {
            hosts: 1000,
            prefixes: 100,
            dynamic: 1000,
            allow: 16,
            limits: 1024,
            flows: 1024,
        },
        ..kernel(pins.0.clone())
    }
}

fn banned() -> Vec<(IpNet, KernelBan)> {
    let forever = KernelBan { left: None, reason: Reason::Operator, source: BanSource::Cli };
    [FLOOD_V4, FLOOD_V6].iter().filter_map(|net| Some((net.parse().ok()?, forever))).collect()
}

/// A process's whole life up to serving: open, restore the bans, attach.
fn start(lab: &Lab, config: &Kernel) -> Result<Filter> {
    lab.inside.run(|| {
        let mut filter = Filter::open(config)?;
        filter.reconcile(&banned(), &[])?;
        filter.attach()?;
        Ok(filter)
    })
}

fn leaked(lab: &Lab, flow: u16) -> Result<u64> {
    lab.send_each_framing(flow)?;
    pause(SETTLE);
    Ok(lab.receiver.frames(flow))
}

#[test]
fn a_native_filter_drops_every_framing_and_outlives_its_process() -> Result<()> {
    if skip::without_root("a_native_filter_drops_every_framing_and_outlives_its_process")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    ensure!(leaked(&lab, 1)? > 0, "without a filter frames arrive");
    let filter = start(&lab, &config(&pins))?;
    let status = lab.inside.run(|| Ok(filter.status()))?;
    let interface = status.interfaces.first().map(|found| found.attached.clone());
    ensure!(interface.as_deref() == Some("native"), "{interface:?}");
    ensure!(leaked(&lab, 2)? == 0);
    drop(filter);
    ensure!(leaked(&lab, 3)? == 0, "the pins hold it");
    Ok(())
}

#[test]
fn takeovers_leave_no_gap_whatever_changed() -> Result<()> {
    if skip::without_root("takeovers_leave_no_gap_whatever_changed")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut config = config(&pins);
    let mut filter = start(&lab, &config)?;
    let flood = lab.flood(FLOW, Bound { frames: 400_000, per_second: 40_000 })?;
    for round in 0..8 {
        // Even rounds change the capacity, and so the folder; odd ones reuse the maps.
        config.capacity.hosts += 100 * (1 - round % 2);
        drop(filter);
        filter = start(&lab, &config)?;
        ensure!(pins.folders().len() == 1, "{:?}", pins.folders());
    }
    let sent = flood.stop()?;
    pause(SETTLE);
    let through = lab.receiver.arrived(FLOW);
    ensure!(sent > 10_000, "only {sent} frames were sent");
    ensure!(through.frames == 0, "{} of {sent} leaked: {:?}", through.frames, through.marks);
    Ok(())
}

#[test]
fn a_reused_filter_remembers_bans_hits_and_orders() -> Result<()> {
    if skip::without_root("a_reused_filter_remembers_bans_hits_and_orders")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut config = config(&pins);
    let mut filter = start(&lab, &config)?;
    lab.send_each_framing(FLOW)?;
    pause(SETTLE);
    let net: IpNet = FLOOD_V4.parse()?;
    let hits = filter.ban_hits(net)?;
    ensure!(hits > 0);
    filter.set_panic(true)?;
    let orders = ShadowOrders { shadow: Class::Policy.bits(), enforce: Class::Bans.bits() };
    filter.order_shadow(orders)?;
    drop(filter);
    let filter = start(&lab, &config)?;
    ensure!(filter.ban_hits(net)? == hits);
    ensure!(filter.status().mode == "panic pass" && filter.shadow_orders() == orders);
    ensure!(leaked(&lab, 8)? > 0, "panic passes");
    drop(filter);
    config.capacity.prefixes += 1;
    let mut filter = start(&lab, &config)?;
    ensure!(filter.status().mode == "panic pass", "also in new maps");
    ensure!(filter.shadow_orders() == orders, "also in new maps");
    filter.set_panic(false)?;
    ensure!(filter.remove_ban(net)?, "bits are counted as before");
    let v4_only = 8;
    ensure!(leaked(&lab, 9)? == v4_only);
    Ok(())
}

/// A guard that dies leaves its trial to the kernel; the next one knows what was confirmed.
#[test]
fn the_next_guard_ends_a_trial() -> Result<()> {
    if skip::without_root("the_next_guard_ends_a_trial")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = config(&pins);
    let shadow = Kernel { mode: Mode::Shadow, ..config.clone() };
    let mut filter = start(&lab, &config)?;
    filter.try_policy(&shadow, Duration::from_mins(10))?;
    ensure!(leaked(&lab, 1)? > 0, "in shadow mode");
    drop(filter);
    ensure!(leaked(&lab, 2)? > 0, "the trial goes on without a guard");
    let filter = start(&lab, &config)?;
    ensure!(filter.trial_left()?.is_none());
    ensure!(leaked(&lab, 3)? == 0);
    Ok(())
}

#[test]
fn a_taken_slot_is_left_to_its_owner() -> Result<()> {
    if skip::without_root("a_taken_slot_is_left_to_its_owner")? {
        return Ok(());
    }
    let (lab, owner, other) = (Lab::build()?, Pins::new(), Pins::new());
    let filter = start(&lab, &config(&owner))?;
    let id = lab.inside.run(|| Ok(filter.status()))?.interfaces.first().map(|i| i.program_id);
    for attach in [Attach::Native, Attach::Generic, Attach::Auto] {
        let second = Kernel { attach, ..config(&other) };
        let refused = start(&lab, &second).err();
        let refused = refused.and_then(|error| error.downcast::<KernelError>().ok());
        ensure!(
            matches!(&refused, Some(KernelError::Taken { id: taken, program, .. })
                if Some(*taken) == id && program == "gateway"),
            "{refused:?}"
        );
    }
    ensure!(leaked(&lab, FLOW)? == 0, "the owner still filters");
    Ok(())
}

#[test]
fn half_written_folders_are_rebuilt_and_lost_maps_replaced() -> Result<()> {
    if skip::without_root("half_written_folders_are_rebuilt_and_lost_maps_replaced")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = config(&pins);
    let opened = lab.inside.run(|| Ok(Filter::open(&config)?))?;
    drop(opened);
    ensure!(pins.folders().len() == 1, "opened, never attached");
    drop(start(&lab, &config)?);
    ensure!(leaked(&lab, 1)? == 0);
    let folder = pins.folders().pop().unwrap_or_default();
    std::fs::remove_file(folder.join("BAN6_TAIL"))?;
    drop(start(&lab, &config)?);
    ensure!(leaked(&lab, 2)? == 0);
    ensure!(pins.folders().len() == 1, "the damaged folder is gone: {:?}", pins.folders());
    Ok(())
}

/// Writes `word` over all of some values of a pinned array; over none that it has not.
fn overwrite<const N: usize>(pins: &Pins, map: &str, word: u64, at: Range<u32>) -> Result<()> {
    let folder = pins.folders().pop().unwrap_or_default();
    let data = MapData::from_pin(folder.join(map))?;
    let mut array: Array<_, [u64; N]> = Array::try_from(Map::Array(data))?;
    for index in at.start..at.end.min(array.len()) {
        array.set(index, [word; N], 0)?;
    }
    Ok(())
}

/// Damages what the flood's packets are judged by. Of the arrays of bans that is what stands for
/// its sources: the rest are millions of calls, which an emulated processor takes minutes for.
fn damage(pins: &Pins, word: u64) -> Result<()> {
    let around = |index: u32| index.saturating_sub(1)..index + 2;
    let v4: Ipv4Net = FLOOD_V4.parse()?;
    let v6 = FLOOD_V6.parse::<Ipv6Net>()?.network().octets();
    let (group, _) = cover::summary4(cover::bucket4(v4.network().octets()));
    overwrite::<{ size_of::<cover::Group4>() / 8 }>(pins, maps::BAN4_SUMMARY, word, around(group))?;
    let (sites, _) = cover::fine_summary6(cover::fine6(v6));
    overwrite::<1>(pins, maps::BAN6_SUMMARY, word, around(sites))?;
    overwrite::<1>(pins, maps::BAN6_FINE, word, around(cover::fine6(v6) >> 1))?;
    overwrite::<1>(pins, maps::BAN6_COARSE, word, around(cover::coarse6(v6) >> 1))?;
    overwrite::<{ size_of::<Settings>() / 8 }>(pins, maps::SETTINGS, word, 0..u32::MAX)?;
    overwrite::<1>(pins, maps::SKETCH, word, 0..u32::MAX)?;
    overwrite::<1>(pins, maps::CELLS, word, 0..u32::MAX)
}

#[test]
fn damaged_maps_are_put_right_at_the_next_start() -> Result<()> {
    if skip::without_root("damaged_maps_are_put_right_at_the_next_start")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = config(&pins);
    for (round, word) in [(0, 0), (10, u64::MAX - 1), (20, 0x0202_0202_0202_0200)] {
        drop(start(&lab, &config)?);
        damage(&pins, word)?;
        let mut filter = start(&lab, &config)?;
        // Bits of a damaged word may read as the operator's order, which no restart ends.
        filter.set_panic(false)?;
        ensure!(leaked(&lab, round + 1)? == 0, "{word:x}");
        filter.put_allow(FLOOD_V4.parse()?)?;
        filter.put_allow(FLOOD_V6.parse()?)?;
        // The first packet puts the word right, those of the next tick are within the limit.
        leaked(&lab, round + 2)?;
        ensure!(leaked(&lab, round + 3)? > 0, "allowed, whatever the word of their limit held");
        filter.remove_allow(FLOOD_V4.parse()?)?;
        filter.remove_allow(FLOOD_V6.parse()?)?;
    }
    Ok(())
}

#[test]
fn an_interface_that_comes_back_is_filtered_again() -> Result<()> {
    if skip::without_root("an_interface_that_comes_back_is_filtered_again")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = Kernel { attach: Attach::Auto, ..config(&pins) };
    drop(start(&lab, &config)?);
    lab.inside.ip(&["link", "delete", INTERFACE])?;
    lab.inside.ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", "other0"])?;
    let filter = start(&lab, &config)?;
    let attached = until("the filter", Duration::from_secs(5), || {
        let status = lab.inside.run(|| Ok(filter.status())).ok()?;
        status.interfaces.first().map(|found| found.attached.clone())
    })?;
    ensure!(attached == "native", "{attached}");
    Ok(())
}

#[test]
fn an_interface_that_comes_back_is_filtered_again_by_a_running_guard() -> Result<()> {
    if skip::without_root("an_interface_that_comes_back_is_filtered_again_by_a_running_guard")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = Kernel { attach: Attach::Auto, ..config(&pins) };
    let mut filter = start(&lab, &config)?;
    lab.inside.ip(&["link", "delete", INTERFACE])?;
    lab.inside.run(|| Ok(filter.tend()?))?;
    lab.inside.ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", "other0"])?;
    for _ in 0..2 {
        lab.inside.run(|| Ok(filter.tend()?))?;
        let status = lab.inside.run(|| Ok(filter.status()))?;
        let attached = status.interfaces.first().map(|found| found.attached.clone());
        ensure!(attached.as_deref() == Some("native"), "{attached:?}");
    }
    Ok(())
}

#[test]
fn a_second_gateway_takes_nothing_away_from_the_first() -> Result<()> {
    if skip::without_root("a_second_gateway_takes_nothing_away_from_the_first")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = config(&pins);
    let first = start(&lab, &config)?;
    let other = Kernel { interfaces: vec!["lo".to_owned()], attach: Attach::Generic, ..config };
    let refused = start(&lab, &other).err();
    let refused = refused.and_then(|error| error.downcast::<KernelError>().ok());
    ensure!(matches!(refused, Some(KernelError::PinsInUse { .. })), "{refused:?}");
    ensure!(leaked(&lab, FLOW)? == 0, "the first still filters");
    drop(first);
    Ok(())
}

#[test]
fn a_link_of_another_namespace_is_not_taken_for_ours() -> Result<()> {
    if skip::without_root("a_link_of_another_namespace_is_not_taken_for_ours")? {
        return Ok(());
    }
    let (lab, elsewhere, pins) = (Lab::build()?, Lab::build()?, Pins::new());
    let config = config(&pins);
    drop(start(&lab, &config)?);
    let refused = start(&elsewhere, &config).err();
    let refused = refused.and_then(|error| error.downcast::<KernelError>().ok());
    ensure!(matches!(refused, Some(KernelError::ForeignPin { .. })), "{refused:?}");
    ensure!(leaked(&lab, FLOW)? == 0, "the first still filters");
    Ok(())
}

#[test]
fn nothing_is_taken_from_a_filter_in_another_namespace() -> Result<()> {
    if skip::without_root("nothing_is_taken_from_a_filter_in_another_namespace")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let config = config(&pins);
    drop(start(&lab, &config)?);
    // The same name under another index, and under one that is there in neither.
    for before in [0, 20] {
        let elsewhere = Namespace::create("elsewhere")?;
        let index = (100 + before).to_string();
        let add = ["link", "add", INTERFACE, "index", &index, "type", "veth"];
        elsewhere.ip(&[&add[..], &["peer", "name", "other0"]].concat())?;
        let mut other = config.clone();
        other.capacity.hosts += before;
        let refused = elsewhere.run(|| Ok(Filter::open(&other).err()))?;
        ensure!(
            matches!(&refused, Some(KernelError::ForeignPin { why, .. }) if why.contains("another network namespace")),
            "{refused:?}"
        );
    }
    ensure!(leaked(&lab, FLOW)? == 0, "the first still filters, by its own bans");
    drop(start(&lab, &config)?);
    ensure!(leaked(&lab, FLOW)? == 0, "and is taken over");
    Ok(())
}

/// What a process leaves that is killed between making a link and giving its pin the lasting name:
/// the link under its first name, and an interface's dead one under the lasting, or none.
#[test]
fn a_link_of_a_killed_start_is_found_and_gets_its_name() -> Result<()> {
    if skip::without_root("a_link_of_a_killed_start_is_found_and_gets_its_name")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut config = config(&pins);
    drop(start(&lab, &config)?);
    let flood = lab.flood(FLOW, Bound { frames: 400_000, per_second: 40_000 })?;
    for round in 0..6 {
        let folder = pins.folders().pop().unwrap_or_default();
        let (lasting, first) = (folder.join("link-edge0"), folder.join("LINK_NEXT"));
        std::fs::rename(&lasting, &first)?;
        if round % 2 == 1 {
            pin_of_a_gone_interface(&lab, &lasting)?;
        }
        config.capacity.hosts += 100 * (round % 3);
        drop(start(&lab, &config)?);
        let folder = pins.folders().pop().unwrap_or_default();
        ensure!(folder.join("link-edge0").exists() && !folder.join("LINK_NEXT").exists());
        ensure!(pins.folders().len() == 1, "{:?}", pins.folders());
    }
    let sent = flood.stop()?;
    pause(SETTLE);
    let through = lab.receiver.frames(FLOW);
    ensure!(sent > 1000 && through == 0, "{through} of {sent} leaked");
    Ok(())
}

/// Moves the pin of a filter whose interface is deleted to `path`.
fn pin_of_a_gone_interface(lab: &Lab, path: &Path) -> Result<()> {
    let pins = Pins::new();
    let gone = Kernel { interfaces: vec!["gone0".to_owned()], ..config(&pins) };
    lab.inside.ip(&["link", "add", "gone0", "type", "veth", "peer", "name", "gone1"])?;
    drop(start(lab, &gone)?);
    lab.inside.ip(&["link", "delete", "gone0"])?;
    let folder = pins.folders().pop().unwrap_or_default();
    Ok(std::fs::rename(folder.join("link-gone0"), path)?)
}

#[test]
fn an_interface_with_a_dot_in_its_name_is_filtered_and_taken_over() -> Result<()> {
    if skip::without_root("an_interface_with_a_dot_in_its_name_is_filtered_and_taken_over")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    lab.inside.ip(&["link", "add", "edge0.100", "type", "veth", "peer", "name", "other0"])?;
    let config = Kernel { interfaces: vec!["edge0.100".to_owned()], ..config(&pins) };
    for _ in 0..2 {
        let filter = start(&lab, &config)?;
        let status = lab.inside.run(|| Ok(filter.status()))?;
        let attached = status.interfaces.first().map(|found| found.attached.clone());
        ensure!(attached.as_deref() == Some("native"), "{attached:?}");
    }
    Ok(())
}

#[test]
fn an_interface_taken_out_of_the_configuration_is_released() -> Result<()> {
    if skip::without_root("an_interface_taken_out_of_the_configuration_is_released")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let mut config = config(&pins);
    drop(start(&lab, &config)?);
    config.interfaces = vec!["lo".to_owned()];
    config.attach = Attach::Generic;
    drop(start(&lab, &config)?);
    ensure!(leaked(&lab, FLOW)? > 0);
    Ok(())
}

#[test]
fn generic_mode_filters_too_and_says_so() -> Result<()> {
    if skip::without_root("generic_mode_filters_too_and_says_so")? {
        return Ok(());
    }
    let (lab, pins) = (Lab::build()?, Pins::new());
    let filter = start(&lab, &Kernel { attach: Attach::Generic, ..config(&pins) })?;
    let status = lab.inside.run(|| Ok(filter.status()))?;
    let attached = status.interfaces.first().map(|found| found.attached.as_str());
    ensure!(attached == Some("generic"), "{attached:?}");
    ensure!(leaked(&lab, FLOW)? == 0);
    Ok(())
}
