//! Interfaces that go and come back while they are guarded.

use std::time::Duration;

use anyhow::{Result, ensure};
use gateway_tests::{
    gateway::Gateway,
    lab::{FLOOD_V4, FLOOD_V6, INTERFACE, Lab, PEER},
    netns::command,
    packet::{FRAMINGS, Mark, frame},
    receiver::Receiver,
    skip,
    wait::{pause, until},
};

use super::{AFTER, BANNED, SETTLE, SOON};

/// Well below the ten seconds between two looks at all interfaces, and far above what the kernel's
/// word takes to become a filter.
const AT_ONCE: Duration = Duration::from_secs(4);
/// Looks alone would meet that patience in all of them once in some hundred runs.
const ROUNDS: usize = 6;

/// Deletes the link and makes it anew, down, with the hardware addresses it had.
fn make_anew(lab: &Lab) -> Result<()> {
    lab.inside.ip(&["link", "delete", INTERFACE])?;
    let text = |address: [u8; 6]| address.map(|byte| format!("{byte:02x}")).join(":");
    let (near, far) = (text(lab.pair.near), text(lab.pair.far));
    let (inside, outside) = (lab.inside.name(), lab.outside.name());
    let mut add = vec!["link", "add", INTERFACE, "netns", inside, "address", &near];
    add.extend(["type", "veth", "peer", "name", PEER, "netns", outside, "address", &far]);
    command("ip", &add).map(drop)
}

fn bring_up(lab: &Lab) -> Result<()> {
    lab.inside.ip(&["link", "set", INTERFACE, "up"])?;
    lab.outside.ip(&["link", "set", PEER, "up"]).map(drop)
}

fn is_filtered(gateway: &Gateway<'_>) -> bool {
    gateway.status().is_ok_and(|status| {
        status.kernel.interfaces.first().is_some_and(|found| found.attached == "native")
    })
}

#[test]
fn an_interface_made_anew_is_filtered_at_once() -> Result<()> {
    if skip::without_root("netns::an_interface_made_anew_is_filtered_at_once")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    gateway.must(&["block", "add", FLOOD_V4])?;
    gateway.must(&["block", "add", FLOOD_V6])?;
    for _ in 0..ROUNDS {
        make_anew(&lab)?;
        until("the filter", AT_ONCE, || is_filtered(&gateway).then_some(()))?;
    }
    let receiver = Receiver::open(&lab.inside, INTERFACE)?;
    bring_up(&lab)?;
    let (injector, wire) = (lab.injector()?, lab.wire());
    until("an innocent frame", SOON, || {
        let mark = Mark { flow: AFTER, framing: 0, sequence: 0 };
        injector.send(&frame(&wire, &FRAMINGS[0], [192, 0, 2, 1].into(), mark)).ok()?;
        (receiver.frames(AFTER) > 0).then_some(())
    })?;
    lab.send_each_framing(BANNED)?;
    pause(SETTLE);
    let leaked = receiver.arrived(BANNED);
    ensure!(leaked.frames == 0, "{:?}", leaked.framings());
    let warnings = gateway.status()?.warnings;
    ensure!(warnings.is_empty(), "{warnings:?}");
    Ok(())
}

/// As a driver is reloaded or a bond made anew: under another name first.
#[test]
fn an_interface_that_gets_a_guarded_name_is_filtered_at_once() -> Result<()> {
    if skip::without_root("netns::an_interface_that_gets_a_guarded_name_is_filtered_at_once")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    for _ in 0..ROUNDS {
        lab.inside.ip(&["link", "delete", INTERFACE])?;
        lab.inside.ip(&["link", "add", "fresh0", "type", "veth", "peer", "name", "other0"])?;
        lab.inside.ip(&["link", "set", "fresh0", "name", INTERFACE])?;
        until("the filter", AT_ONCE, || is_filtered(&gateway).then_some(()))?;
    }
    Ok(())
}
