//! The filter outlives the daemons, and honest clients outlive the guard.

use anyhow::{Result, ensure};
use gateway_tests::{
    client::{Ask, Version},
    gateway::Gateway,
    lab::{FLOOD_V4, HONEST, HONEST_H2, Lab},
    load::{Load, Pace},
    skip,
    wait::{pause, until},
};
use nix::sys::signal::{Signal, kill};

use super::{SETTLE, SOON, all_served, flood_goes_on, served_on, under_flood};

const PACE: Pace = Pace { connections: 4, per_second: 50, reuse: true };

/// Honest clients on both protocols, with a key.
fn honest(lab: &Lab, gateway: &Gateway<'_>) -> Result<[Load; 2]> {
    let key = gateway.new_key("customers", "honest")?;
    let start = |source, version, path| -> Result<Load> {
        let ask = Ask::get(path).with("x-api-key", &key);
        Ok(Load::start(&lab.outside, lab.client(source, version)?, ask, PACE))
    };
    Ok([start(HONEST, Version::Http1, "/private/x")?, start(HONEST_H2, Version::H2, "/h2/x")?])
}

#[test]
fn killed_guard_leaks_nothing_and_no_client_notices() -> Result<()> {
    under_flood("netns::killed_guard_leaks_nothing_and_no_client_notices", |lab, gateway, flood| {
        let loads = honest(lab, gateway)?;
        served_on(&loads)?;
        let proxy = gateway.proxy_pid()?;

        gateway.kill_guard()?;
        flood_goes_on(flood)?;
        served_on(&loads)?;
        gateway.start()?;
        assert_eq!(gateway.proxy_pid()?, proxy, "the new guard takes the serving proxy over");
        served_on(&loads)?;
        flood_goes_on(flood)?;
        // Adopted for real: it can be watched and replaced.
        ensure!(gateway.status()?.bans.used == 2);
        all_served(loads)?;
        Ok(())
    })
}

#[test]
fn killed_proxy_is_back_at_once_and_leaks_nothing() -> Result<()> {
    under_flood("netns::killed_proxy_is_back_at_once_and_leaks_nothing", |lab, gateway, _flood| {
        let loads = honest(lab, gateway)?;
        served_on(&loads)?;
        let proxy = gateway.proxy_pid()?;
        kill(proxy, Signal::SIGKILL)?;
        let back =
            until("another proxy", SOON, || gateway.proxy_pid().ok().filter(|pid| *pid != proxy))?;
        ensure!(back != proxy);
        served_on(&loads)?;
        assert_eq!(gateway.status()?.proxy.restarts, 1);
        for load in loads {
            // What the dead proxy held in its hands is lost, one request a connection; nothing else.
            let served = load.stop()?;
            ensure!(served.failed <= u64::try_from(PACE.connections)?, "{served:?}");
        }
        Ok(())
    })
}

#[test]
fn killed_guard_and_proxy_leave_the_filter_and_come_back() -> Result<()> {
    under_flood(
        "netns::killed_guard_and_proxy_leave_the_filter_and_come_back",
        |lab, gateway, flood| {
            let proxy = gateway.proxy_pid()?;
            gateway.kill_guard()?;
            kill(proxy, Signal::SIGKILL)?;
            flood_goes_on(flood)?;
            gateway.start()?;
            flood_goes_on(flood)?;
            assert_eq!(gateway.bans()?.len(), 2);
            served_on(&honest(lab, gateway)?)?;
            Ok(())
        },
    )
}

#[test]
fn restart_keeps_bans_and_filter() -> Result<()> {
    under_flood("netns::restart_keeps_bans_and_filter", |lab, gateway, flood| {
        for _ in 0..2 {
            ensure!(gateway.stop()?.success());
            ensure!(lab.inside.processes().is_empty(), "a proxy outlived an orderly stop");
            flood_goes_on(flood)?;
            gateway.start()?;
            flood_goes_on(flood)?;
        }
        assert_eq!(gateway.bans()?.len(), 2);
        Ok(())
    })
}

#[test]
fn bans_survive_a_reboot() -> Result<()> {
    if skip::without_root("netns::bans_survive_a_reboot")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    gateway.must(&["block", "add", FLOOD_V4, "--ttl", "1h"])?;
    gateway.must(&["block", "add", "2001:db8:bad::/48"])?;
    gateway.must(&["allow", "add", "192.0.2.9"])?;
    ensure!(gateway.stop()?.success());
    // A reboot forgets what the kernel held and nothing else.
    gateway_tests::netns::remove(&gateway.folders.pins)?;
    gateway.start()?;
    let bans = gateway.bans()?;
    assert_eq!(bans.len(), 2);
    let left = bans.iter().filter_map(|ban| ban.left).max();
    ensure!(left.is_some_and(|left| (3000..=3600).contains(&left)), "{bans:?}");
    lab.send_each_framing(super::BANNED)?;
    pause(SETTLE);
    assert_eq!(lab.receiver.frames(super::BANNED), 0);
    Ok(())
}
