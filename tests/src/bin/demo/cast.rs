//! Who plays: honest clients, a flood from banned prefixes, a guesser of keys.

use std::{thread::JoinHandle, time::Duration};

use anyhow::{Context, Result, anyhow};
use gateway_tests::{
    client::{Ask, Version},
    gateway::Gateway,
    inject::{Bound, Flood},
    lab::{FLOOD_V4, FLOOD_V6, HONEST, HONEST_H2, INTERFACE, Lab, STUFFER},
    load::{Load, Pace, Stuffing, stuff},
    netns::runtime,
    packet::{FRAMINGS, Mark, V4_FRAMINGS, frame},
    settings::Settings,
    wait::{pause, until},
};

use crate::report::{Report, latency};

/// Flows of marked frames.
pub(crate) const CONTROL: u16 = 1;
pub(crate) const FLOOD: u16 = 2;
pub(crate) const STUFFED: u16 = 3;

const PACE: Pace = Pace { connections: 8, per_second: 50, reuse: true };

/// Packets a second from the banned prefixes, in all framings.
const FLOOD_RATE: u64 = 20_000;

/// Packets a second from the guesser's address once it is banned.
const STUFFED_RATE: u64 = 500;

/// More guesses than a ban takes.
const GUESSES: u32 = 500;

/// Honest clients here ask more than one address would in life.
pub(crate) fn adjust(settings: &mut Settings) {
    settings.proxy.push_str("\nanonymous = { rate = \"5000/s\", burst = 10000 }");
}

/// Everybody on the stage.
pub(crate) struct Cast<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) gateway: &'a Gateway<'a>,
    pub(crate) honest: Vec<(&'static str, Load)>,
    pub(crate) flood: Option<Flood>,
    pub(crate) stuffed: Option<Flood>,
    stuffing: Option<JoinHandle<Result<Stuffing>>>,
    key: String,
    control: u64,
    attached: String,
}

impl<'a> Cast<'a> {
    pub(crate) fn assemble(lab: &'a Lab, gateway: &'a Gateway<'a>) -> Result<Self> {
        let interfaces = gateway.status()?.kernel.interfaces;
        let attached = interfaces.first().context("the filter guards no interface")?;
        Ok(Self {
            lab,
            gateway,
            honest: Vec::new(),
            flood: None,
            stuffed: None,
            stuffing: None,
            key: gateway.new_key("customers", "honest")?,
            control: 0,
            attached: attached.attached.clone(),
        })
    }

    /// What stands where.
    pub(crate) fn scene(&self) -> Result<String> {
        let status = self.gateway.status()?;
        Ok(format!(
            "  world (attackers, clients) ══ veth ══ {INTERFACE} [{} XDP] ─ gateway ─ origin\n  \
             guard {} (root), proxy {} (gateway-proxy, no capabilities), kernel layout {}",
            self.attached, status.guard_pid, status.proxy.pid, status.kernel.layout
        ))
    }

    /// Both protocols, with a key, over TLS, to both kinds of supplier.
    pub(crate) fn honest_clients(&mut self) -> Result<()> {
        println!("   ▸ honest clients with an API key, over TLS: HTTP/1.1 and h2");
        for (name, source, version, path) in [
            ("HTTP/1.1", HONEST, Version::Http1, "/private/order"),
            ("h2", HONEST_H2, Version::H2, "/h2/order"),
        ] {
            let ask = Ask::get(path).with("x-api-key", &self.key);
            let client = self.lab.client(source, version)?;
            self.honest.push((name, Load::start(&self.lab.outside, client, ask, PACE)));
        }
        Ok(())
    }

    /// First every framing once, unbanned: what counts leaks must see them all.
    pub(crate) fn ban_and_flood(&mut self, seconds: u64) -> Result<()> {
        let sent = u64::try_from(self.lab.send_each_framing(CONTROL)?)?;
        until("the control frames", Duration::from_secs(5), || {
            (self.lab.receiver.frames(CONTROL) == sent).then_some(())
        })?;
        self.control = sent;
        for net in [FLOOD_V4, FLOOD_V6] {
            self.gateway.must(&["block", "add", net, "--ttl", "1h", "--note", "demo"])?;
        }
        println!(
            "   ▸ {FLOOD_V4} and {FLOOD_V6} banned; they flood with UDP, SYN, ICMP, VLANs, fragments"
        );
        let bound = Bound { frames: FLOOD_RATE * seconds, per_second: FLOOD_RATE };
        self.flood = Some(self.lab.flood(FLOOD, bound)?);
        Ok(())
    }

    /// Guesses keys until nobody answers.
    pub(crate) fn stuffing(&mut self) -> Result<()> {
        println!("   ▸ {STUFFER} tries stolen keys, one after the other");
        let mut client = self.lab.client(STUFFER, Version::Http1)?;
        client.patience = Duration::from_secs(3);
        self.stuffing = Some(self.lab.outside.spawn(move || {
            runtime()?.block_on(async { Ok(stuff(&client, "/private/order", GUESSES).await) })
        }));
        Ok(())
    }

    /// Once the guesser is banned, its address sends numbered frames too: none may arrive.
    pub(crate) fn follow_up(&mut self) -> Result<()> {
        if self.stuffed.is_some() || self.stuffing.is_none() || !self.stuffer_is_banned()? {
            return Ok(());
        }
        println!("   ▸ {STUFFER} is banned in the kernel; it goes on with raw packets");
        let wire = self.lab.wire();
        let bound = Bound { frames: STUFFED_RATE * 600, per_second: STUFFED_RATE };
        let flood = Flood::start(self.lab.injector()?, bound, move |sequence| {
            let index = usize::try_from(sequence).unwrap_or(0) % V4_FRAMINGS;
            let Some(framing) = FRAMINGS.get(index) else { return Vec::new() };
            let framing_number = u16::try_from(index).unwrap_or(0);
            let mark = Mark { flow: STUFFED, framing: framing_number, sequence };
            frame(&wire, framing, STUFFER, mark)
        });
        self.stuffed = Some(flood);
        Ok(())
    }

    fn stuffer_is_banned(&self) -> Result<bool> {
        let bans = self.gateway.bans()?;
        Ok(bans.iter().any(|ban| ban.source == "strike" && ban.net.contains(&STUFFER)))
    }

    /// Everybody stops; what it came to.
    pub(crate) fn finish(self) -> Result<Report> {
        let stop = |flood: Option<Flood>| flood.map_or(Ok(0), Flood::stop);
        let (flooded, stuffed) = (stop(self.flood)?, stop(self.stuffed)?);
        let mut honest = Vec::new();
        for (name, load) in self.honest {
            honest.push((name, load.stop()?));
        }
        let stuffing = self.stuffing.context("the guesser never came on")?;
        let stuffing = stuffing.join().map_err(|_panic| anyhow!("the guesser panicked"))??;
        // A frame on its way is not yet a frame that was dropped.
        pause(Duration::from_millis(500));
        let status = self.gateway.status()?;
        let log = self.gateway.folders.log();
        Ok(Report {
            attached: self.attached,
            honest,
            stuffing,
            strike_ban: self.gateway.bans()?.into_iter().find(|ban| ban.source == "strike"),
            counters: status.kernel.counters,
            control: self.control,
            flooded,
            stuffed,
            leaked: [FLOOD, STUFFED].map(|flow| self.lab.receiver.arrived(flow)),
            strike_to_map: latency(&log, "strike_to_map_us"),
            strike_to_drop: latency(&log, "strike_to_drop_us"),
        })
    }
}
