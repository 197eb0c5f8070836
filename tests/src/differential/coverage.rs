//! How often each reason was met in each framing.

use std::{collections::BTreeMap, fmt};

use crate::oracle::framing::{Framing, Network, UNREACHABLE, impossible, reasons};

/// One thing to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub reason: u8,
    pub framing: Framing,
}

impl Cell {
    /// All that can be reached.
    pub fn all() -> impl Iterator<Item = Self> {
        reasons().flat_map(|reason| {
            let networks =
                Network::ALL.into_iter().filter(move |n| impossible(reason, *n).is_none());
            networks.flat_map(move |network| {
                (0..3).map(move |tags| Self { reason, framing: Framing { tags, network } })
            })
        })
    }
}

/// Counts by cell.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<Cell, u64>);

impl Coverage {
    pub(super) fn count(&mut self, cell: Cell) {
        *self.0.entry(cell).or_default() += 1;
    }

    pub fn of(&self, cell: Cell) -> u64 {
        self.0.get(&cell).copied().unwrap_or(0)
    }

    /// Reachable cells below a goal.
    pub fn below(&self, goal: u64) -> Vec<Cell> {
        Cell::all().filter(|cell| self.of(*cell) < goal).collect()
    }

    /// Cells that were reached although they are said to be impossible.
    pub fn surprising(&self) -> Vec<Cell> {
        let cells = self.0.keys().copied();
        cells.filter(|cell| impossible(cell.reason, cell.framing.network).is_some()).collect()
    }
}

/// A table of the least of the three numbers of tags, and why the others are empty.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}", "reason")?;
        let networks = Network::ALL.into_iter().filter(|network| *network != Network::Truncated);
        for network in networks.clone() {
            write!(f, " {:>12}", format!("{network:?}"))?;
        }
        writeln!(f)?;
        for reason in reasons() {
            write!(f, "{reason:>6}")?;
            for network in networks.clone() {
                let least =
                    (0..3).map(|tags| self.of(Cell { reason, framing: Framing { tags, network } }));
                match impossible(reason, network) {
                    Some(_) => write!(f, " {:>12}", "-")?,
                    None => write!(f, " {:>12}", least.min().unwrap_or(0))?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "Each number is the least of those without, with one and with two VLAN tags.")?;
        write_impossible(f)
    }
}

fn write_impossible(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nNot to be reached (-):")?;
    for (reason, why) in UNREACHABLE {
        writeln!(f, "  {reason} anywhere: {why}")?;
    }
    let mut whys: BTreeMap<(&str, Network), Vec<u8>> = BTreeMap::new();
    for network in Network::ALL {
        for reason in
            reasons().filter(|reason| UNREACHABLE.iter().all(|(number, _)| number != reason))
        {
            if let Some(why) = impossible(reason, network) {
                whys.entry((why, network)).or_default().push(reason);
            }
        }
    }
    for ((why, network), reasons) in whys {
        writeln!(f, "  {network:?} {why}: {reasons:?}")?;
    }
    Ok(())
}
