//! SYN cookies on a real wire: clients connect through a flood, by both TCP stacks and the real
//! `SO_REUSEPORT` listeners; a banned source hears nothing; the kernel's settings are put back.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use gateway_tests::{
    client::{Ask, Client, Version},
    foreign,
    gateway::Gateway,
    inject::{Bound, Flood},
    lab::{FLOOD_V4, GATEWAY_V6, HONEST, Lab, PEER},
    netns::{Namespace, command},
    settings::Settings,
    skip,
    syns::{SynAcks, forged, syn},
    wait::{pause, until},
};

use super::{SETTLE, SOON, flood_goes_on};

/// Well above what turns cookies on here, and bounded: a minute of it.
const FLOOD: Bound = Bound { frames: 600_000, per_second: 10_000 };

/// Hold and grace, and a machine that is slow.
const AFTER: Duration = Duration::from_secs(30);

const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
const TIMESTAMPS: &str = "net.ipv4.tcp_timestamps";

/// Connections through a flood: enough for every listener of the group.
const CONNECTIONS: u64 = 40;

fn settings(lab: &Lab, timestamps: bool) -> Settings {
    let mut settings = lab.settings();
    settings.kernel = format!(
        "attach = \"native\"\n\
         capacity = {{ hosts = 1000, prefixes = 100, allow = 100, limits = 4096 }}\n\
         syn_cookies = {{ above = \"500/s\", hold = \"2s\", timestamps = {timestamps}, veth = true }}"
    );
    "workers = 4".clone_into(&mut settings.proxy);
    settings
}

/// Cookies leave a veth only if its other end has a program of its own.
fn build() -> Result<Lab> {
    let lab = Lab::build()?;
    let file = tempfile::NamedTempFile::new().context("creating a file")?;
    std::fs::write(file.path(), foreign::object()).context("writing the program")?;
    let path = file.path().to_str().context("a path of another encoding")?;
    lab.outside.ip(&["link", "set", "dev", PEER, "xdpdrv", "object", path, "section", "xdp"])?;
    Ok(lab)
}

fn sysctl(namespace: &Namespace, name: &str) -> Result<String> {
    let value = namespace.run(|| command("sysctl", &["-n", name]))?;
    Ok(value.trim().to_owned())
}

/// A counter of the namespace's TCP stack.
fn tcp_counter(namespace: &Namespace, name: &str) -> Result<u64> {
    let text = namespace.run(|| command("nstat", &["-asz", name]))?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1)).context("no such counter")?;
    value.parse().with_context(|| format!("reading {text:?}"))
}

fn syn_flood(lab: &Lab) -> Result<Flood> {
    let wire = lab.wire();
    Ok(Flood::start(lab.injector()?, FLOOD, move |sequence| {
        syn(&wire, forged(sequence), sequence).unwrap_or_default()
    }))
}

/// A flood that has turned cookies and the kernel's setting on.
fn cookies_on(lab: &Lab, gateway: &Gateway<'_>) -> Result<Flood> {
    let flood = syn_flood(lab)?;
    until("cookies", SOON, || {
        let is_on = gateway.status().is_ok_and(|status| status.kernel.syn_cookies.state == "on");
        let is_set = sysctl(&lab.inside, SYNCOOKIES).is_ok_and(|value| value == "2");
        (is_on && is_set).then_some(())
    })
    .with_context(|| format!("{:?}\n{}", gateway.status(), gateway.folders.log()))?;
    Ok(flood)
}

/// One connection and request after the other, all answered.
fn connect_often(lab: &Lab, client: &Client) -> Result<()> {
    for number in 0..CONNECTIONS {
        let answer = lab.outside.block_on(|| async { client.once(&Ask::get("/status/200")).await });
        let answer = answer.with_context(|| format!("connection {number}"))?;
        ensure!(answer.status == 200, "connection {number}: {}", answer.status);
    }
    Ok(())
}

/// Clients connect while a flood goes on, and it is cookies that they connect by.
fn served_through_a_flood(lab: &Lab, client: &Client, timestamps: bool) -> Result<()> {
    let mut settings = settings(lab, timestamps);
    settings.listener = client.server;
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let flood = cookies_on(lab, &gateway)?;
    let before = tcp_counter(&lab.inside, "TcpExtSyncookiesRecv")?;
    let failed = tcp_counter(&lab.inside, "TcpExtSyncookiesFailed")?;
    connect_often(lab, client)?;
    flood_goes_on(&flood)?;
    let by_cookie = tcp_counter(&lab.inside, "TcpExtSyncookiesRecv")? - before;
    ensure!(by_cookie >= CONNECTIONS, "{by_cookie} of {CONNECTIONS} connections by cookie");
    assert_eq!(tcp_counter(&lab.inside, "TcpExtSyncookiesFailed")?, failed);
    ensure!(gateway.packets("syn_cookie")? >= CONNECTIONS);
    let kept = options_of_a_connection(lab, client)?;
    // Both ends, each with the scale of the other.
    let scales = kept.iter().map(|end| scales(end)).collect::<Result<Vec<_>>>()?;
    if timestamps {
        ensure!(kept.iter().all(|end| has(end, "ts") && has(end, "sack")), "{kept:?}");
        let [Some((a, b)), Some((c, d))] = scales[..] else { bail!("{kept:?}") };
        assert_eq!((a, b), (d, c), "{kept:?}");
    } else {
        ensure!(kept.iter().all(|end| !has(end, "ts") && !has(end, "sack")), "{kept:?}");
        assert_eq!(scales, [None, None], "{kept:?}");
    }
    flood.stop()?;
    Ok(())
}

