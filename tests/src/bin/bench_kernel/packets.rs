//! Nanoseconds a packet: an empty program, the filter and xdp-filter in turn, round after round,
//! so that whatever else the machine does meets all three alike.

use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::programs::ProgramFd;
use nix::unistd::gettid;
use serde_json::{Value, json};

use crate::{
    lists::{self, Family, HOSTS, Kind, PREFIXES, Sources},
    machine,
    ours::{self, Ours},
    peer::{SHIPPED_ENTRIES, XdpFilter},
    programs::{Bench, Subject},
};

/// `xdp_action` numbers.
const DROP: u32 = 1;
const PASS: u32 = 2;

/// Sizes of the list; the last has prefixes too.
const SIZES: [u32; 4] = [0, 1000, 100_000, HOSTS];

/// Packets looked at one by one before a cell is measured.
const CHECKED: u32 = 200;

/// Of those, so many percent must be judged as the cell says: a neighbour of one ban is now and
/// then another ban.
const AGREEMENT: u32 = 98;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) repeat: u32,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) family: Family,
    pub(crate) hosts: u32,
    pub(crate) prefixes: u32,
    pub(crate) kind: Kind,
    /// Whether each packet has another source.
    pub(crate) rotating: bool,
    pub(crate) empty: f64,
    pub(crate) ours: f64,
    /// It has no prefixes to ban by.
    pub(crate) xdp_filter: Option<f64>,
}

impl Cell {
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.xdp_filter.map(|peer| self.ours / peer)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "family": self.family.name(),
            "hosts": self.hosts,
            "prefixes": self.prefixes,
            "packet": self.kind.name(),
            "sources": if self.rotating { "rotating" } else { "hot" },
            "empty_ns": self.empty,
            "gateway_ns": self.ours,
            "xdp_filter_ns": self.xdp_filter,
            "ratio": self.ratio(),
        })
    }
}

/// Both filters and the bench's own programs, one object for each target of a tail call.
struct Bed {
    ours: Ours,
    peer: XdpFilter,
    empty: Bench,
    rotators: [Bench; 3],
    effort: Effort,
}

/// Every cell.
pub(crate) fn measure(object: &Path, effort: Effort) -> Result<Vec<Cell>> {
    machine::pin(0)?;
    let mut bed = Bed {
        ours: Ours::open()?,
        peer: XdpFilter::load(SHIPPED_ENTRIES)?,
        empty: Bench::load(object)?,
        rotators: [Bench::load(object)?, Bench::load(object)?, Bench::load(object)?],
        effort,
    };
    bed.ours.ask(lists::peers().map(|peer| Kind::Answer.frame(peer)))?;
    let mut cells = Vec::new();
    for hosts in SIZES {
        let prefixes = if hosts == HOSTS { PREFIXES } else { 0 };
        eprintln!("packets: {hosts} hosts, {prefixes} prefixes …");
        bed.fill(hosts, prefixes)?;
        for family in [Family::V4, Family::V6] {
            for kind in kinds(hosts, prefixes) {
                cells.push(bed.cell(family, hosts, prefixes, kind, false)?);
                cells.push(bed.cell(family, hosts, prefixes, kind, true)?);
            }
        }
    }
    Ok(cells)
}

fn kinds(hosts: u32, prefixes: u32) -> Vec<Kind> {
    use Kind::{Answer, BannedHost, BannedPrefix, BesideHost, BesidePrefix, Clear, Syn};
    let all = [Clear, Syn, Answer, BesideHost, BesidePrefix, BannedHost, BannedPrefix];
    let fits = |kind: &Kind| {
        (hosts > 0 || !kind.needs_hosts())
            && (prefixes > 0 || !kind.needs_prefixes() && !kind.needs_full_list())
    };
    all.into_iter().filter(fits).collect()
}

impl Bed {
    /// The same list for both, as far as xdp-filter can.
    fn fill(&mut self, hosts: u32, prefixes: u32) -> Result<()> {
        let mut nets = Vec::new();
        for family in [Family::V4, Family::V6] {
            nets.extend(family.hosts(0..hosts));
            if prefixes > 0 {
                nets.extend(family.all_prefixes(false)?);
            }
        }
        self.ours.set(&nets)?;
        if hosts > SHIPPED_ENTRIES {
            self.peer = XdpFilter::load(HOSTS)?;
        }
        self.peer.deny(nets.into_iter().filter(|net| net.prefix_len() == net.max_prefix_len()))
    }

