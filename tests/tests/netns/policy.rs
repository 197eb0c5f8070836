//! Nobody is locked out by a change of the policy: it is tried, and the kernel goes back by itself.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gateway_tests::{
    gateway::Gateway,
    lab::{GATEWAY, Lab},
    settings::Settings,
    skip,
    wait::until,
};
use nix::sys::signal::{Signal, kill};

use super::SOON;

/// Where the operator comes in: not one of the gateway's listeners.
const MANAGEMENT: u16 = 2222;

/// Long enough for a busy machine to get the next command in.
const TRIAL: &str = "25s";

/// An attempt to connect that takes longer was dropped.
const PATIENCE: Duration = Duration::from_secs(2);

/// A management service that greets nobody but accepts everybody, until the process ends.
fn serve_management(lab: &Lab) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, MANAGEMENT));
    let listener = lab.inside.run(|| TcpListener::bind(address).context("listening"))?;
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
    Ok(())
}

fn gets_in(lab: &Lab) -> Result<bool> {
    let address = SocketAddr::from((GATEWAY, MANAGEMENT));
    lab.outside.run(|| Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok()))
}

fn with(settings: &Settings, line: &str) -> Settings {
    let mut changed = settings.clone();
    changed.kernel.extend(["\n", line]);
    changed
}

/// Writes a configuration beside the configured one.
fn beside(gateway: &Gateway<'_>, settings: &Settings) -> Result<String> {
    let path = gateway.folders.root.join("other.toml");
    fs::write(&path, settings.text(&gateway.folders))?;
    Ok(path.display().to_string())
}

/// Every order of the operator leaves a line, whatever became of it.
fn is_audited(gateway: &Gateway<'_>, action: &str) -> Result<()> {
    let log = gateway.folders.log();
    let wanted = format!("action=\"{action}\"");
    let told = log.lines().any(|line| line.contains("audit") && line.contains(&wanted));
    ensure!(told, "no line about {action} in the audit:\n{log}");
    Ok(())
}

#[test]
fn a_policy_that_locks_the_operator_out_ends_by_itself_while_every_daemon_is_dead() -> Result<()> {
    let name =
        "netns::a_policy_that_locks_the_operator_out_ends_by_itself_while_every_daemon_is_dead";
    if skip::without_root(name)? {
        return Ok(());
    }
    let lab = Lab::build()?;
    serve_management(&lab)?;
    let settings = lab.settings();
    let closed = with(&settings, "policy = \"closed\"");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    ensure!(gets_in(&lab)?, "an open policy lets the operator in");
    let file = beside(&gateway, &closed)?;

    gateway.must(&["policy", "apply", &file, "--confirm", TRIAL])?;
    let trial = gateway.status()?.policy.trial;
    ensure!(trial.is_some_and(|trial| trial.origin == file && trial.seconds_left <= 25));
    ensure!(!gets_in(&lab)?, "the drill locks nobody out");
    let proxy = gateway.proxy_pid()?;
    gateway.kill_guard()?;
    kill(proxy, Signal::SIGKILL)?;
    until("the operator to get in again", Duration::from_mins(2), || {
        gets_in(&lab).is_ok_and(|in_again| in_again).then_some(())
    })?;

    // The next guard goes by what was confirmed, also if the file says by now what failed.
    gateway.configure(&closed)?;
    gateway.start()?;
    ensure!(gets_in(&lab)?);
    let status = gateway.status()?;
    ensure!(status.policy.trial.is_none() && status.policy.differs, "{:?}", status.policy);
    let told = status.warnings.iter().any(|warning| warning.contains("tried and not confirmed"));
    ensure!(told, "{:?}", status.warnings);
    let late = gateway.cli(&["policy", "confirm"])?;
    ensure!(late.code == 1 && late.stderr.contains("no policy is on trial"), "{late:?}");
    Ok(())
}