/// What both ends of a connection made by cookie keep of the options, as `ss` shows it.
fn options_of_a_connection(lab: &Lab, client: &Client) -> Result<[String; 2]> {
    let port = client.server.port().to_string();
    lab.outside.block_on(|| async {
        let _connection = client.connect().await?;
        let own = command("ss", &["-tinoH", "state", "established", "dport", &port])?;
        let inside = ["-tinoH", "state", "established", "sport", &port];
        let other = lab.inside.run(|| command("ss", &inside))?;
        ensure!(!own.trim().is_empty() && !other.trim().is_empty(), "{own:?} {other:?}");
        Ok([own, other])
    })
}

fn has(end: &str, option: &str) -> bool {
    end.split_whitespace().any(|word| word == option)
}

fn scales(end: &str) -> Result<Option<(u8, u8)>> {
    let Some(word) = end.split_whitespace().find_map(|word| word.strip_prefix("wscale:")) else {
        return Ok(None);
    };
    let (sent, received) = word.split_once(',').context("one scale")?;
    Ok(Some((sent.parse()?, received.parse()?)))
}

#[test]
fn clients_connect_by_cookie_through_a_flood() -> Result<()> {
    if skip::without_root("netns::clients_connect_by_cookie_through_a_flood")? {
        return Ok(());
    }
    let lab = build()?;
    let client = lab.client(HONEST, Version::H2)?;
    served_through_a_flood(&lab, &client, false)?;
    assert_eq!(sysctl(&lab.inside, TIMESTAMPS)?, "1");
    Ok(())
}

#[test]
fn options_outlive_a_cookie_with_timestamps() -> Result<()> {
    if skip::without_root("netns::options_outlive_a_cookie_with_timestamps")? {
        return Ok(());
    }
    let lab = build()?;
    served_through_a_flood(&lab, &lab.client(HONEST, Version::Http1)?, true)
}

#[test]
fn ipv6_clients_connect_by_cookie_through_a_flood() -> Result<()> {
    if skip::without_root("netns::ipv6_clients_connect_by_cookie_through_a_flood")? {
        return Ok(());
    }
    let lab = build()?;
    let server = SocketAddr::from((GATEWAY_V6, 443));
    let client = Client::new(server, Version::Http1, &lab.certificates)?;
    served_through_a_flood(&lab, &client, true)
}

#[test]
fn a_banned_source_gets_no_syn_ack() -> Result<()> {
    if skip::without_root("netns::a_banned_source_gets_no_syn_ack")? {
        return Ok(());
    }
    let lab = build()?;
    let mut gateway = lab.gateway(&settings(&lab, false))?;
    gateway.start()?;
    let flood = cookies_on(&lab, &gateway)?;
    let answers = SynAcks::count(&lab.outside, PEER, FLOOD_V4.parse()?)?;
    let (injector, wire) = (lab.injector()?, lab.wire());
    let banned = |host| Ipv4Addr::new(198, 51, 100, host);

    injector.send(&syn(&wire, banned(7), 0)?)?;
    until("an answer before the ban", SOON, || (answers.to_watched() > 0).then_some(()))?;
    gateway.must(&["block", "add", FLOOD_V4])?;
    pause(SETTLE);
    let before = answers.to_watched();
    for sequence in 0..200 {
        injector.send(&syn(&wire, banned(u8::try_from(sequence)?), sequence)?)?;
    }
    flood_goes_on(&flood)?;
    pause(SETTLE);
    assert_eq!(answers.to_watched(), before);
    ensure!(answers.to_others() > 0, "others are answered");
    flood.stop()?;
    Ok(())
}

/// Both settings as a namespace begins with them.
fn begin(lab: &Lab) -> Result<()> {
    for set in [format!("{SYNCOOKIES}=1"), format!("{TIMESTAMPS}=1")] {
        lab.inside.run(|| command("sysctl", &["-qw", &set]).map(drop))?;
    }
    Ok(())
}

