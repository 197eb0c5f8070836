//! What the audience reads: a line a second, and a table at the end.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use gateway_tests::{
    digits::thousands,
    gateway::Gateway,
    lab::Lab,
    load::{Served, Stuffing},
    receiver::Arrived,
};
use gateway_userspace::control::{Ban, Counter};

use crate::cast::{Cast, FLOOD, STUFFED};

/// One look at the kernel and behind it.
pub(crate) struct Snapshot {
    counters: Vec<Counter>,
    bans: u64,
    leaked: u64,
}

impl Snapshot {
    pub(crate) fn take(lab: &Lab, gateway: &Gateway<'_>) -> Result<Self> {
        let status = gateway.status()?;
        let leaked = lab.receiver.frames(FLOOD) + lab.receiver.frames(STUFFED);
        Ok(Self { counters: status.kernel.counters, bans: status.bans.used, leaked })
    }
}

/// The line of one second.
pub(crate) fn live(second: u64, cast: &Cast<'_>, now: &Snapshot) {
    let total = |of: fn(&Served) -> u64| -> u64 {
        cast.honest.iter().map(|(_, load)| of(&load.so_far())).sum()
    };
    let sent = cast.flood.as_ref().map_or(0, gateway_tests::inject::Flood::sent);
    println!(
        "{second:>3} s  honest served {:<7} failed {:<3} │ flood sent {:<8} dropped {:<8} leaked {} │ bans {}",
        thousands(total(|served| served.served)),
        total(|served| served.failed),
        thousands(sent),
        thousands(dropped(&now.counters)),
        now.leaked,
        now.bans,
    );
}

/// Packets of reasons that drop.
fn dropped(counters: &[Counter]) -> u64 {
    let passed = ["passed", "allowed", "arp", "panic_pass"];
    let drops = counters.iter().filter(|counter| !passed.contains(&counter.reason.as_str()));
    drops.map(|counter| counter.packets).sum()
}

/// The end of the play.
pub(crate) struct Report {
    pub(crate) attached: String,
    pub(crate) honest: Vec<(&'static str, Served)>,
    pub(crate) stuffing: Stuffing,
    pub(crate) strike_ban: Option<Ban>,
    pub(crate) counters: Vec<Counter>,
    pub(crate) control: u64,
    pub(crate) flooded: u64,
    pub(crate) stuffed: u64,
    /// Of the flood and of the banned guesser.
    pub(crate) leaked: [Arrived; 2],
    pub(crate) strike_to_map: Option<u64>,
    pub(crate) strike_to_drop: Option<u64>,
}

impl Report {
    fn leaked(&self) -> u64 {
        self.leaked.iter().map(|arrived| arrived.frames).sum()
    }

    /// The claims, and whether they held.
    fn verdicts(&self) -> [(&'static str, bool); 5] {
        let served = self.honest.iter().all(|(_, load)| load.served > 0 && load.failed == 0);
        [
            ("native XDP on the interface", self.attached == "native"),
            ("every honest request was served", served),
            ("the guesser was banned by its strikes", self.strike_ban.is_some()),
            ("attacks went on long enough to count", self.flooded > 1000 && self.stuffed > 0),
            ("no packet of a banned source got past XDP", self.leaked() == 0),
        ]
    }

    /// True if all the claims held.
    pub(crate) fn is_good(&self) -> bool {
        self.verdicts().iter().all(|(_, held)| *held)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", rule("requests"))?;
        for (name, load) in &self.honest {
            row(f, &format!("honest, {name}: served"), &thousands(load.served))?;
            row(f, &format!("honest, {name}: not served"), &thousands(load.failed))?;
            for why in &load.failures {
                row(f, "", why)?;
            }
        }
        for (status, count) in &self.stuffing.statuses {
            row(f, &format!("guessed keys: answered {status}"), &thousands(*count))?;
        }
        row(f, "guessed keys: then", &self.stuffing.ended)?;
        writeln!(f, "{}", rule("packets, as the kernel counted"))?;
        for counter in self.counters.iter().filter(|counter| counter.packets > 0) {
            row(f, &counter.reason, &thousands(counter.packets))?;
        }
        self.independent(f)?;
        writeln!(f, "{}", rule(""))?;
        for (claim, held) in self.verdicts() {
            writeln!(f, "  {} {claim}", if held { "✔" } else { "✘" })?;
        }
        Ok(())
    }
}

impl Report {
    /// What the lab saw with its own packet socket, and the times.
    fn independent(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}",
            rule("banned packets, counted behind XDP by a receiver of the lab's own")
        )?;
        row(f, "control, before the bans: sent = arrived", &thousands(self.control))?;
        row(f, "sent from banned prefixes", &thousands(self.flooded))?;
        row(f, "sent from the banned guesser", &thousands(self.stuffed))?;
        row(f, "leaked", &thousands(self.leaked()))?;
        for framing in self.leaked.iter().flat_map(Arrived::framings) {
            row(f, "", framing)?;
        }
        writeln!(f, "{}", rule("from the last strike"))?;
        if let Some(ban) = &self.strike_ban {
            row(f, "banned", &format!("{} for {}", ban.net, ban.reason))?;
        }
        row(f, "to the ban in the kernel's map", &microseconds(self.strike_to_map))?;
        row(f, "to the first dropped packet", &microseconds(self.strike_to_drop))
    }
}

fn row(f: &mut Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<44} {value:>12}")
}

fn rule(title: &str) -> String {
    let gap = if title.is_empty() { "" } else { " " };
    format!("── {title}{gap}{}", "─".repeat(74_usize.saturating_sub(title.chars().count())))
}

fn microseconds(number: Option<u64>) -> String {
    number.map_or("not measured".to_owned(), |number| format!("{} µs", thousands(number)))
}

/// The first value of a structured field in the guard's log, however it is written there.
pub(crate) fn latency(log: &str, field: &str) -> Option<u64> {
    let (_, rest) = log.split_once(field)?;
    let start = rest.find(|letter: char| letter.is_ascii_digit())?;
    let digits = rest.get(start..)?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_text_and_json() {
        assert_eq!(latency("INFO ban strike_to_map_us=183 ttl=60s", "strike_to_map_us"), Some(183));
        assert_eq!(latency("{\"strike_to_map_us\":183}", "strike_to_map_us"), Some(183));
        assert_eq!(latency("nothing", "strike_to_map_us"), None);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
