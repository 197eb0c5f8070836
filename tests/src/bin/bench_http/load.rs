//! Load by h2load and wrk, and what they and the kernel say of it.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use gateway_tests::netns::command;
use serde_json::{Value, json};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    H1Small,
    H1Large,
    H2Small,
    H2Large,
    /// A new connection and a full handshake for each request.
    Handshake,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Processor time of a request.
    pub(crate) cpu: Duration,
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Scenario {
    pub(crate) const ALL: [Self; 5] =
        [Self::H1Small, Self::H1Large, Self::H2Small, Self::H2Large, Self::Handshake];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1Small => "h1, 200 B",
            Self::H1Large => "h1, 100 KiB",
            Self::H2Small => "h2, 200 B",
            Self::H2Large => "h2, 100 KiB",
            Self::Handshake => "new handshake, h1, 200 B",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::H1Small | Self::H2Small | Self::Handshake => "small",
            Self::H1Large | Self::H2Large => "large",
        }
    }

    fn requests(self) -> u32 {
        match self {
            Self::H1Small | Self::H2Small => 40_000,
            Self::H1Large | Self::H2Large => 6_000,
            Self::Handshake => 0,
        }
    }
}

impl Sample {
    pub(crate) fn json(&self) -> Value {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        json!({ "cpu_us": us(self.cpu), "per_second": self.per_second, "p50_us": us(self.p50), "p99_us": us(self.p99) })
    }
}

/// Loads `address`; `busy` is what its server has used of processors so far.
pub(crate) fn run(
    scenario: Scenario,
    address: SocketAddr,
    folder: &Path,
    busy: impl Fn() -> Duration,
) -> Result<Sample> {
    let url = format!("https://{address}/{}", scenario.path());
    let before = busy();
    let (requests, mut sample) = match scenario {
        Scenario::Handshake => handshakes(&url)?,
        Scenario::H1Small | Scenario::H1Large | Scenario::H2Small | Scenario::H2Large => {
            kept(scenario, &url, folder)?
        }
    };
    sample.cpu = busy().saturating_sub(before).div_f64(requests.max(1.0));
    Ok(sample)
}

/// Thirty-two connections, or in h2 twelve with four requests on each at a time.
fn kept(scenario: Scenario, url: &str, folder: &Path) -> Result<(f64, Sample)> {
    let log = folder.join("h2load.log");
    // h2load appends.
    drop(fs::remove_file(&log));
    let (requests, log_file) =
        (scenario.requests().to_string(), format!("--log-file={}", log.display()));
    let mut arguments = vec!["-n", &requests, "-t", "1", "--groups=X25519", &log_file];
    match scenario {
        // As many at once as the gateway's default of connections to a supplier takes, and some less.
        Scenario::H2Small | Scenario::H2Large => arguments.extend(["-c", "12", "-m", "4"]),
        Scenario::H1Small | Scenario::H1Large | Scenario::Handshake => {
            arguments.extend(["-c", "32", "--h1"]);
        }
    }
    arguments.push(url);
    let said = command("h2load", &arguments)?;
    let all = scenario.requests();
    if !said.contains(&format!("{all} succeeded, 0 failed"))
        || !said.contains(&format!("status codes: {all} 2xx"))
    {
        bail!("not every request was served:\n{said}");
    }
    let per_second = word_before(&said, " req/s").context("h2load told no rate")?;
    let mut times = fs::read_to_string(&log)
        .context("reading h2load's log")?
        .lines()
        .filter_map(|line| line.rsplit('\t').next()?.parse().ok())
        .map(Duration::from_micros)
        .collect::<Vec<_>>();
    times.sort_unstable();
    let quantile = |per_mille: usize| times.get(times.len() * per_mille / 1000).copied();
    let (p50, p99) = quantile(500).zip(quantile(990)).context("h2load logged nothing")?;
    Ok((f64::from(all), Sample { cpu: Duration::ZERO, per_second, p50, p99 }))
}

/// Sixteen connections at a time, each for one request; wrk keeps no sessions.
fn handshakes(url: &str) -> Result<(f64, Sample)> {
    let arguments =
        ["-t", "1", "-c", "16", "-d", "3s", "--latency", "-H", "Connection: close", url];
    let said = command("wrk", &arguments)?;
    if said.contains("Non-2xx")
        || said.contains("Socket errors: connect") && !said.contains("connect 0,")
    {
        bail!("not every request was served:\n{said}");
    }
    let requests = word_before(&said, " requests in").context("wrk counted nothing")?;
    let line = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name));
    let rate = line("Requests/sec:").and_then(|text| text.trim().parse().ok());
    let p50 = line("50%").and_then(time).context("wrk told no median")?;
    let p99 = line("99%").and_then(time).context("wrk told no p99")?;
    let per_second = rate.context("wrk told no rate")?;
    Ok((requests, Sample { cpu: Duration::ZERO, per_second, p50, p99 }))
}

fn word_before(text: &str, marker: &str) -> Option<f64> {
    let (before, _) = text.split_once(marker)?;
    before.rsplit([' ', '\n']).next()?.parse().ok()
}

/// As wrk writes it: `812.00us`, `1.20ms`, `1.02s`.
fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_writes() {
        assert_eq!(time(" 812.00us"), Some(Duration::from_micros(812)));
        assert_eq!(time("1.25ms"), Some(Duration::from_micros(1250)));
        assert_eq!(time("2.00s"), Some(Duration::from_secs(2)));
        assert_eq!(word_before("  5021 requests in 3.00s", " requests in"), Some(5021.0));
        assert_eq!(word_before("finished in 1.00s, 250.50 req/s, 1MB/s", " req/s"), Some(250.5));
    }
}
