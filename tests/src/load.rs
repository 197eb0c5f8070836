//! Clients in the background: honest ones that count every failure, and one that guesses keys.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Result, anyhow};
use tokio::{task::JoinSet, time::interval};

use crate::{
    client::{Ask, Client, Connection},
    netns::{Namespace, runtime},
};

/// Different failures kept for the report; more are only counted.
const FAILURES: usize = 8;

/// Honest requests under way; dropping stops them.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// How many connections, and how many requests a second on each.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub connections: usize,
    pub per_second: u32,
    /// Whether a connection is used again. Without it a server that ends one while it waits for
    /// work, as it may, can fail no request.
    pub reuse: bool,
}

/// What came of a load's requests.
#[derive(Debug, Default)]
struct Tally {
    stop: AtomicBool,
    served: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// What a load came to.
#[derive(Debug, Clone)]
pub struct Served {
    pub served: u64,
    pub failed: u64,
    /// The first different failures.
    pub failures: Vec<String>,
}

impl Load {
    /// Sends `ask` over and over from `namespace`. Anything but 200 is a failure.
    pub fn start(namespace: &Namespace, client: Client, ask: Ask, pace: Pace) -> Self {
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let thread = namespace.spawn(move || {
            runtime()?.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..pace.connections {
                    let (client, ask) = (client.clone(), ask.clone());
                    tasks.spawn(keep_asking(client, ask, pace, Arc::clone(&shared)));
                }
                tasks.join_all().await;
            });
            Ok(())
        });
        Self { tally, thread: Some(thread) }
    }

    /// So far.
    pub fn so_far(&self) -> Served {
        let failures = self.tally.failures.lock().unwrap_or_else(PoisonError::into_inner);
        Served {
            served: self.tally.served.load(Ordering::Acquire),
            failed: self.tally.failed.load(Ordering::Acquire),
            failures: failures.clone(),
        }
    }

    /// Lets requests under way finish, and reports.
    pub fn stop(mut self) -> Result<Served> {
        self.tally.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_panic| anyhow!("the load panicked"))??;
        }
        Ok(self.so_far())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tally.stop.store(true, Ordering::Release);
    }
}

impl Tally {
    fn fail(&self, why: String) {
        self.failed.fetch_add(1, Ordering::AcqRel);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES && !failures.contains(&why) {
            failures.push(why);
        }
    }
}

async fn keep_asking(client: Client, ask: Ask, pace: Pace, tally: Arc<Tally>) {
    let mut ticks = interval(Duration::from_secs(1) / pace.per_second.max(1));
    let mut open = None;
    while !tally.stop.load(Ordering::Acquire) {
        ticks.tick().await;
        match ask_once(&client, &ask, open.take()).await {
            Ok(connection) => {
                tally.served.fetch_add(1, Ordering::AcqRel);
                open = pace.reuse.then_some(connection);
            }
            Err(error) => tally.fail(format!("{error:#}")),
        }
    }
}

/// One request on the open connection or a new one, which comes back for the next. A server may
/// close a connection that waits for work: one that was closed is opened anew, as browsers do, and
/// so is one whose end was read before the request left.
async fn ask_once(client: &Client, ask: &Ask, open: Option<Connection>) -> Result<Connection> {
    let reused = open.filter(|connection| !connection.is_closed());
    let was_reused = reused.is_some();
    let mut connection = match reused {
        Some(connection) => connection,
        None => client.connect().await?,
    };
    let mut answer = connection.send(ask).await;
    if was_reused && answer.as_ref().is_err_and(never_left) {
        connection = client.connect().await?;
        answer = connection.send(ask).await;
    }
    let answer = answer?;
    if answer.status == 200 { Ok(connection) } else { Err(anyhow!("status {}", answer.status)) }
}

/// Whether nothing of the request was sent: by RFC 9113 section 6.8 a client that reads `GOAWAY` has
/// to take what it did not send elsewhere.
fn never_left(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_canceled)
}

/// Credential stuffing: made-up keys, one after the other, until nobody answers.
#[derive(Debug)]
pub struct Stuffing {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Why it gave up; empty if it came to the end of its keys.
    pub ended: String,
}

/// Tries up to `keys` keys at `path`, a new connection each as such tools do.
pub async fn stuff(client: &Client, path: &str, keys: u32) -> Stuffing {
    let mut stuffing = Stuffing { statuses: BTreeMap::new(), ended: String::new() };
    for number in 0..keys {
        match client.once(&Ask::get(path).with("x-api-key", &guess(number))).await {
            Ok(answer) => *stuffing.statuses.entry(answer.status.as_u16()).or_default() += 1,
            Err(error) => {
                stuffing.ended = format!("{error:#}");
                break;
            }
        }
    }
    stuffing
}

/// Well formed and never issued.
pub fn guess(number: u32) -> String {
    let letters = number.to_be_bytes().map(|byte| {
        let high = char::from(b'a' + (byte >> 4));
        let low = char::from(b'a' + (byte & 15));
        format!("{high}{low}")
    });
    format!("gwk_{:a>12}_{:A<43}", letters.concat(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_look_like_keys_and_differ() {
        let key = guess(7);
        let parts: Vec<_> = key.split('_').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("gwk", 12, 43));
        assert_ne!(key, guess(8));
    }
}
