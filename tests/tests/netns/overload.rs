//! More than a gateway or its supplier can do, with real clients: who is served, who is shed and how
//! soon, and what thousands of slow clients cost.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    client::{Ask, Client, Version},
    gateway::Gateway,
    lab::{HONEST, HONEST_H2, Lab},
    netns::{Namespace, runtime},
    settings::Settings,
    skip,
    wait::{pause, until},
};
use gateway_userspace::clock;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, sync::watch, task::JoinSet};

use super::SOON;

/// Clients that hold a body each.
const SLOW: usize = 5000;

/// What they may cost, and stay below: the most that fits beside the lab on a small machine.
const BOUND: u64 = 512 << 20;

const ROUTES: &str = r#"
[[route]]
name = "low"
path = "/delay/{ms}"
host = "localhost"
supplier = "plain"
identity = "none"
priority = "low"
concurrency = 400
adaptive = true

[[route]]
name = "high"
path = "/status/{code}"
supplier = "plain"
identity = "none"
priority = "high"
"#;

/// What one class came to.
#[derive(Debug, Default)]
struct Outcomes {
    served: AtomicU64,
    shed: AtomicU64,
    /// Shed without Retry-After, or another status, or none.
    wrong: AtomicU64,
    /// Of what was served and of what was shed.
    times: Mutex<(Vec<Duration>, Vec<Duration>)>,
}

impl Outcomes {
    fn p99(times: &mut [Duration]) -> Duration {
        times.sort();
        times.get(times.len() * 99 / 100).or(times.last()).copied().unwrap_or_default()
    }

