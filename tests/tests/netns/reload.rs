//! Configurations and programs change under load, and no request is refused. `GATEWAY_RELOADS` and
//! `GATEWAY_UPGRADES` say how often; the long run is in docs/operations.md.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    client::{Ask, Version},
    gateway::{Gateway, binary},
    lab::{HONEST, HONEST_H2, Lab},
    load::{Load, Pace},
    settings::Settings,
    skip,
    wait::until,
};

use super::{SOON, all_served, served_on};

/// Often enough to meet a request in every state, and done within a minute or two.
const RELOADS: u64 = 60;
const UPGRADES: u64 = 3;

/// A load that was held up makes up for it at once, which is not what is looked at.
const UNLIMITED: &str = "anonymous = { rate = \"100000/s\", burst = 100000 }";

/// Numbers of workers that are tried in turn.
const WORKERS: [u16; 4] = [3, 1, 4, 2];

#[test]
fn reloads_and_upgrades_under_load_fail_no_request() -> Result<()> {
    if skip::without_root("netns::reloads_and_upgrades_under_load_fail_no_request")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.proxy = format!("workers = 2\n{UNLIMITED}");
    let mut gateway = lab.gateway(&settings)?;
    let installed = gateway.folders.root.join("gateway");
    install(&installed, 0)?;
    gateway.use_binary(installed.clone());
    gateway.start()?;
    let loads = loads(&lab, &gateway)?;
    served_on(&loads)?;

    let (reloads, upgrades) =
        (times("GATEWAY_RELOADS", RELOADS)?, times("GATEWAY_UPGRADES", UPGRADES)?);
    let proxy = gateway.proxy_pid()?;
    for number in 1..=reloads {
        reload(&gateway, &another(&settings, number))?;
    }
    let status = gateway.status()?;
    assert_eq!(status.configuration.reloads, reloads);
    assert_eq!(gateway.proxy_pid()?, proxy, "a live reload takes no other proxy");
    served_on(&loads)?;

    refused_files_change_nothing(&gateway, &settings)?;
    served_on(&loads)?;

    for workers in WORKERS {
        settings.proxy = format!("workers = {workers}\n{UNLIMITED}");
        let before = gateway.proxy_pid()?;
        reload(&gateway, &settings)?;
        ensure!(gateway.proxy_pid()? != before, "{workers} workers by the proxy of before");
        served_on(&loads)?;
    }
    let guard = gateway.guard_pid();
    for number in 1..=upgrades {
        let before = gateway.proxy_pid()?;
        install(&installed, number)?;
        gateway.must(&["upgrade"])?;
        let after = gateway.proxy_pid()?;
        ensure!(after != before && gateway.guard_pid() == guard, "not upgraded");
        served_on(&loads)?;
    }
    println!("{reloads} reloads, {} fresh proxies, {upgrades} upgrades", WORKERS.len());
    for load in &loads {
        println!("{:?}", load.so_far());
    }
    all_served(loads)
}

/// Connections that are kept, of both versions, and one for each request.
fn loads(lab: &Lab, gateway: &Gateway<'_>) -> Result<[Load; 3]> {
    let key = gateway.new_key("customers", "honest")?;
    let start = |source, version, path, reuse| -> Result<Load> {
        let ask = Ask::get(path).with("x-api-key", &key);
        let pace = Pace { connections: 4, per_second: 25, reuse };
        Ok(Load::start(&lab.outside, lab.client(source, version)?, ask, pace))
    };
    Ok([
        start(HONEST, Version::Http1, "/private/x", true)?,
        start(HONEST_H2, Version::H2, "/h2/x", true)?,
        start(HONEST, Version::Http1, "/private/y", false)?,
    ])
}

/// One more route, another limit, another bound: a part of each kind that is live.
fn another(settings: &Settings, number: u64) -> Settings {
    let mut next = settings.clone();
    let route = "name = \"extra\"\nsupplier = \"plain\"\nidentity = \"none\"";
    next.services =
        format!("{}\n[[route]]\npath = \"/extra/{number}\"\n{route}\n", settings.services);
    next.proxy = format!("requests = {}\n{}", 4000 + number % 100, settings.proxy);
    next.bans = format!("per_second = {}\n{}", 5 + number % 7, settings.bans);
    next
}

fn reload(gateway: &Gateway<'_>, settings: &Settings) -> Result<()> {
    gateway.configure(settings)?;
    let said = gateway.must(&["reload"])?;
    ensure!(said.contains("is loaded"), "{said}");
    ensure!(gateway.cli(&["diff"])?.code == 0, "the running configuration is another");
    Ok(())
}

fn refused_files_change_nothing(gateway: &Gateway<'_>, settings: &Settings) -> Result<()> {
    let running = gateway.status()?.configuration.digest;
    let broken = Settings { proxy: "reqests = 5".to_owned(), ..settings.clone() };
    let elsewhere =
        Settings { certificate: PathBuf::from("/nonexistent/edge.pem"), ..settings.clone() };
    let fixed = Settings { guard: "group = \"root\"".to_owned(), ..settings.clone() };
    for (settings, why) in [(broken, "reqests"), (elsewhere, "edge.pem"), (fixed, "guard.group")] {
        gateway.configure(&settings)?;
        let outcome = gateway.cli(&["reload"])?;
        ensure!(outcome.code == 1 && outcome.stderr.contains(why), "{outcome:?}");
        let status = gateway.status()?.configuration;
        ensure!(status.digest == running, "{status:?}");
        ensure!(status.refused.is_some_and(|refused| refused.why.contains(why)));
    }
    Ok(())
}

/// The program under its name, as a package manager puts it there: another file each time.
fn install(path: &Path, number: u64) -> Result<()> {
    let fresh = path.with_extension("new");
    fs::copy(binary()?, &fresh).context("copying the program")?;
    let mut file = File::options().append(true).open(&fresh)?;
    // Behind what the loader reads.
    writeln!(file, "{number}")?;
    drop(file);
    fs::rename(&fresh, path).context("installing the program")
}

fn times(variable: &str, usual: u64) -> Result<u64> {
    let Some(text) = std::env::var_os(variable) else { return Ok(usual) };
    text.to_string_lossy().parse().with_context(|| format!("reading {variable}"))
}

#[test]
fn a_changed_file_is_loaded_by_itself() -> Result<()> {
    if skip::without_root("netns::a_changed_file_is_loaded_by_itself")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let settings = Settings { watch: true, ..lab.settings() };
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let reloads = || gateway.status().map_or(0, |status| status.configuration.reloads);
    gateway.configure(&another(&settings, 1))?;
    until("the first change to be loaded", SOON, || (reloads() >= 1).then_some(()))?;
    // As careful editors do it.
    let file = gateway.folders.configuration();
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, another(&settings, 2).text(&gateway.folders))?;
    fs::rename(&fresh, &file)?;
    until("the second change to be loaded", SOON, || (reloads() >= 2).then_some(()))?;
    fs::write(&file, "[proxy]\nreqests = 5\n")?;
    until("the fault to be told", SOON, || {
        let status = gateway.status().ok()?;
        status.configuration.refused.filter(|refused| refused.why.contains("reqests"))
    })?;
    Ok(())
}
