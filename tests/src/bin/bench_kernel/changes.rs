//! How fast lists change: loading a full one, swapping it for another, and one ban from the
//! command line, watched from outside by packets of the source that is banned.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use gateway_tests::{
    gateway::Gateway,
    inject::Injector,
    lab::Lab,
    packet::{FRAMINGS, Mark, frame},
    wait::pause,
};
use gateway_userspace::clock;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{lists::Family, ours::Ours};

/// Repetitions of what takes a second.
const LOADS: usize = 3;

/// Bans watched.
const BANS: u8 = 15;

/// Between two packets of a source that is about to be banned: how sharp its end is seen.
const STEP: Duration = Duration::from_micros(100);

/// Far more than a ban takes; the watcher gives up then.
const WATCHED: usize = 50_000;

/// A filter with room for a full list. The honest client of the floods is one address and asks as
/// many would.
pub(crate) const ROOM: &str = "attach = \"native\"\n\
    packets = { rate = \"1000000/s\", burst = 1000000 }\n\
    packets_neighbourhood = { rate = \"1000000/s\", burst = 1000000 }\n\
    capacity = { hosts = 1000000, prefixes = 200000, allow = 100, limits = 100000 }";

/// Times of one operation, shortest first.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) what: &'static str,
    sorted: Vec<Duration>,
}

impl Times {
    fn new(what: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { what, sorted: times }
    }

    pub(crate) fn median(&self) -> Duration {
        self.sorted.get(self.sorted.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "what": self.what,
            "times": self.sorted.len(),
            "median_ms": self.median().as_secs_f64() * 1e3,
            "longest_ms": self.longest().as_secs_f64() * 1e3,
        })
    }
}

/// All of it.
pub(crate) fn measure() -> Result<Vec<Times>> {
    eprintln!("lists: loading, swapping …");
    let mut times = in_process()?;
    eprintln!("lists: through the command line …");
    times.extend(through_the_command_line()?);
    Ok(times)
}

/// The kernel's part alone: lists that are parsed and checked go into the maps.
fn in_process() -> Result<Vec<Times>> {
    let (v4, v6) = ([false, true], [false, true]);
    let lists: Vec<_> =
        v4.into_iter().map(|other| Family::V4.list(other)).collect::<Result<_>>()?;
    let sixes: Vec<_> =
        v6.into_iter().map(|other| Family::V6.list(other)).collect::<Result<_>>()?;
    let [first, second] = &lists[..] else { bail!("two lists") };
    let both: Vec<IpNet> =
        lists.iter().zip(&sixes).take(1).flat_map(|(a, b)| [a, b]).flatten().copied().collect();
    let (mut loads, mut swaps, mut doubles) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LOADS {
        let mut ours = Ours::open()?;
        loads.push(ours.set(first)?);
        swaps.push(ours.set(second)?);
        swaps.push(ours.set(first)?);
        doubles.push(Ours::open()?.set(&both)?);
    }
    Ok(vec![
        Times::new("load 1,000,000 hosts + 100,000 prefixes, IPv4", loads),
        Times::new("swap that list for another of its size", swaps),
        Times::new("load as much IPv4 and IPv6 together", doubles),
    ])
}

/// A running gateway with native XDP: a full list by `block import`, then single bans.
fn through_the_command_line() -> Result<Vec<Times>> {
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    ROOM.clone_into(&mut settings.kernel);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let few = watch_bans(&lab, &gateway, 1)?;
    let file = gateway.folders.root.join("list");
    write_list(&Family::V4.list(false)?, &file)?;
    let start = clock::now();
    import(&gateway, &file)?;
    let import =
        Times::new("`gateway block import` of that list, stored too", vec![start.elapsed()]);
    let many = watch_bans(&lab, &gateway, 2)?;
    Ok(vec![
        import,
        Times::new("`gateway block add` until the first packet is dropped, empty list", few),
        Times::new("`gateway block add` until the first packet is dropped, full list", many),
    ])
}

/// One entry a line.
pub(crate) fn write_list(nets: &[IpNet], file: &Path) -> Result<()> {
    let mut text = String::with_capacity(nets.len() * 20);
    for net in nets {
        writeln!(text, "{net}")?;
    }
    fs::write(file, text).context("writing a list")
}

/// Bans what a file lists, as a list with a name.
pub(crate) fn import(gateway: &Gateway<'_>, file: &Path) -> Result<()> {
    let file = file.to_str().context("naming a list")?;
    gateway.must(&["block", "import", file, "--name", "bench", "--ttl", "1d"]).map(drop)
}

fn watch_bans(lab: &Lab, gateway: &Gateway<'_>, subnet: u8) -> Result<Vec<Duration>> {
    (1..=BANS).map(|host| watch_ban(lab, gateway, Ipv4Addr::new(198, 18, subnet, host))).collect()
}

/// From the start of the command to the first packet that did not come through.
fn watch_ban(lab: &Lab, gateway: &Gateway<'_>, source: Ipv4Addr) -> Result<Duration> {
    let [_, _, subnet, host] = source.octets();
    let flow = u16::from_be_bytes([subnet, host]);
    let injector = lab.injector()?;
    let done = AtomicBool::new(false);
    let (start, sent) = thread::scope(|scope| {
        let watcher = scope.spawn(|| send_until(lab, &injector, source.into(), flow, &done));
        // The watcher is at work before the command is.
        pause(Duration::from_millis(20));
        let start = clock::now();
        let added = gateway.must(&["block", "add", &source.to_string(), "--ttl", "1h"]);
        pause(Duration::from_millis(20));
        done.store(true, Ordering::Release);
        let sent = watcher.join().map_err(|_panic| anyhow!("the watcher panicked"))??;
        added.map(|_said| (start, sent))
    })?;
    // What is on its way to the receiver still counts.
    pause(Duration::from_millis(50));
    let through = usize::try_from(lab.receiver.frames(flow))?;
    let first_dropped = sent.get(through).with_context(|| format!("{source} was never dropped"))?;
    Ok(first_dropped.saturating_duration_since(start))
}

/// When each packet was sent.
fn send_until(
    lab: &Lab,
    injector: &Injector,
    source: IpAddr,
    flow: u16,
    done: &AtomicBool,
) -> Result<Vec<Instant>> {
    let framing = FRAMINGS.first().context("no framing")?;
    let mut sent = Vec::new();
    while !done.load(Ordering::Acquire) && sent.len() < WATCHED {
        let mark = Mark { flow, framing: 0, sequence: u64::try_from(sent.len())? };
        let frame = frame(&lab.wire(), framing, source, mark);
        sent.push(clock::now());
        injector.send(&frame)?;
        pause(STEP);
    }
    Ok(sent)
}
