//! Targets that die, hang and flap under load; health checks, ejection, breaker, room and retries
//! as clients see them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    client::{Client, full},
    connections::scrape,
    lab::{Lab, config},
};
use crate::{
    clock,
    config::model::{
        Bound, Breaker, Config, Ejection, Health, Host, Protocol, Retry, SupplierKind, Target,
    },
    ipc::message::Query,
    proxy::testing,
};

/// How a target behaves.
#[derive(Debug, Default)]
struct Mood {
    hangs: AtomicBool,
    refuses: AtomicBool,
    seen: AtomicUsize,
}

/// A target that can be killed, revived and upset.
struct Shaky {
    address: SocketAddr,
    mood: Arc<Mood>,
    task: Option<JoinSet<()>>,
}

impl Shaky {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut shaky = Self { address, mood: Arc::default(), task: None };
        shaky.serve(listener);
        shaky
    }

    fn serve(&mut self, listener: TcpListener) {
        let mood = Arc::clone(&self.mood);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mood = Arc::clone(&mood);
                let service = service_fn(move |request| answer(request, Arc::clone(&mood)));
                connections.spawn(async move {
                    let io = TokioIo::new(stream);
                    drop(http1::Builder::new().serve_connection(io, service).await);
                });
            }
        });
        self.task = Some(task);
    }

    /// Listener and connections are gone.
    async fn kill(&mut self) {
        if let Some(mut task) = self.task.take() {
            task.shutdown().await;
        }
    }

    async fn revive(&mut self) {
        for _ in 0..200 {
            if let Ok(listener) = TcpListener::bind(self.address).await {
                return self.serve(listener);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the port is taken");
    }

    fn seen(&self) -> usize {
        self.mood.seen.load(Relaxed)
    }
}

async fn answer(
    request: Request<Incoming>,
    mood: Arc<Mood>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    mood.seen.fetch_add(1, Relaxed);
    if mood.hangs.load(Relaxed) {
        std::future::pending::<()>().await;
    }
    let refuses = mood.refuses.load(Relaxed);
    let bytes = request.into_body().collect().await.map(|body| body.to_bytes().len());
    let mut response = Response::new(Full::from(format!("{}", bytes.unwrap_or_default())));
    if refuses {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// All targets behind one public route.
fn behind(targets: &[&Shaky]) -> Config {
    let target = |one: &&Shaky| Target {
        tls: false,
        host: Host::Address(one.address.ip()),
        port: one.address.port(),
        protocol: Protocol::Http1,
        weight: 1,
    };
    let kind = SupplierKind::Http(targets.iter().map(target).collect());
    let mut config = config();
    config.suppliers = vec![testing::supplier("echo", kind)];
    config
}

/// What came of a phase.
#[derive(Debug, Default)]
struct Phase {
    good: usize,
    bad: Vec<StatusCode>,
    p99: Duration,
}

/// Some clients, each with a request after the other, until `count` are answered.
async fn load(lab: &Lab, count: usize) -> Phase {
    const CLIENTS: usize = 8;
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = lab.h1().await;
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..count / CLIENTS {
                let start = clock::now();
                let status = client.get("/x").await.status;
                answers.push((status, clock::now() - start));
            }
            answers
        });
    }
    let answers: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let mut times: Vec<Duration> = answers.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    let good = answers.iter().filter(|(status, _)| status.is_success()).count();
    let bad = answers.iter().map(|(status, _)| *status).filter(|status| !status.is_success());
    Phase { good, bad: bad.collect(), p99: times[times.len() * 99 / 100] }
}

