//! Lists of a million: exchanged under a flood, and in nobody's way.

use std::{
    fs,
    io::{BufWriter, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use gateway_tests::{
    client::Version,
    gateway::Gateway,
    lab::{FLOOD_V4, FLOOD_V6, Lab, STUFFER},
    load::stuff,
    settings::Settings,
    skip,
    wait::until,
};

use super::{BANNED, LONG, flood_goes_on, innocent, nothing_leaked, nothing_lost};

const ENTRIES: u32 = 1_000_000;

/// What a million entries may take on a loaded machine, in a debug build.
const PATIENCE: Duration = Duration::from_mins(2);

fn settings(lab: &Lab) -> Settings {
    let kernel = "attach = \"native\"\n\
        capacity = { hosts = 1000000, prefixes = 1000, dynamic = 1000, allow = 100, limits = 4096 }";
    Settings { kernel: kernel.to_owned(), ..lab.settings() }
}

/// A list of addresses no two of which merge, none of them ours, and the flooding prefixes.
fn write_list(path: &Path, seed: u32) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for number in 0..ENTRIES {
        writeln!(file, "{}", Ipv4Addr::from(0x2000_0000 + number * 514 + seed))?;
    }
    write!(file, "{FLOOD_V4}\n{FLOOD_V6}\n")?;
    Ok(file.flush()?)
}

fn lists(gateway: &Gateway<'_>) -> Result<[PathBuf; 2]> {
    let [one, other] = [1, 3].map(|seed| gateway.folders.root.join(format!("list-{seed}.txt")));
    write_list(&one, 1)?;
    write_list(&other, 3)?;
    Ok([one, other])
}

fn import(gateway: &Gateway<'_>, file: &Path) -> Result<String> {
    gateway.must(&["block", "import", &file.to_string_lossy(), "--name", "flood"])
}

#[test]
fn a_list_of_a_million_is_exchanged_under_a_flood_without_a_leak() -> Result<()> {
    if skip::without_root("netns::a_list_of_a_million_is_exchanged_under_a_flood_without_a_leak")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&settings(&lab))?;
    gateway.start()?;
    let [one, other] = lists(&gateway)?;
    let said = import(&gateway, &one)?;
    ensure!(said.contains("merged to 1000002 bans"), "{said}");
    let flood = lab.flood(BANNED, LONG)?;
    flood_goes_on(&flood)?;
    let innocent = innocent(&lab)?;
    for file in [&other, &one, &other] {
        import(&gateway, file)?;
        flood_goes_on(&flood)?;
    }
    // Restarted, with the lists in force from the first moment on.
    gateway.kill_guard()?;
    gateway.start()?;
    flood_goes_on(&flood)?;
    nothing_lost(&lab, innocent)?;
    nothing_leaked(&lab, flood)?;

    let used = gateway.status()?.kernel.maps;
    println!("{used:#?}");
    ensure!(used.iter().any(|map| map.name == "ban4" && map.used == 1_000_001), "{used:?}");
    gateway.must(&["block", "unlist", "flood"])?;
    let is_empty = |gateway: &Gateway<'_>| {
        let maps = gateway.status().map(|status| status.kernel.maps).unwrap_or_default();
        maps.iter().any(|map| map.name == "ban4" && map.used == 0).then_some(())
    };
    until("the tables to be emptied", PATIENCE, || is_empty(&gateway))
}

#[test]
fn an_attacker_is_banned_while_a_million_entries_are_imported() -> Result<()> {
    if skip::without_root("netns::an_attacker_is_banned_while_a_million_entries_are_imported")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&settings(&lab))?;
    gateway.start()?;
    let files = lists(&gateway)?;
    let mut client = lab.client(STUFFER, Version::Http1)?;
    client.patience = Duration::from_secs(2);
    thread::scope(|scope| {
        let importing = scope
            .spawn(|| files.iter().map(|file| import(&gateway, file)).collect::<Result<Vec<_>>>());
        let stuffing =
            lab.outside.block_on(|| async { Ok(stuff(&client, "/private/x", 200).await) })?;
        let meanwhile = !importing.is_finished();
        ensure!(!stuffing.ended.is_empty(), "nobody stopped it: {stuffing:?}");
        let ban = gateway.must(&["block", "why", &STUFFER.to_string()])?;
        ensure!(ban.contains("credential_unknown"), "{ban}");
        println!("banned while the import went on: {meanwhile}");
        importing.join().map_err(|_panic| anyhow::anyhow!("the import panicked"))?.map(drop)
    })?;
    let metrics = lab.inside.run(|| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", 9100))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        Ok(std::io::read_to_string(stream)?)
    })?;
    let latency = metrics.lines().filter(|line| line.contains("strike_to_map"));
    println!("{}", latency.collect::<Vec<_>>().join("\n"));
    Ok(())
}
