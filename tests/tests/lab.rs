//! The lab itself: what counts leaks must see every frame there is, or zero would mean nothing.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use gateway_tests::{
    inject::Bound, lab::Lab, netns::Namespace, packet::FRAMINGS, skip, wait::until,
};

#[test]
fn receiver_sees_every_framing_where_nothing_filters() -> Result<()> {
    if skip::without_root("lab::receiver_sees_every_framing_where_nothing_filters")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let sent = u64::try_from(lab.send_each_framing(1)?)?;
    until("all frames", Duration::from_secs(5), || (lab.receiver.frames(1) == sent).then_some(()))?;
    let mut names: Vec<_> = FRAMINGS.iter().map(|framing| framing.name).collect();
    names.sort_unstable();
    assert_eq!(lab.receiver.arrived(1).framings(), names);
    Ok(())
}

#[test]
fn receiver_loses_nothing_of_a_flood() -> Result<()> {
    if skip::without_root("lab::receiver_loses_nothing_of_a_flood")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let bound = Bound { frames: 40_000, per_second: 40_000 };
    let flood = lab.flood(2, bound)?;
    until("the flood", Duration::from_secs(20), || (flood.sent() == bound.frames).then_some(()))?;
    let all = || (lab.receiver.frames(2) == bound.frames).then_some(());
    until("every frame of it", Duration::from_secs(5), all)
}

#[test]
fn namespaces_vanish_with_what_runs_in_them() -> Result<()> {
    if skip::without_root("lab::namespaces_vanish_with_what_runs_in_them")? {
        return Ok(());
    }
    let namespace = Namespace::create("gone")?;
    let mut sleeper =
        namespace.run(|| Ok(std::process::Command::new("sleep").arg("60").spawn()?))?;
    assert_eq!(namespace.processes().len(), 1);
    let path = namespace.path();
    drop(namespace);
    assert!(!path.exists());
    until("the process to end", Duration::from_secs(5), || sleeper.try_wait().ok().flatten())?;
    let left =
        fs::read_dir("/run/netns")?.flatten().filter(|entry| entry.path() == Path::new(&path));
    assert_eq!(left.count(), 0);
    Ok(())
}
