//! Who is logged in to the machine is not locked out of it: by nobody, and for a bounded time
//! afterwards.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use anyhow::{Result, bail, ensure};
use gateway_tests::{
    client::Version,
    gateway::{Gateway, binary},
    lab::{Lab, STUFFER},
    load::stuff,
    skip,
    wait::until,
};
use gateway_userspace::clock;

/// The guard looks every few seconds, and the machine may be slow.
const LOOKED: Duration = Duration::from_mins(1);

/// The shortest `bans.login`.
const LINGER: Duration = Duration::from_secs(15);

/// Nothing listens there; only its ban is asked for.
const OPERATOR: &str = "198.51.100.9";

/// A program that starts the gateway where `/run/utmp` is a file of the lab's: in a mount namespace
/// of its own, so that the machine's logins stay what they are.
fn with_logins(gateway: &Gateway<'_>) -> Result<(PathBuf, PathBuf)> {
    let (utmp, script) = (gateway.folders.root.join("utmp"), gateway.folders.root.join("start"));
    fs::write(&utmp, "")?;
    // Bound before /run is hidden: the file may lie there.
    let mounts = format!(
        "mount -t tmpfs none /mnt && touch /mnt/utmp && mount --bind {} /mnt/utmp && \
         mount --rbind /mnt /run",
        utmp.display()
    );
    let inner = format!("{mounts} && exec {} \"$@\"", binary()?.display());
    fs::write(&script, format!("#!/bin/sh\nexec unshare -m sh -c '{inner}' sh \"$@\"\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok((utmp, script))
}

/// As login and sshd write it (utmp(5), x86-64): the session is this very process.
fn record(user: &str, peer: [u8; 4]) -> Vec<u8> {
    const USER_PROCESS: u8 = 7;
    let mut record = Vec::with_capacity(384);
    let field = |record: &mut Vec<u8>, start: usize, value: &[u8]| {
        record.resize(start, 0);
        record.extend_from_slice(value);
    };
    field(&mut record, 0, &[USER_PROCESS]);
    field(&mut record, 4, &std::process::id().to_ne_bytes());
    field(&mut record, 44, user.as_bytes());
    field(&mut record, 348, &peer);
    record.resize(384, 0);
    record
}

fn refused(gateway: &Gateway<'_>, net: &str) -> Result<()> {
    let outcome = gateway.cli(&["block", "add", net])?;
    ensure!(outcome.code == 1 && outcome.stderr.contains("alice"), "{net}: {outcome:?}");
    Ok(())
}

fn stuff_keys(lab: &Lab) -> Result<()> {
    let client = lab.client(STUFFER, Version::Http1)?;
    lab.outside.block_on(|| async { Ok(stuff(&client, "/private/x", 30).await) })?;
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn who_is_logged_in_is_never_banned_and_may_be_when_long_gone() -> Result<()> {
    if skip::without_root("netns::who_is_logged_in_is_never_banned_and_may_be_when_long_gone")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.bans.push_str("\nlogin = \"15s\"");
    let mut gateway = lab.gateway(&settings)?;
    let (utmp, script) = with_logins(&gateway)?;
    gateway.use_binary(script);
    gateway.start()?;
    gateway.must(&["block", "add", OPERATOR])?;
    gateway.must(&["block", "rm", OPERATOR])?;
    stuff_keys(&lab)?;
    until("a ban by strikes", LOOKED, || (!gateway.bans().ok()?.is_empty()).then_some(()))?;

    let IpAddr::V4(stuffer) = STUFFER else { bail!("the stuffer has no IPv4 address") };
    let (alice, bob) = (record("alice", [198, 51, 100, 9]), record("bob", stuffer.octets()));
    fs::write(&utmp, [alice, bob].concat())?;
    until("the logins to be seen", LOOKED, || {
        let shown = gateway.status().ok()?.protected;
        let named = |who| shown.iter().any(|one| one.why.contains(who) && one.left.is_some());
        (named("alice is logged in") && named("bob is logged in")).then_some(())
    })?;
    ensure!(gateway.bans()?.is_empty(), "the ban by strikes stands on somebody logged in");
    stuff_keys(&lab)?;
    ensure!(gateway.bans()?.is_empty(), "strikes banned somebody logged in");
    refused(&gateway, "198.51.100.0/24")?;
    let last_seen = clock::now();
    refused(&gateway, OPERATOR)?;

    fs::write(&utmp, "")?;
    until("the ban of who is gone", LOOKED + LINGER, || {
        gateway.cli(&["block", "add", OPERATOR]).ok().filter(|outcome| outcome.code == 0)
    })?;
    ensure!(last_seen.elapsed() >= LINGER, "banned {:?} after the login", last_seen.elapsed());
    ensure!(gateway.status()?.protected.iter().all(|one| !one.why.contains("alice")));
    Ok(())
}