    fn note(&self, status: u16, retry_after: &str, took: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if status == 200 {
            self.served.fetch_add(1, Ordering::Relaxed);
            times.0.push(took);
        } else if status == 503 && !retry_after.is_empty() {
            self.shed.fetch_add(1, Ordering::Relaxed);
            times.1.push(took);
        } else {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Requests of `connections` clients, each one after the other, until told to stop.
fn storm(
    namespace: &Namespace,
    client: Client,
    path: &'static str,
    connections: usize,
    stop: &watch::Sender<bool>,
) -> (Arc<Outcomes>, std::thread::JoinHandle<Result<()>>) {
    let outcomes = Arc::new(Outcomes::default());
    let (shared, stopped) = (Arc::clone(&outcomes), stop.subscribe());
    let thread = namespace.spawn(move || {
        runtime()?.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..connections {
                tasks.spawn(ask_on(client.clone(), path, Arc::clone(&shared), stopped.clone()));
            }
            tasks.join_all().await.into_iter().collect()
        })
    });
    (outcomes, thread)
}

async fn ask_on(
    client: Client,
    path: &'static str,
    outcomes: Arc<Outcomes>,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut connection = client.connect().await?;
    while !*stopped.borrow() {
        let started = clock::now();
        let answer = connection.send(&Ask::get(path)).await?;
        let (status, wait) = (answer.status.as_u16(), answer.header("retry-after").to_owned());
        outcomes.note(status, &wait, started.elapsed());
        // Who was told to come later does not come at once.
        if status == 503 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[test]
fn in_an_overload_the_high_class_is_served_and_the_low_one_shed_at_once() -> Result<()> {
    let name = "netns::in_an_overload_the_high_class_is_served_and_the_low_one_shed_at_once";
    if skip::without_root(name)? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.proxy = "workers = 2\nrequests = 60\nconnections_per_source = 1000\n\
        anonymous = { rate = \"100000/s\", burst = 100000 }"
        .to_owned();
    settings.services = only_classes(&settings);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let stop = watch::Sender::new(false);
    let high = lab.client(HONEST, Version::H2)?;
    let (calm, calm_thread) = storm(&lab.outside, high.clone(), "/status/200", 4, &stop);
    until("a calm hour", SOON, || (calm.served.load(Ordering::Relaxed) > 200).then_some(()))?;
    stop.send_replace(true);
    joined(calm_thread)?;
    stop.send_replace(false);

    let low = lab.client(HONEST_H2, Version::H2)?;
    let (low, low_thread) = storm(&lab.outside, low, "/delay/200", 120, &stop);
    let (high, high_thread) = storm(&lab.outside, high, "/status/200", 4, &stop);
    until("the storm", Duration::from_mins(1), || {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let enough = [&high.served, &low.served, &low.shed].into_iter().all(|one| of(one) > 300);
        enough.then_some(())
    })
    .with_context(|| format!("{low:?}"))?;
    let status = gateway.json(&["status"])?;
    stop.send_replace(true);
    joined(low_thread)?;
    joined(high_thread)?;

    let bounded = status.pointer("/proxy/detail/bounded_routes/0").context("no bounded route")?;
    ensure!(bounded.get("name").and_then(Value::as_str) == Some("low"), "{bounded}");
    for outcomes in [&calm, &low, &high] {
        ensure!(outcomes.wrong.load(Ordering::Relaxed) == 0, "{outcomes:?}");
    }
    ensure!(high.shed.load(Ordering::Relaxed) == 0, "the high class was shed");
    let p99 = |outcomes: &Outcomes, shed: bool| {
        let mut times = outcomes.times.lock().unwrap_or_else(PoisonError::into_inner);
        Outcomes::p99(if shed { &mut times.1 } else { &mut times.0 })
    };
    let (before, during) = (p99(&calm, false), p99(&high, false));
    let (kept, shed) = (p99(&low, false), p99(&low, true));
    println!(
        "high: p99 {before:?} calm, {during:?} in the storm; low: {kept:?} served, {shed:?} shed"
    );
    // Against what was measured at the same moment on the same machine: a refusal does not wait for
    // the supplier, and the high class does not wait behind the low one.
    ensure!(shed < kept && during < kept, "{shed:?} {during:?} {kept:?}");
    Ok(())
}

fn joined(thread: std::thread::JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_panic| anyhow::anyhow!("the storm panicked"))?
}

/// The suppliers of the lab, and the two routes.
fn only_classes(settings: &Settings) -> String {
    let suppliers = settings.services.split("[[route]]").next().unwrap_or_default();
    format!("{suppliers}{}", ROUTES.replace("host = \"localhost\"\n", ""))
}

#[test]
fn thousands_of_slow_bodies_stay_within_the_bound_on_memory() -> Result<()> {
    let name = "netns::thousands_of_slow_bodies_stay_within_the_bound_on_memory";
    if skip::without_root(name)? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.services =
        settings.services.replace("local = true", "local = true\nconnections = 6000");
    settings.proxy = format!(
        "workers = 2\nmemory = \"{}MiB\"\nconnections_per_source = 10000\n\
         anonymous = {{ rate = \"100000/s\", burst = 100000 }}\ntimeouts.body = \"5m\"",
        BOUND >> 20
    );
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let stop = watch::Sender::new(false);
    let held = Arc::new(AtomicU64::new(0));
    let thread = hold_bodies(&lab, &held, &stop)?;
    let all = u64::try_from(SLOW)?;
    until("every slow client", Duration::from_mins(5), || {
        let failed = thread.is_finished();
        (held.load(Ordering::Relaxed) >= all || failed).then_some(())
    })?;
    ensure!(held.load(Ordering::Relaxed) == all, "{held:?}: {:?}", joined(thread));
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(used(&gateway)?);
        pause(Duration::from_millis(100));
    }
    // Whoever else comes is served meanwhile.
    let client = lab.client(HONEST, Version::Http1)?;
    let answer = lab.outside.run(|| runtime()?.block_on(client.once(&Ask::get("/status/200"))))?;
    ensure!(answer.status == 200, "{answer:?}");
    println!("{SLOW} slow clients: {} MiB, {} KiB each", most >> 20, most / all / 1024);
    ensure!(most < BOUND, "{most} bytes");
    stop.send_replace(true);
    joined(thread)?;
    until("the memory to come back", Duration::from_mins(1), || {
        used(&gateway).is_ok_and(|used| used < most).then_some(())
    })
}

/// Clients that send the first half of a body and wait.
fn hold_bodies(
    lab: &Lab,
    held: &Arc<AtomicU64>,
    stop: &watch::Sender<bool>,
) -> Result<std::thread::JoinHandle<Result<()>>> {
    let client = lab.client(HONEST, Version::Http1)?;
    let (held, mut stopped) = (Arc::clone(held), stop.subscribe());
    Ok(lab.outside.spawn(move || {
        runtime()?.block_on(async {
            let mut open = Vec::with_capacity(SLOW);
            let post = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200\r\n\r\n";
            let half = format!("{post}{}", "x".repeat(100));
            for _ in 0..SLOW {
                let mut stream = client.handshake().await?;
                stream.write_all(half.as_bytes()).await?;
                open.push(stream);
                held.fetch_add(1, Ordering::Relaxed);
            }
            stopped.wait_for(|stop| *stop).await?;
            Ok(())
        })
    }))
}

fn used(gateway: &Gateway<'_>) -> Result<u64> {
    let status = gateway.json(&["status"])?;
    let used = status.pointer("/proxy/detail/memory/used").and_then(Value::as_u64);
    used.context("status shows no memory")
}
