//! Drops are seen as they come: the right ones, with the right fields, and none of what packets
//! carry unless somebody asks for it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    gateway::{Gateway, Outcome},
    lab::{FLOOD_V4, FLOOD_V6, INTERFACE, Lab},
    netns,
    packet::Mark,
    skip,
    wait::{pause, until},
};
use serde_json::Value;

use super::{BANNED, SOON};

/// Between two rounds of frames.
const ROUND: Duration = Duration::from_millis(50);

/// A gateway that bans two prefixes and samples all that they send.
fn banning(lab: &Lab) -> Result<Gateway<'_>> {
    let mut settings = lab.settings();
    settings.kernel.push_str("\nevents = 10000");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    gateway.must(&["block", "add", FLOOD_V4])?;
    gateway.must(&["block", "add", FLOOD_V6])?;
    Ok(gateway)
}

/// Runs a command that ends by itself, and sends a frame of each framing until it has.
fn under_fire(lab: &Lab, gateway: &Gateway<'_>, arguments: &[&str]) -> Result<Outcome> {
    thread::scope(|scope| {
        let watching = scope.spawn(|| gateway.cli(arguments));
        while !watching.is_finished() {
            lab.send_each_framing(BANNED)?;
            pause(ROUND);
        }
        watching.join().map_err(|_panic| anyhow::anyhow!("the command's thread ended"))?
    })
}

fn text<'a>(drop: &'a Value, field: &str) -> &'a str {
    drop.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn follow_tells_the_drops_that_were_asked_for() -> Result<()> {
    if skip::without_root("netns::follow_tells_the_drops_that_were_asked_for")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let gateway = banning(&lab)?;
    let asked = [
        "events",
        "--follow",
        "--limit",
        "0",
        "--output",
        "json",
        "--count",
        "20",
        "--for",
        "60s",
        "--reason",
        "ban_prefix",
        "--source",
        FLOOD_V4,
        "--port",
        "443",
        "--interface",
        INTERFACE,
    ];
    let outcome = under_fire(&lab, &gateway, &asked)?;
    ensure!(outcome.code == 0, "{}", outcome.stderr);
    let lines: Vec<Value> =
        outcome.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 20, "{}", outcome.stderr);
    for drop in &lines {
        let source: IpAddr = text(drop, "source").parse()?;
        assert!(FLOOD_V4.parse::<ipnet::IpNet>()?.contains(&source), "{drop}");
        assert_eq!(text(drop, "reason"), "ban_prefix", "{drop}");
        assert_eq!(text(drop, "interface"), INTERFACE, "{drop}");
        assert_eq!(drop.pointer("/ports/destination"), Some(&Value::from(443)), "{drop}");
        assert_eq!(drop.get("bytes"), None, "{drop}");
    }
    // What was is remembered, and nothing else passes for it.
    let echoes = gateway.json(&["events", "--limit", "1000"])?;
    let echoes = echoes.as_array().context("a list")?;
    ensure!(echoes.iter().any(|drop| drop.pointer("/icmp/kind") == Some(&Value::from(128))));
    let none = gateway.json(&["events", "--reason", "packet_limit"])?;
    assert_eq!(none, Value::Array(Vec::new()));
    Ok(())
}

/// Captures drops into a file; what tcpdump makes of it, if it is there.
fn capture(lab: &Lab, gateway: &Gateway<'_>, file: &Path, more: &[&str]) -> Result<Vec<u8>> {
    let path = file.to_str().context("a path")?;
    let asked = [&["events", "--pcap", path, "--count", "48", "--for", "60s"], more].concat();
    let outcome = under_fire(lab, gateway, &asked)?;
    ensure!(outcome.code == 0, "{}", outcome.stderr);
    ensure!(outcome.stderr.contains("48 drops"), "{}", outcome.stderr);
    if Path::new("/usr/bin/tcpdump").exists() {
        let read = netns::command("tcpdump", &["-nner", path])?;
        assert_eq!(read.lines().count(), 48, "{read}");
        ensure!(read.contains("198.51.100.") && read.contains("2001:db8:bad:"), "{read}");
        ensure!(read.contains(".443:") && read.contains("vlan 10"), "{read}");
    }
    Ok(fs::read(file)?)
}

#[test]
fn a_capture_is_read_by_others_and_holds_no_payload_unless_asked() -> Result<()> {
    if skip::without_root("netns::a_capture_is_read_by_others_and_holds_no_payload_unless_asked")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let gateway = banning(&lab)?;
    let folder = tempfile::tempdir()?;
    let headers = capture(&lab, &gateway, &folder.path().join("headers.pcapng"), &[])?;
    assert_eq!(Mark::find(&headers), None, "headers only");
    let comment = b"dropped: ban_prefix";
    ensure!(headers.windows(comment.len()).any(|text| text == comment));
    let whole = capture(&lab, &gateway, &folder.path().join("whole.pcapng"), &["--payload"])?;
    assert_eq!(Mark::find(&whole).map(|mark| mark.flow), Some(BANNED));
    Ok(())
}

#[test]
fn a_stuck_reader_hinders_nobody_and_is_told_what_it_lost() -> Result<()> {
    if skip::without_root("netns::a_stuck_reader_hinders_nobody_and_is_told_what_it_lost")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let gateway = banning(&lab)?;
    let mut stuck = UnixStream::connect(gateway.socket())?;
    stuck.write_all(b"{\"command\":\"events\",\"follow\":true,\"bytes\":\"payload\"}\n")?;
    let flood = lab.flood(BANNED, super::LONG)?;
    super::flood_goes_on(&flood)?;

    let asked = ["events", "--follow", "--limit", "0", "--count", "2000", "--for", "60s"];
    let outcome = gateway.cli(&asked)?;
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (0, 2001), "{}", outcome.stderr);
    gateway.status()?;
    super::nothing_leaked(&lab, flood)?;

    stuck.set_read_timeout(Some(SOON))?;
    let mut lines = BufReader::new(stuck).lines();
    until("word of what was lost", Duration::from_secs(30), || {
        let line = lines.next()?.ok()?;
        let told: Value = serde_json::from_str(&line).ok()?;
        (told.get("lost").and_then(Value::as_u64)? > 0).then_some(())
    })
}
