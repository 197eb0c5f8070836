//! Another map layout, forth and back, and another capacity, while a banned source floods.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use gateway_common::maps::LAYOUT_VERSION;
use gateway_tests::{
    client::{Ask, Version},
    gateway::{Gateway, binary, binary_with_next_layout},
    lab::{FLOOD_V4, HONEST, HONEST_H2, Lab},
    load::{Load, Pace},
    skip,
    wait::until,
};

use serde_json::Value;

use super::{
    SOON, all_served, ban_and_flood, flood_goes_on, innocent, nothing_leaked, nothing_lost,
    served_on, under_flood,
};

#[test]
fn changed_layout_forth_and_back_leaks_nothing() -> Result<()> {
    if skip::without_root("netns::changed_layout_forth_and_back_leaks_nothing")? {
        return Ok(());
    }
    let Ok(next) = binary_with_next_layout() else {
        return skip::record(
            "netns::changed_layout_forth_and_back_leaks_nothing",
            "gateway-layout-next is not built; `cargo xtask test` builds it",
        );
    };
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let layout = gateway.status()?.kernel.layout;
    let flood = ban_and_flood(&lab, &gateway)?;
    let innocent = innocent(&lab)?;
    for (file, same) in [(next, false), (binary()?, true)] {
        ensure!(gateway.stop()?.success());
        gateway.use_binary(file);
        flood_goes_on(&flood)?;
        gateway.start()?;
        flood_goes_on(&flood)?;
        assert_eq!(gateway.status()?.kernel.layout == layout, same);
        assert_eq!(gateway.bans()?.len(), 2);
    }
    // The filter says itself what the kernel ran.
    for version in [LAYOUT_VERSION, LAYOUT_VERSION + 1] {
        let said = format!("map layout {version} in the kernel");
        ensure!(gateway.folders.log().contains(&said), "{said}: {}", gateway.folders.log());
    }
    nothing_lost(&lab, innocent)?;
    nothing_leaked(&lab, flood)
}

#[test]
fn another_program_and_renewed_certificates_refuse_no_request() -> Result<()> {
    if skip::without_root("netns::another_program_and_renewed_certificates_refuse_no_request")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let key = gateway.new_key("customers", "honest")?;
    let ask = |path| Ask::get(path).with("x-api-key", &key);
    let loads =
        [(HONEST, Version::Http1, ask("/private/x")), (HONEST_H2, Version::H2, ask("/h2/x"))];
    let start = |(source, version, ask)| -> Result<Load> {
        let pace = Pace { connections: 4, per_second: 20, reuse: false };
        Ok(Load::start(&lab.outside, lab.client(source, version)?, ask, pace))
    };
    let loads = loads.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    let upgraded = gateway.folders.root.join("upgraded");
    fs::copy(binary()?, &upgraded)?;
    // Behind what the loader reads: the same program, and yet another.
    File::options().append(true).open(&upgraded)?.write_all(b"\n")?;
    let before = gateway.proxy_pid()?;
    served_on(&loads)?;
    gateway.kill_guard()?;
    gateway.use_binary(upgraded);
    gateway.start()?;
    ensure!(gateway.proxy_pid()? != before, "the earlier proxy was adopted");
    served_on(&loads)?;
    until("the earlier proxy to be gone", SOON, || {
        let gone = !Path::new("/proc").join(before.to_string()).exists();
        gone.then_some(())
    })?;
    let (proxy, certificate) = (gateway.proxy_pid()?, shown_certificate(&gateway)?);
    gateway.kill_guard()?;
    lab.renew_certificate()?;
    gateway.start()?;
    until("the renewed certificate", SOON, || {
        shown_certificate(&gateway).is_ok_and(|shown| shown != certificate).then_some(())
    })?;
    ensure!(gateway.proxy_pid()? == proxy, "a certificate is renewed in a proxy that serves on");
    served_on(&loads)?;
    all_served(loads)
}

/// The fingerprint that `gateway status` shows.
fn shown_certificate(gateway: &Gateway<'_>) -> Result<String> {
    let status = gateway.json(&["status"])?;
    let shown = status.pointer("/proxy/detail/certificates/0/fingerprint");
    Ok(shown.and_then(Value::as_str).context("status shows no certificate")?.to_owned())
}

#[test]
fn changed_capacity_leaks_nothing() -> Result<()> {
    under_flood("netns::changed_capacity_leaks_nothing", |lab, gateway, flood| {
        let mut settings = lab.settings();
        // Half of the flood is dropped by a list from now on.
        let list = gateway.folders.root.join("theirs.txt");
        fs::write(&list, format!("{FLOOD_V4}\n192.0.2.1\n"))?;
        gateway.must(&["block", "import", &list.to_string_lossy()])?;
        gateway.must(&["block", "rm", FLOOD_V4])?;
        for hosts in [20_000, 5_000] {
            settings.kernel = format!(
                "attach = \"native\"\n\
                 capacity = {{ hosts = {hosts}, prefixes = 500, dynamic = 200, allow = 50, limits = 1024 }}"
            );
            gateway.configure(&settings)?;
            gateway.kill_guard()?;
            gateway.start()?;
            flood_goes_on(flood)?;
            let maps = gateway.status()?.kernel.maps;
            let room = 2 * (hosts + 500) + 200;
            ensure!(maps.iter().any(|map| map.capacity == room), "{maps:?}");
            assert_eq!(gateway.bans()?.len(), 3);
        }
        Ok(())
    })
}