fn are_back(lab: &Lab) -> Result<()> {
    let value = |name| sysctl(&lab.inside, name);
    until("the kernel's settings", AFTER, || {
        let is = |name| value(name).is_ok_and(|value| value == "1");
        (is(SYNCOOKIES) && is(TIMESTAMPS)).then_some(())
    })
}

#[test]
fn cookies_go_off_after_the_flood_and_the_settings_back() -> Result<()> {
    if skip::without_root("netns::cookies_go_off_after_the_flood_and_the_settings_back")? {
        return Ok(());
    }
    let lab = build()?;
    begin(&lab)?;
    let mut gateway = lab.gateway(&settings(&lab, true))?;
    gateway.start()?;
    let status = gateway.status()?.kernel.syn_cookies;
    assert_eq!((status.state.as_str(), status.problem), ("off", None));

    let flood = cookies_on(&lab, &gateway)?;
    assert_eq!(sysctl(&lab.inside, TIMESTAMPS)?, "2");
    let shown = gateway.status()?.kernel.syn_cookies.sysctls;
    ensure!(shown.iter().all(|one| (one.value, one.was) == (2, Some(1))), "{shown:?}");
    flood.stop()?;
    are_back(&lab)?;
    assert_eq!(gateway.status()?.kernel.syn_cookies.state, "off");
    // And not one SYN more is answered in place of the stack.
    let answered = gateway.packets("syn_cookie")?;
    connect_often(&lab, &lab.client(HONEST, Version::Http1)?)?;
    assert_eq!(gateway.packets("syn_cookie")?, answered);
    Ok(())
}

#[test]
fn a_stop_during_the_flood_puts_the_settings_back() -> Result<()> {
    if skip::without_root("netns::a_stop_during_the_flood_puts_the_settings_back")? {
        return Ok(());
    }
    let lab = build()?;
    begin(&lab)?;
    let mut gateway = lab.gateway(&settings(&lab, true))?;
    gateway.start()?;
    let flood = cookies_on(&lab, &gateway)?;
    ensure!(gateway.stop()?.success());
    assert_eq!(sysctl(&lab.inside, SYNCOOKIES)?, "1");
    assert_eq!(sysctl(&lab.inside, TIMESTAMPS)?, "1");
    flood.stop()?;
    Ok(())
}

#[test]
fn a_killed_guard_leaves_clients_served_and_the_next_puts_the_settings_back() -> Result<()> {
    let case = "netns::a_killed_guard_leaves_clients_served_and_the_next_puts_the_settings_back";
    if skip::without_root(case)? {
        return Ok(());
    }
    let lab = build()?;
    begin(&lab)?;
    let mut gateway = lab.gateway(&settings(&lab, true))?;
    gateway.start()?;
    let client = lab.client(HONEST, Version::Http1)?;
    let flood = cookies_on(&lab, &gateway)?;
    gateway.kill_guard()?;
    assert_eq!(sysctl(&lab.inside, SYNCOOKIES)?, "2");
    connect_often(&lab, &client)?;
    flood.stop()?;
    gateway.start()?;
    are_back(&lab)?;
    connect_often(&lab, &client)
}

#[test]
fn shadow_mode_answers_nothing_and_sets_nothing() -> Result<()> {
    if skip::without_root("netns::shadow_mode_answers_nothing_and_sets_nothing")? {
        return Ok(());
    }
    let lab = build()?;
    begin(&lab)?;
    let mut settings = settings(&lab, true);
    settings.kernel.push_str("\nmode = \"shadow\"");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let watched = IpAddr::from(forged(0)).into();
    let answers = SynAcks::count(&lab.outside, PEER, watched)?;
    let flood = syn_flood(&lab)?;
    let seen = || gateway.packets("syn_cookie").unwrap_or(0) > 1000;
    until("what it would answer", SOON, || seen().then_some(()))?;
    assert_eq!(sysctl(&lab.inside, SYNCOOKIES)?, "1");
    assert_eq!(answers.to_others() + answers.to_watched(), 0);
    flood.stop()?;
    Ok(())
}

#[test]
fn a_veth_without_a_program_behind_it_is_left_to_the_stack() -> Result<()> {
    if skip::without_root("netns::a_veth_without_a_program_behind_it_is_left_to_the_stack")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    begin(&lab)?;
    let mut settings = settings(&lab, true);
    settings.kernel = settings.kernel.replace("veth = true", "veth = false");
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let state = gateway.status()?.kernel.syn_cookies.state;
    ensure!(state.contains("edge0 is a veth"), "{state}");
    let flood = syn_flood(&lab)?;
    let seen = || gateway.packets("syn_stack").unwrap_or(0) > 1000;
    until("SYNs for the stack", SOON, || seen().then_some(()))?;
    assert_eq!(sysctl(&lab.inside, SYNCOOKIES)?, "1");
    connect_often(&lab, &lab.client(HONEST, Version::Http1)?)?;
    flood.stop()?;
    Ok(())
}