fn supplier(lab: &Lab) -> Value {
    lab.instance().answer(&Query::Status)["suppliers"].clone()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_dies_hangs_or_flaps_under_load_fails_no_request() {
    let (mut one, two, three) = (Shaky::start().await, Shaky::start().await, Shaky::start().await);
    let mut config = behind(&[&one, &two, &three]);
    let profile = &mut config.suppliers[0].profile;
    profile.first_byte = Some(Duration::from_secs(1));
    let lab = Lab::start(config);

    let before = load(&lab, 400).await;
    one.kill().await;
    let killed = load(&lab, 400).await;
    one.revive().await;
    let after_kill = load(&lab, 400).await;

    three.mood.hangs.store(true, Relaxed);
    let seen = three.seen();
    let hung = load(&lab, 800).await;
    let asked_while_hung = three.seen() - seen;
    assert_eq!(supplier(&lab)[2]["state"], "ejected", "{}", supplier(&lab)[2]);
    three.mood.hangs.store(false, Relaxed);
    let after_hang = load(&lab, 400).await;

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut flapping = JoinSet::new();
    flapping.spawn(async move {
        while !stopped.load(Relaxed) {
            one.kill().await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            one.revive().await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        one
    });
    let flapped = load(&lab, 1200).await;
    stop.store(true, Relaxed);
    let one = flapping.join_next().await.unwrap().unwrap();
    let after_flap = load(&lab, 400).await;

    for (name, phase) in [
        ("before", &before),
        ("killed", &killed),
        ("after the kill", &after_kill),
        ("hung", &hung),
        ("after the hang", &after_hang),
        ("flapping", &flapped),
        ("after the flapping", &after_flap),
    ] {
        let Phase { good, bad, p99 } = phase;
        println!("{name}: {good} good, {} bad, p99 {p99:?}", bad.len());
        // A request whose answer had begun when its target died cannot be sent again.
        let lost = if name == "flapping" { good / 50 } else { 0 };
        assert!(bad.len() <= lost, "{name}: {bad:?} of {good}");
    }
    // Five faults in a row and what was under way meanwhile: the rest went elsewhere.
    assert!(asked_while_hung <= 5 + 8 + 8, "{asked_while_hung}");
    drop((one, two));
}

#[tokio::test]
async fn a_target_that_refuses_is_ejected_but_never_all_of_them() {
    let (one, two) = (Shaky::start().await, Shaky::start().await);
    one.mood.refuses.store(true, Relaxed);
    let mut config = behind(&[&one, &two]);
    let spell = Duration::from_mins(10);
    config.suppliers[0].profile.ejection =
        Some(Ejection { faults: 3, first: spell, longest: spell, share: 50 });
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    for _ in 0..40 {
        assert_eq!(client.get("/").await.status, 200, "a retry goes to the other");
    }
    assert_eq!(one.seen(), 3);
    let status = supplier(&lab);
    assert_eq!(
        (&status[0]["state"], &status[1]["state"]),
        (&"ejected".into(), &"available".into())
    );
    assert!(status[0]["why"].as_str().unwrap().contains("failed"), "{status}");
    let text = scrape(&lab).await;
    let series = "gateway_supplier_targets{supplier=\"echo\",state=\"ejected\"} 1";
    assert!(text.contains(series), "{text}");
    // The last one is not left alone, whatever it does.
    two.mood.refuses.store(true, Relaxed);
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 503);
    }
    assert_eq!(supplier(&lab)[1]["state"], "available");
    two.mood.refuses.store(false, Relaxed);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn health_checks_take_a_target_out_and_bring_it_back() {
    let (one, mut two) = (Shaky::start().await, Shaky::start().await);
    let mut config = behind(&[&one, &two]);
    config.suppliers[0].profile.health = Some(Health {
        path: "/healthz".to_owned(),
        every: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        healthy: 2,
        unhealthy: 2,
        statuses: Vec::new(),
    });
    let lab = Lab::start(config);
    let state = |place: usize| supplier(&lab)[place]["state"].clone();
    one.mood.refuses.store(true, Relaxed);
    until("unhealthy", async || state(0) == "unhealthy").await;
    let mut client = lab.h1().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    one.mood.refuses.store(false, Relaxed);
    until("healthy again", async || state(0) == "available").await;
    two.kill().await;
    until("dead", async || state(1) == "unhealthy").await;
    two.revive().await;
    until("alive", async || state(1) == "available").await;
}

#[tokio::test]
async fn a_breaker_refuses_at_once_and_closes_by_itself() {
    let one = Shaky::start().await;
    one.mood.refuses.store(true, Relaxed);
    let mut config = behind(&[&one]);
    config.suppliers[0].profile.breaker = Some(Breaker {
        faults: 50,
        requests: 5,
        window: Duration::from_mins(1),
        open: Duration::from_secs(1),
    });
    config.routes[0].retry = Retry { attempts: 0, statuses: Vec::new(), idempotent: false };
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status, 503);
    }
    let asked = one.seen();
    let answer = client.get("/").await;
    assert_eq!((answer.status.as_u16(), one.seen()), (503, asked));
    assert_eq!(answer.json()["title"], "Supplier unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(lab.why(answer.header("x-request-id"))["reason"], "supplier_open");
    one.mood.refuses.store(false, Relaxed);
    until("closed", async || client.get("/").await.status == 200).await;
    assert_eq!(supplier(&lab)[0]["breaker_open"], false);
}

