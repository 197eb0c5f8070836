//! Real veth, real attach, the real binary; both ends observed. What leaks is counted behind XDP
//! by a packet socket of the lab, on numbered frames, never by the gateway's own counters.

mod acme;
mod ban;
mod closed;
mod events;
mod limit;
mod lists;
mod login;
mod overload;
mod policy;
mod protect;
mod reload;
mod returning;
mod sandbox;
mod survive;
mod syn;
mod tokens;
mod upgrade;

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    gateway::Gateway,
    inject::{Bound, Flood},
    lab::{FLOOD_V4, FLOOD_V6, Lab},
    load::{Load, Served},
    packet::{FRAMINGS, Mark, frame},
    skip,
    wait::{pause, until},
};

/// Flows: what a mark says about its frame's purpose.
const CONTROL: u16 = 1;
const BANNED: u16 = 2;
const AFTER: u16 = 3;
const INNOCENT: u16 = 4;

/// A flood that outlasts any case, and ends by itself all the same.
const LONG: Bound = Bound { frames: 1_500_000, per_second: 15_000 };

/// What an event in the kernel or a process may take on a loaded machine.
const SOON: Duration = Duration::from_secs(10);

/// A frame on its way is not yet a frame that was dropped.
const SETTLE: Duration = Duration::from_millis(300);

/// Every framing arrives: what is missing later was dropped by a ban, not by the lab.
fn all_framings_arrive(lab: &Lab, flow: u16) -> Result<()> {
    let sent = u64::try_from(lab.send_each_framing(flow)?)?;
    until("every framing", SOON, || (lab.receiver.frames(flow) == sent).then_some(()))
}

/// Bans both flooding prefixes and floods from them.
fn ban_and_flood(lab: &Lab, gateway: &Gateway<'_>) -> Result<Flood> {
    all_framings_arrive(lab, CONTROL)?;
    gateway.must(&["block", "add", FLOOD_V4])?;
    gateway.must(&["block", "add", FLOOD_V6])?;
    let flood = lab.flood(BANNED, LONG)?;
    flood_goes_on(&flood)?;
    Ok(flood)
}

/// A gateway that bans two flooding prefixes, while a case does things to it; not one of their
/// frames may come through meanwhile, and every frame of others must.
fn under_flood(
    name: &str,
    case: impl FnOnce(&Lab, &mut Gateway<'_>, &Flood) -> Result<()>,
) -> Result<()> {
    if skip::without_root(name)? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let flood = ban_and_flood(&lab, &gateway)?;
    let innocent = innocent(&lab)?;
    case(&lab, &mut gateway, &flood)?;
    nothing_lost(&lab, innocent)?;
    nothing_leaked(&lab, flood)
}

/// At least a thousand more frames of the flood were sent.
fn flood_goes_on(flood: &Flood) -> Result<()> {
    let before = flood.sent();
    until("the flood", SOON, || (flood.sent() > before + 1000).then_some(()))
}

/// Numbered frames of two sources that nobody bans: one between the addresses of the long lists, one
/// far from all of them.
fn innocent(lab: &Lab) -> Result<Flood> {
    let wire = lab.wire();
    let plain = FRAMINGS.first().context("no framing")?;
    let calm = Bound { frames: 500_000, per_second: 1000 };
    Ok(Flood::start(lab.injector()?, calm, move |sequence| {
        let source = if sequence % 2 == 1 { [203, 0, 113, 9] } else { [32, 0, 0, 2] };
        let mark = Mark { flow: INNOCENT, framing: 0, sequence };
        frame(&wire, plain, IpAddr::from(source), mark)
    }))
}

/// Ends them; every one must have come through, and once.
fn nothing_lost(lab: &Lab, innocent: Flood) -> Result<()> {
    let sent = innocent.stop()?;
    ensure!(sent > 100, "only {sent} innocent frames were sent");
    until("every innocent frame", SOON, || {
        lab.receiver.arrived(INNOCENT).is_all_of(sent).then_some(())
    })
    .with_context(|| format!("{} of {sent} came", lab.receiver.frames(INNOCENT)))
}

/// Ends the flood; not one of its frames may have come through.
fn nothing_leaked(lab: &Lab, flood: Flood) -> Result<()> {
    let sent = flood.stop()?;
    pause(SETTLE);
    let arrived = lab.receiver.arrived(BANNED);
    ensure!(
        arrived.frames == 0,
        "{} of {sent} banned frames leaked, in framings {:?}, first {:?}",
        arrived.frames,
        arrived.framings(),
        arrived.marks.first()
    );
    Ok(())
}

/// A hundred more answers on each.
fn served_on(loads: &[Load]) -> Result<()> {
    for load in loads {
        let before = load.so_far().served;
        until("honest answers", SOON, || (load.so_far().served > before + 100).then_some(()))
            .with_context(|| format!("{:?}", load.so_far()))?;
    }
    Ok(())
}

fn all_served(loads: impl IntoIterator<Item = Load>) -> Result<()> {
    for load in loads {
        let Served { served, failed, failures } = load.stop()?;
        ensure!(failed == 0, "{failed} of {} requests failed: {failures:?}", served + failed);
    }
    Ok(())
}
