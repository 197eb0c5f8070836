//! `gateway events`: what the kernel sampled of the packets it dropped, recent or live, as text or
//! as a capture file.

mod capture;
mod pcapng;
mod show;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::builder::PossibleValuesParser;
use ipnet::IpNet;

use super::{
    Context,
    client::{self, Client},
    output::{Output, complain},
    privileges,
};
use crate::{
    clock,
    config::{prefix, units},
    control::{Request, Response},
    sampled::{Bytes, Filter, LATEST, Portion, Query, reasons},
};

/// Past drops that are shown if nobody says how many.
const SHOWN: usize = 20;

/// The longest wait for a line: the guard gives a sign of life more often.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what is dropped from now on, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Only drops for this reason; may be repeated.
    #[arg(long, value_name = "REASON", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(reasons().map(|reason| reason.name())))]
    reason: Vec<String>,
    /// Only from this address or prefix.
    #[arg(long, value_name = "NET", value_parser = prefix::parse)]
    source: Option<IpNet>,
    /// Only from or to this TCP or UDP port.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Only by this interface.
    #[arg(long, short, value_name = "NAME")]
    interface: Option<String>,
    /// So many past drops at most [default: 20, with --pcap none].
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<usize>,
    /// Write what is dropped from now on as a pcapng file, `-` for standard output. Packets end
    /// with their headers.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pcap: Option<PathBuf>,
    /// What packets carry as well, as far as it was sampled.
    #[arg(long, requires = "pcap")]
    payload: bool,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    time: Option<Duration>,
    /// End after so many drops.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    output: Output,
}

fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_ignored| "not a number".to_owned())?;
    if number > LATEST {
        return Err(format!("{LATEST} drops are remembered; ask for so many or fewer"));
    }
    Ok(number)
}

impl Args {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut client = Client::connect(&context.socket)?;
        // Opened with the rights of whoever asked for it; what a stranger sent is read without.
        let file = self.pcap.as_deref().map(capture::open).transpose()?;
        privileges::drop_all()?;
        let first = portion(client.ask(&Request::Events(self.query()))?)?;
        let until = Until::new(self.time, self.count);
        match file {
            Some(file) => capture::write(file, Live { client, first: Some(first), until }),
            None if self.is_live() => {
                let live = Live { client, first: Some(first), until };
                show::follow(self.output, live)
            }
            None => self.output.print(show::shown(&first.drops).as_slice(), show::table),
        }
    }

    fn is_live(&self) -> bool {
        self.follow || self.pcap.is_some() || self.time.is_some() || self.count.is_some()
    }

    fn query(&self) -> Query {
        let bytes = match (&self.pcap, self.payload) {
            (None, _) => Bytes::Nothing,
            (Some(_), false) => Bytes::Headers,
            (Some(_), true) => Bytes::Payload,
        };
        let filter = Filter {
            reasons: self.reason.clone(),
            source: self.source,
            port: self.port,
            interface: self.interface.clone(),
        };
        let shown = if self.pcap.is_some() { 0 } else { SHOWN };
        Query { filter, latest: self.limit.unwrap_or(shown), follow: self.is_live(), bytes }
    }
}

/// When it is enough.
struct Until {
    end: Option<Instant>,
    left: Option<u64>,
}

impl Until {
    fn new(time: Option<Duration>, count: Option<u64>) -> Self {
        Self { end: time.and_then(|time| clock::now().checked_add(time)), left: count }
    }

    /// How long to wait for the next line; `None` if it is over.
    fn wait(&self) -> Option<Duration> {
        if self.left == Some(0) {
            return None;
        }
        let left = self.end.map(|end| end.saturating_duration_since(clock::now()));
        match left {
            Some(Duration::ZERO) => None,
            Some(left) => Some(left.min(PATIENCE)),
            None => Some(PATIENCE),
        }
    }

    /// Takes these drops, or as many of them as were still wanted.
    fn take(&mut self, portion: &mut Portion) {
        let Some(left) = &mut self.left else { return };
        let most = usize::try_from(*left).unwrap_or(usize::MAX);
        portion.drops.truncate(most);
        *left = left.saturating_sub(u64::try_from(portion.drops.len()).unwrap_or(u64::MAX));
    }
}

/// The drops as they come.
struct Live {
    client: Client,
    first: Option<Portion>,
    until: Until,
}

impl Live {
    /// The next ones; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<Portion>> {
        let Some(wait) = self.until.wait() else { return Ok(None) };
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.client.next(wait)?.map(portion).transpose()?,
        };
        let Some(mut portion) = next else {
            // No sign of life, although there was time for one.
            return if wait < PATIENCE { Ok(None) } else { Err(client::silent()) };
        };
        self.until.take(&mut portion);
        Ok(Some(portion))
    }
}

fn portion(answer: Response) -> anyhow::Result<Portion> {
    let Response::Events(portion) = answer else { return Err(client::unexpected()) };
    Ok(portion)
}

/// Tells once a line that something is missing.
struct Losses(u64);

impl Losses {
    fn tell(&mut self, lost: u64) {
        if lost > self.0 {
            complain(&format!(
                "{} drops are missing: they came faster than this takes them",
                lost - self.0
            ));
            self.0 = lost;
        }
    }
}

#[cfg(test)]
mod tests;
