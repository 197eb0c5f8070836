//! The packet limit on a real wire: what one source gets, and that a neighbour pays nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use gateway_tests::{
    inject::{Bound, Flood},
    lab::Lab,
    packet::{FRAMINGS, Mark, frame},
    skip,
    wait::{pause, until},
};
use gateway_userspace::clock;

use super::{INNOCENT, SETTLE, SOON};

/// Packets a second and at once.
const RATE: u64 = 1000;
const BURST: u64 = 500;
const KERNEL: &str = "attach = \"native\"\n\
     capacity = { hosts = 1000, prefixes = 100, allow = 100, limits = 4096 }\n\
     packets = { rate = \"1000/s\", burst = 500 }";

#[test]
fn a_source_over_its_limit_gets_no_more_than_its_limit() -> Result<()> {
    if skip::without_root("netns::a_source_over_its_limit_gets_no_more_than_its_limit")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.kernel = KERNEL.to_owned();
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let (wire, framing) = (lab.wire(), &FRAMINGS[0]);
    // Tenths of the limit; each from a source, and under a flow, of its own.
    for (index, tenths) in [15_u64, 20, 40, 200].into_iter().enumerate() {
        let flow = 100 + u16::try_from(index)?;
        let source = [198, 51, 100, 10 + u8::try_from(index)?].into();
        let per_second = RATE * tenths / 10;
        let bound = Bound { frames: per_second * 2, per_second };
        let start = clock::now();
        let flood = Flood::start(lab.injector()?, bound, move |sequence| {
            frame(&wire, framing, source, Mark { flow, framing: 0, sequence })
        });
        until("the flood", Duration::from_secs(30), || {
            (flood.sent() == bound.frames).then_some(())
        })?;
        let elapsed = u64::try_from(start.elapsed().as_millis())?;
        pause(SETTLE);
        let (got, granted) = (lab.receiver.frames(flow), BURST + RATE * elapsed / 1000);
        ensure!(
            got * 100 <= granted * 105,
            "at {tenths}/10 of its limit a source got {got} of {granted} granted"
        );
        let owed = granted.min(bound.frames);
        ensure!(got * 100 >= owed * 90, "at {tenths}/10: {got} came of {owed} owed");
    }
    ensure!(gateway.packets("packet_limit")? > 0);
    Ok(())
}

#[test]
fn an_innocent_source_beside_a_flood_of_random_ones_loses_nothing() -> Result<()> {
    if skip::without_root("netns::an_innocent_source_beside_a_flood_of_random_ones_loses_nothing")?
    {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.kernel = KERNEL.to_owned();
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let (wire, framing) = (lab.wire(), &FRAMINGS[0]);
    let random = Bound { frames: 120_000, per_second: 40_000 };
    let flood = Flood::start(lab.injector()?, random, move |sequence| {
        // A Weyl sequence visits addresses in no order, none of them twice in a flood.
        let spread = sequence.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
        let [_, b, c, d] = u32::try_from(spread).unwrap_or(0).to_be_bytes();
        frame(&wire, framing, [100, b, c, d].into(), Mark { flow: 9, framing: 0, sequence })
    });
    let calm = Bound { frames: 600, per_second: 200 };
    let innocent = Flood::start(lab.injector()?, calm, move |sequence| {
        let mark = Mark { flow: INNOCENT, framing: 0, sequence };
        frame(&wire, framing, [192, 0, 2, 1].into(), mark)
    });
    until("the innocent", Duration::from_secs(30), || {
        (innocent.sent() == calm.frames).then_some(())
    })?;
    flood.stop()?;
    until("all its packets", SOON, || (lab.receiver.frames(INNOCENT) == calm.frames).then_some(()))
}