#[tokio::test]
async fn room_is_bounded_and_so_is_its_queue() {
    let one = Shaky::start().await;
    one.mood.hangs.store(true, Relaxed);
    let mut config = behind(&[&one]);
    let wait = Duration::from_millis(200);
    config.suppliers[0].profile.bound = Some(Bound { most: 1, queue: 1, wait });
    let lab = Lab::start(config);
    let mut held = lab.h1().await;
    let request = held.request(Method::GET, "/").body(full("")).unwrap();
    let mut holding = JoinSet::new();
    holding.spawn(async move { drop(held.try_send(request).await) });
    until("the first is under way", async || one.seen() == 1).await;
    let (mut a, mut b) = (lab.h1().await, lab.h1().await);
    let (a, b) = tokio::join!(a.get("/"), b.get("/"));
    for answer in [&a, &b] {
        assert_eq!(answer.json()["title"], "Supplier busy", "{answer:?}");
        assert_eq!(lab.why(answer.header("x-request-id"))["reason"], "supplier_queue");
    }
    assert_eq!(one.seen(), 1);
    assert_eq!(supplier(&lab)[0]["turned_away"], 2);
    holding.shutdown().await;
    one.mood.hangs.store(false, Relaxed);
    until("there is room", async || lab.h1().await.get("/").await.status == 200).await;
}

#[tokio::test]
async fn only_what_may_be_repeated_is_and_only_within_the_budget() {
    let (one, two) = (Shaky::start().await, Shaky::start().await);
    one.mood.refuses.store(true, Relaxed);
    two.mood.refuses.store(true, Relaxed);
    let mut config = behind(&[&one, &two]);
    config.suppliers[0].profile.ejection = None;
    config.suppliers[0].profile.retry_budget = 10;
    let mut marked = testing::route("/marked");
    marked.name = "marked".to_owned();
    marked.retry.idempotent = true;
    config.routes.push(marked);
    let lab = Lab::start(config);
    let mut client = lab.h1().await;
    let mut sent = async |method: Method, path: &str, size: usize| {
        let before = one.seen() + two.seen();
        let request = client.request(method, path).body(full(vec![b'x'; size])).unwrap();
        assert_eq!(client.send(request).await.status, 503);
        one.seen() + two.seen() - before
    };
    assert_eq!(sent(Method::POST, "/", 5).await, 1, "POST is not repeated");
    assert_eq!(sent(Method::PUT, "/", 0).await, 1, "nor PUT, unless the route says so");
    assert_eq!(sent(Method::GET, "/", 0).await, 2);
    assert_eq!(sent(Method::POST, "/marked", 5).await, 2, "with its body");
    assert_eq!(sent(Method::POST, "/marked", 70_000).await, 1, "too much to keep");
    let mut total = 0;
    for _ in 0..100 {
        total += sent(Method::GET, "/", 0).await;
    }
    // The reserve of ten, two of it spent, and a tenth of all requests.
    assert!((105..=120).contains(&total), "{total}");
    assert!(supplier(&lab)[0]["retries_refused"].as_u64().unwrap() > 70);
}

#[tokio::test]
async fn a_repeated_body_arrives_whole() {
    let (one, two) = (Shaky::start().await, Shaky::start().await);
    one.mood.refuses.store(true, Relaxed);
    let mut config = behind(&[&one, &two]);
    config.routes[0].retry.idempotent = true;
    let lab = Lab::start(config);
    let mut client: Client = lab.h2().await;
    for _ in 0..10 {
        let post = client.request(Method::POST, "/").body(full(vec![b'x'; 30_000])).unwrap();
        let answer = client.send(post).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"30000"[..]));
    }
    assert!(one.seen() > 0);
}