    fn cell(
        &mut self,
        family: Family,
        hosts: u32,
        prefixes: u32,
        kind: Kind,
        rotating: bool,
    ) -> Result<Cell> {
        let sources = kind.sources(family, hosts)?;
        check(&self.ours, &sources, kind).context("the filter")?;
        let frames = hot_frames(&sources, &self.ours, kind, self.effort.rounds)?;
        let times = if rotating {
            self.rotating(&sources, kind, &frames)?
        } else {
            self.hot(&sources, kind, &frames)?
        };
        let [empty, ours] = [times.first(), times.get(1)].map(|time| time.copied().unwrap_or(0.0));
        let xdp_filter = times.get(2).copied();
        Ok(Cell { family, hosts, prefixes, kind, rotating, empty, ours, xdp_filter })
    }

    /// One source a round: the empty program, the filter, and xdp-filter if it can do this.
    fn hot(&mut self, sources: &Sources, kind: Kind, frames: &[Vec<u8>]) -> Result<Vec<f64>> {
        let mut subjects: Vec<&dyn Subject> = vec![self.empty.empty()?, &self.ours];
        if kind != Kind::BannedPrefix {
            let peer = self.peer.program()?;
            check(peer, sources, kind).context("xdp-filter")?;
            subjects.push(peer);
        }
        interleave(&subjects, frames, self.effort)
    }

    /// The same behind the program that rewrites the source. What the rewriting costs shows with
    /// the empty program behind it, and is taken off.
    fn rotating(&mut self, sources: &Sources, kind: Kind, frames: &[Vec<u8>]) -> Result<Vec<f64>> {
        let empty = self.empty.empty()?;
        let mut targets: Vec<ProgramFd> = vec![empty.fd()?.try_clone()?, ours::program()?];
        if kind != Kind::BannedPrefix {
            targets.push(self.peer.program()?.fd()?.try_clone()?);
        }
        let mut subjects: Vec<&dyn Subject> = vec![empty];
        for (rotator, target) in self.rotators.iter_mut().zip(&targets) {
            rotator.draw_from(&sources.pools)?;
            subjects.push(rotator.rotating(target)?);
        }
        let times = interleave(&subjects, frames, self.effort)?;
        let (Some((plain, behind)), Some(base)) = (times.split_first(), times.get(1)) else {
            bail!("nothing was measured");
        };
        Ok(behind.iter().map(|time| time - base + plain).collect())
    }
}

/// Packets of this kind get the answer the list means them to have.
fn check(program: &dyn Subject, sources: &Sources, kind: Kind) -> Result<()> {
    let mut agreed = 0;
    for number in 1..=CHECKED {
        let frame = kind.frame(sources.of(number.into()));
        agreed += u32::from(is_right(program.run(&frame, 1)?.0, kind));
    }
    if agreed * 100 < CHECKED * AGREEMENT {
        bail!("judges only {agreed} of {CHECKED} packets as it should: {}", kind.name());
    }
    Ok(())
}

fn is_right(action: u32, kind: Kind) -> bool {
    action == if kind.is_banned() { DROP } else { PASS }
}

/// A frame for each round, of different sources: one bucket of a hash is not like another.
fn hot_frames(
    sources: &Sources,
    judge: &dyn Subject,
    kind: Kind,
    rounds: u32,
) -> Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    let mut number = 0_u64;
    while frames.len() < rounds as usize {
        number += 1;
        let frame = kind.frame(sources.of(number));
        if is_right(judge.run(&frame, 1)?.0, kind) {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Each program once a round; the mean of the middle half of its rounds.
fn interleave(programs: &[&dyn Subject], frames: &[Vec<u8>], effort: Effort) -> Result<Vec<f64>> {
    machine::real_time(gettid())?;
    let mut times = vec![Vec::new(); programs.len()];
    for frame in frames {
        for (program, times) in programs.iter().zip(&mut times) {
            let (_, time) = program.run(frame, effort.repeat)?;
            times.push(u32::try_from(time.as_nanos())?);
        }
    }
    machine::ordinary(gettid())?;
    Ok(times.into_iter().map(middle_mean).collect())
}

/// Rounds that something disturbed are at the ends.
fn middle_mean(mut times: Vec<u32>) -> f64 {
    times.sort_unstable();
    let quarter = times.len() / 4;
    let middle = times.get(quarter..times.len() - quarter).unwrap_or_default();
    let sum: u32 = middle.iter().sum();
    f64::from(sum) / f64::from(u32::try_from(middle.len()).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_forgets_what_was_disturbed() {
        assert!((middle_mean(vec![30, 31, 900, 29, 30, 31, 30, 12]) - 30.25).abs() < 1e-9);
        assert!((middle_mean(vec![7]) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_list_without_prefixes_bans_no_prefix() {
        assert_eq!(kinds(0, 0), [Kind::Clear]);
        assert_eq!(kinds(10, 0), [Kind::Clear, Kind::BesideHost, Kind::BannedHost]);
        assert_eq!(kinds(10, 10).len(), 7);
    }
}
