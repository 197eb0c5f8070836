//! The honest client under a flood, behind each wall, at rates that double. One processor belongs
//! to the generator; receiving, gateway, supplier and client share the other, as a flood and a
//! service share a core whose queue both arrive on.

mod generator;
mod honest;
mod meter;
mod walls;

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, Result, anyhow};
use gateway_tests::{
    client::{Client, Version},
    gateway::Gateway,
    lab::{HONEST, INTERFACE, Lab},
    packet::Transport,
    wait::pause,
};
use serde_json::{Value, json};

use self::{
    generator::Generator,
    honest::Served,
    meter::{Reading, Receiving},
};
use crate::{
    changes::ROOM,
    lists::{Family, HOSTS, Kind},
    machine,
    plan::{Pool, Progress},
};

pub(crate) use self::walls::Wall;

/// Where everything but the generator runs.
const SERVER: usize = 1;

/// Between the flood's start and the first request.
const SETTLE: Duration = Duration::from_millis(300);

/// Of the list, so many send: a large botnet's share, not every address anybody ever banned.
const BOTNET_HOSTS: u32 = 10_000;
const BOTNET_PREFIXES: u32 = 500;

/// What the flood is made of: SYNs to the served port, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// From banned hosts and prefixes.
    Banned,
    /// Every other one from a source nobody has seen or banned.
    Half,
}

/// One wall at one rate.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) wall: Wall,
    pub(crate) mix: Mix,
    pub(crate) rate: u64,
    pub(crate) served: Served,
    /// Of the generator, over the whole flood.
    pub(crate) progress: Progress,
    /// What the wall counts as dropped, over the whole flood.
    pub(crate) dropped: u64,
    /// While the client asked.
    pub(crate) reading: Reading,
    pub(crate) window: Duration,
    pub(crate) length: Duration,
}

impl Mix {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Banned => "banned sources",
            Self::Half => "half banned, half random sources",
        }
    }

    fn pools(self) -> Result<[Pool; 4]> {
        let [host, ..] = Kind::BannedHost.sources(Family::V4, HOSTS)?.pools;
        let [prefix, wider, ..] = Kind::BannedPrefix.sources(Family::V4, HOSTS)?.pools;
        let host = Pool { count: BOTNET_HOSTS, ..host };
        let [prefix, wider] = [prefix, wider].map(|pool| Pool { count: BOTNET_PREFIXES, ..pool });
        let [clear, ..] = Kind::Clear.sources(Family::V4, HOSTS)?.pools;
        Ok(match self {
            Self::Banned => [host, prefix, host, wider],
            Self::Half => [host, clear, prefix, clear],
        })
    }
}

impl Outcome {
    /// Share of the server's processor that receiving took.
    pub(crate) fn receiving(&self) -> f64 {
        self.reading.thread.as_secs_f64() / self.window.as_secs_f64()
    }

    /// Nanoseconds the receiving thread spent on a packet.
    pub(crate) fn per_packet(&self) -> f64 {
        let packets = u32::try_from(self.reading.received).unwrap_or(u32::MAX).max(1);
        self.reading.thread.as_secs_f64() * 1e9 / f64::from(packets)
    }

    /// What the generator sent, of what it was to send.
    pub(crate) fn sent_per_second(&self) -> u64 {
        let ms = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX).max(1);
        self.progress.sent.saturating_mul(1000) / ms
    }

    /// Of what was sent; what the wall does not count came through, or found the ring full.
    pub(crate) fn dropped_share(&self) -> f64 {
        let count = |packets: u64| f64::from(u32::try_from(packets).unwrap_or(u32::MAX));
        count(self.dropped) / count(self.progress.sent).max(1.0)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "wall": self.wall.name(),
            "flood": self.mix.name(),
            "offered_per_second": self.rate,
            "sent": self.progress.sent,
            "not_sent_in_time": self.progress.missed,
            "dropped_by_wall": self.dropped,
            "received_in_window": self.reading.received,
            "window_seconds": self.window.as_secs_f64(),
            "receiving_share": self.receiving(),
            "receiving_ns_per_packet": self.per_packet(),
            "processor_busy_share": self.reading.busy.as_secs_f64() / self.window.as_secs_f64(),
            "client": self.served.json(),
        })
    }
}

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) walls: Vec<Wall>,
    /// Packets a second.
    pub(crate) rates: Vec<u64>,
    /// How long a client asks under each.
    pub(crate) window: Duration,
}

/// Every wall, mix and rate.
pub(crate) fn measure(object: &Path, plan: &Plan) -> Result<Vec<Outcome>> {
    machine::pin(SERVER)?;
    let mut outcomes = Vec::new();
    for wall in &plan.walls {
        eprintln!("flood: {} …", wall.name());
        outcomes.extend(behind(*wall, object, plan).context(wall.name())?);
    }
    Ok(outcomes)
}

fn behind(wall: Wall, object: &Path, plan: &Plan) -> Result<Vec<Outcome>> {
    let mut lab = Lab::build()?;
    // It would cost every packet that comes through.
    lab.receiver.close();
    let mut settings = lab.settings();
    settings.interface = (wall == Wall::Gateway).then(|| INTERFACE.to_owned());
    ROOM.clone_into(&mut settings.kernel);
    "workers = 1\nanonymous = { rate = \"1000000/s\", burst = 1000000 }"
        .clone_into(&mut settings.proxy);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    wall.raise(&lab.inside, &gateway, &Family::V4.list(false)?)?;
    let mut bed = Bed {
        wall,
        receiving: Receiving::threaded(&lab.inside, INTERFACE, SERVER)?,
        client: lab.client(HONEST, Version::Http1)?,
        generator: Generator::load(object, &lab.wire(), Transport::TcpSyn)?,
        lab: &lab,
        gateway: &gateway,
        window: plan.window,
    };
    let mut outcomes = Vec::new();
    for mix in [Mix::Banned, Mix::Half] {
        for rate in &plan.rates {
            outcomes.push(bed.flood(mix, *rate)?);
        }
    }
    wall.raze(&lab.inside)?;
    Ok(outcomes)
}

/// One wall, standing.
struct Bed<'a> {
    wall: Wall,
    lab: &'a Lab,
    gateway: &'a Gateway<'a>,
    receiving: Receiving,
    client: Client,
    generator: Generator,
    window: Duration,
}

impl Bed<'_> {
    fn flood(&mut self, mix: Mix, rate: u64) -> Result<Outcome> {
        let (lab, pools) = (self.lab, mix.pools()?);
        let length = SETTLE + self.window + SETTLE;
        let before = self.wall.dropped(&lab.inside, self.gateway)?;
        let generator = &mut self.generator;
        let (client, receiving, window) = (&self.client, self.receiving, self.window);
        let (progress, served, reading) = thread::scope(|scope| {
            let flood = scope.spawn(|| generator.send(&lab.outside, &pools, rate, length));
            pause(generator::LEAD + SETTLE);
            let start = receiving.read(&lab.inside, INTERFACE, SERVER)?;
            let served = honest::ask(&lab.outside, client, window)?;
            let reading = receiving.read(&lab.inside, INTERFACE, SERVER)?.since(start);
            let progress = flood.join().map_err(|_panic| anyhow!("the generator panicked"))??;
            anyhow::Ok((progress, served, reading))
        })?;
        let dropped = self.wall.dropped(&lab.inside, self.gateway)?.saturating_sub(before);
        let wall = self.wall;
        Ok(Outcome { wall, mix, rate, served, progress, dropped, reading, window, length })
    }
}
