//! The operator is never locked out: protected addresses refuse bans, and say why.

use anyhow::{Result, ensure};
use gateway_tests::{
    client::{Ask, Version},
    lab::{HONEST, Lab, STUFFER},
    load::stuff,
    skip,
};

#[test]
fn protected_addresses_refuse_bans_and_say_why() -> Result<()> {
    if skip::without_root("netns::protected_addresses_refuse_bans_and_say_why")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings
        .kernel
        .push_str("\nprotect = [\"10.77.0.2/32\"]\ntrusted_proxies = [\"10.77.9.0/24\"]");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    // Management, a proxy in front, our own address, loopback, and prefixes that cover them.
    for net in ["10.77.0.2", "10.77.9.4", "10.77.0.1", "127.0.0.1", "10.77.0.0/16", "fd77::1"] {
        let outcome = gateway.cli(&["block", "add", net])?;
        ensure!(outcome.code == 1, "{net}: {outcome:?}");
        ensure!(
            outcome.stderr.contains("protect") || outcome.stderr.contains("own"),
            "{outcome:?}"
        );
    }
    ensure!(gateway.bans()?.is_empty());
    let client = lab.client(HONEST, Version::Http1)?;
    let answer = lab.outside.block_on(|| async { client.once(&Ask::get("/echo")).await })?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[test]
fn shared_addresses_are_refused_in_userspace_and_never_banned() -> Result<()> {
    if skip::without_root("netns::shared_addresses_are_refused_in_userspace_and_never_banned")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.kernel.push_str("\nshared = [\"10.77.6.0/24\"]");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let client = lab.client(STUFFER, Version::Http1)?;
    let stuffing = lab.outside.block_on(|| async { Ok(stuff(&client, "/private/x", 30).await) })?;
    ensure!(stuffing.statuses.get(&401) == Some(&30), "{stuffing:?}");
    ensure!(gateway.bans()?.is_empty());
    Ok(())
}

#[test]
fn allowed_source_passes_a_ban_on_its_prefix() -> Result<()> {
    if skip::without_root("netns::allowed_source_passes_a_ban_on_its_prefix")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    gateway.must(&["block", "add", "10.77.6.0/24"])?;
    gateway.must(&["allow", "add", &STUFFER.to_string()])?;
    let client = lab.client(STUFFER, Version::Http1)?;
    let answer = lab.outside.block_on(|| async { client.once(&Ask::get("/echo")).await })?;
    assert_eq!(answer.status, 200);
    gateway.must(&["allow", "rm", &STUFFER.to_string()])?;
    ensure!(gateway.packets("allowed")? > 0);
    Ok(())
}