#[test]
fn a_policy_is_tried_confirmed_and_rolled_back_by_its_operator() -> Result<()> {
    if skip::without_root("netns::a_policy_is_tried_confirmed_and_rolled_back_by_its_operator")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    serve_management(&lab)?;
    let settings = lab.settings();
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let file = beside(&gateway, &with(&settings, "policy = \"closed\""))?;

    gateway.must(&["policy", "apply", &file])?;
    ensure!(!gets_in(&lab)?);
    gateway.must(&["policy", "rollback"])?;
    ensure!(gets_in(&lab)?, "at once");

    // What the operator has in `protect` already stays so while another policy is tried.
    let open = "policy = \"closed\"\nservices = [\"tcp/2222\"]\nprotect = [\"10.77.0.3/32\"]";
    let file = beside(&gateway, &with(&settings, open))?;
    gateway.must(&["policy", "apply", &file])?;
    ensure!(gets_in(&lab)?);
    let said = gateway.must(&["policy", "confirm"])?;
    ensure!(said.contains("has another [kernel]"), "{said}");
    ensure!(gateway.cli(&["block", "add", "10.77.0.3"])?.code == 1, "protected by now");
    ensure!(gateway.must(&["policy", "show"])?.contains("tcp/2222"));

    // Confirmed is confirmed, also for the next guard.
    gateway.kill_guard()?;
    gateway.start()?;
    ensure!(gateway.status()?.policy.origin == file);
    ensure!(gets_in(&lab)?);
    gateway.must(&["panic", "pass"])?;
    gateway.must(&["panic", "restore"])?;
    gateway.must(&["shadow", "on", "limits"])?;
    for action in ["apply", "rollback", "confirm", "panic", "shadow"] {
        is_audited(&gateway, action)?;
    }
    Ok(())
}

#[test]
fn a_changed_file_is_on_trial_after_a_reload_and_after_a_restart() -> Result<()> {
    if skip::without_root("netns::a_changed_file_is_on_trial_after_a_reload_and_after_a_restart")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    serve_management(&lab)?;
    let settings = lab.settings();
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    gateway.configure(&with(&settings, "policy = \"closed\""))?;
    let pid = gateway.guard_pid().context("no guard")?;
    kill(pid, Signal::SIGHUP)?;
    until("the trial", SOON, || gateway.status().ok()?.policy.trial)?;
    ensure!(!gets_in(&lab)?);
    gateway.must(&["policy", "rollback"])?;
    ensure!(gateway.must(&["reload"])?.contains("on trial"));
    gateway.must(&["policy", "rollback"])?;

    ensure!(gateway.stop()?.success());
    gateway.configure(&with(&settings, "syns = \"off\""))?;
    gateway.start()?;
    ensure!(gateway.status()?.policy.trial.is_some());
    gateway.must(&["policy", "confirm"])?;
    ensure!(gateway.stop()?.success());
    gateway.start()?;
    ensure!(gateway.status()?.policy.trial.is_none());
    let more = with(&settings, "trusted_proxies = [\"10.77.9.0/24\"]");
    let file = beside(&gateway, &more)?;
    let refused = gateway.cli(&["policy", "apply", &file])?;
    ensure!(refused.code == 1 && refused.stderr.contains("trusted_proxies"), "{refused:?}");
    ensure!(refused.stderr.contains("restart"), "{refused:?}");
    Ok(())
}

/// Who takes the default gateway's packets away takes the machine off the network.
#[test]
fn the_default_gateway_is_never_banned_and_shown() -> Result<()> {
    if skip::without_root("netns::the_default_gateway_is_never_banned_and_shown")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    gateway.must(&["block", "add", "10.77.0.9"])?;
    gateway.must(&["block", "rm", "10.77.0.9"])?;
    lab.inside.ip(&["route", "add", "default", "via", "10.77.0.9"])?;
    for net in ["10.77.0.9", "10.77.0.0/16"] {
        let refused = gateway.cli(&["block", "add", net])?;
        ensure!(refused.code == 1, "{refused:?}");
    }
    let refused = gateway.cli(&["block", "add", "10.77.0.9"])?;
    ensure!(refused.stderr.contains("default gateway"), "{refused:?}");
    let shown = gateway.status()?.protected;
    ensure!(shown.iter().any(|one| one.net.to_string() == "10.77.0.9/32"), "{shown:?}");
    Ok(())
}

#[test]
fn shadow_mode_is_ordered_live_and_outlives_the_guard() -> Result<()> {
    if skip::without_root("netns::shadow_mode_is_ordered_live_and_outlives_the_guard")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    serve_management(&lab)?;
    let mut gateway = lab.gateway(&with(&lab.settings(), "policy = \"closed\""))?;
    gateway.start()?;
    ensure!(!gets_in(&lab)?);
    gateway.must(&["shadow", "on", "policy"])?;
    ensure!(gets_in(&lab)?);
    let counters = gateway.status()?.kernel.counters;
    let closed = counters.iter().find(|counter| counter.reason == "port_closed");
    ensure!(closed.is_some_and(|closed| closed.shadow_packets > 0), "{counters:?}");
    gateway.kill_guard()?;
    gateway.start()?;
    ensure!(gateway.status()?.kernel.shadow == ["policy"]);
    ensure!(gets_in(&lab)?);
    gateway.must(&["shadow", "reset"])?;
    ensure!(!gets_in(&lab)?);
    Ok(())
}
