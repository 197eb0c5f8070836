//! The honest client: keep-alive GETs over TLS, each after the answer to the one before.

use std::time::{Duration, Instant};

use anyhow::Result;
use gateway_tests::{
    client::{Ask, Client, Connection},
    netns::Namespace,
};
use gateway_userspace::clock;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Connections at a time.
const CONNECTIONS: usize = 8;

/// Longer than this a person does not wait; the request has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What a client got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    pub(crate) per_second: f64,
    pub(crate) failed: u64,
    /// Times of all requests, the failed ones with the time they took to fail.
    sorted: Vec<Duration>,
}

impl Served {
    /// The time that so many of a thousand requests stayed below.
    pub(crate) fn quantile(&self, per_mille: usize) -> Duration {
        let index = (self.sorted.len() * per_mille / 1000).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(index).copied().unwrap_or(PATIENCE)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "requests_per_second": self.per_second,
            "failed": self.failed,
            "p50_ms": self.quantile(500).as_secs_f64() * 1e3,
            "p99_ms": self.quantile(990).as_secs_f64() * 1e3,
        })
    }
}

/// Asks for as long as `window` from `namespace`.
pub(crate) fn ask(namespace: &Namespace, client: &Client, window: Duration) -> Result<Served> {
    let mut client = client.clone();
    client.patience = PATIENCE;
    namespace.block_on(|| async move {
        let end = clock::now() + window;
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            tasks.spawn(keep_asking(client.clone(), end));
        }
        Ok(summarize(tasks.join_all().await, window))
    })
}

/// Times of served and of failed requests.
type Outcome = (Vec<Duration>, Vec<Duration>);

async fn keep_asking(client: Client, end: Instant) -> Outcome {
    let (mut served, mut failed) = (Vec::new(), Vec::new());
    let mut open: Option<Connection> = None;
    let ask = Ask::get("/echo");
    while clock::now() < end {
        let start = clock::now();
        match once(&client, &ask, open.take()).await {
            Ok(connection) => {
                open = Some(connection);
                served.push(start.elapsed());
            }
            Err(_refused_or_late) => {
                failed.push(start.elapsed());
                // A refused connection fails in no time: ask again as a person would.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    (served, failed)
}

async fn once(client: &Client, ask: &Ask, open: Option<Connection>) -> Result<Connection> {
    let mut connection = match open {
        Some(connection) if !connection.is_closed() => connection,
        _ => client.connect().await?,
    };
    let answer = connection.send(ask).await?;
    anyhow::ensure!(answer.status == 200, "status {}", answer.status);
    Ok(connection)
}

fn summarize(outcomes: Vec<Outcome>, window: Duration) -> Served {
    let (mut sorted, mut failures) = (Vec::new(), Vec::new());
    for (served, failed) in outcomes {
        sorted.extend(served);
        failures.extend(failed);
    }
    let count = |times: &[Duration]| u32::try_from(times.len()).unwrap_or(u32::MAX);
    let per_second = f64::from(count(&sorted)) / window.as_secs_f64();
    let failed = count(&failures).into();
    sorted.append(&mut failures);
    sorted.sort_unstable();
    Served { per_second, failed, sorted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_among_the_times_but_not_as_served() {
        let ms = Duration::from_millis;
        let served = summarize(vec![(vec![ms(2), ms(1)], vec![ms(2000)])], ms(1000));
        assert!((served.per_second - 2.0).abs() < 1e-9);
        assert_eq!((served.failed, served.quantile(990)), (1, ms(2000)));
        assert_eq!(served.quantile(0), ms(1));
    }

    #[test]
    fn who_got_nothing_waited_in_vain() {
        assert_eq!(summarize(Vec::new(), PATIENCE).quantile(500), PATIENCE);
    }
}
