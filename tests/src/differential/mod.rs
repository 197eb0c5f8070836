//! The filter beside the oracle: random packets in random worlds, judged by both.
//!
//! [`scene`] draws a world by its [`theme`] (its [`hosts`] and lists, a policy, limits), [`recipe`]
//! draws packets ([`draft`], [`asking`], [`wrap`], [`spoilt`]), [`subject`] is the real program,
//! [`coverage`] counts what was reached.

mod asking;
mod coverage;
mod dice;
mod draft;
mod flows;
mod hosts;
mod recipe;
mod scene;
mod spoilt;
mod subject;
mod theme;
mod wrap;

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use anyhow::{Context as _, Result};
use gateway_userspace::clock;

pub use self::coverage::{Cell, Coverage};
use self::{
    dice::Dice,
    flows::Sockets,
    scene::Scene,
    subject::{Counts, Subject, growth},
    theme::Theme,
};
use crate::{
    netns::Namespace,
    oracle::{
        judge::{Outcome, judge},
        reading::read,
    },
};

/// How much is to be tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub packets: usize,
    /// While cells are met less than the goal, up to so many.
    pub at_most: usize,
    /// Packets in each world.
    pub per_world: usize,
    /// What each cell should be met, for the choice of packets.
    pub goal: u64,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    pub packets: usize,
    pub worlds: usize,
    pub coverage: Coverage,
    /// Packets that oracle and filter disagree about.
    pub differences: usize,
    /// How many there are of each kind.
    pub kinds: BTreeMap<String, usize>,
    /// The first of each kind, in words.
    pub examples: Vec<String>,
}

/// Differences that are told in full.
const EXAMPLES: usize = 20;

/// Frames between two readings of the counters.
const BATCH: usize = 32;

/// Candidates of which the one is tried that was met least.
const CANDIDATES: usize = 2;

/// Runs a plan in a namespace of its own; tells how far it is after each world.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Report) + Send) -> Result<Report> {
    let namespace = Namespace::create("differential")?;
    flows::prepare(&namespace)?;
    namespace.run(|| {
        let sockets = Sockets::connect()?;
        let mut trial = Trial::new(plan, &sockets)?;
        while !trial.is_done() {
            trial.world()?;
            progress(&trial.report);
        }
        Ok(trial.report)
    })
}

/// A frame, and what the oracle says.
struct Case {
    frame: Vec<u8>,
    cell: Cell,
    outcome: Outcome,
}

/// A difference.
enum Found<'a> {
    /// What the filter told of a case.
    Told(&'a Case, Vec<Outcome>),
    /// The counters differ, and no case by itself does.
    Counted(String),
}

struct Trial<'a> {
    plan: &'a Plan,
    sockets: &'a Sockets,
    dice: Dice,
    /// For all worlds that use nothing up.
    shared: Option<Subject>,
    pins: std::path::PathBuf,
    turn: usize,
    cells: Vec<Cell>,
    /// Those of them that this world may meet and that were not met enough.
    wanted: Vec<Cell>,
    report: Report,
}

impl<'a> Trial<'a> {
    fn new(plan: &'a Plan, sockets: &'a Sockets) -> Result<Self> {
        let pins = subject::pins();
        Ok(Self {
            plan,
            sockets,
            dice: Dice::new(plan.seed),
            shared: Some(Subject::open(&scene::plain(&pins))?),
            pins,
            turn: 0,
            cells: Cell::all().collect(),
            wanted: Vec::new(),
            report: Report::default(),
        })
    }

    fn is_done(&self) -> bool {
        let Report { packets, coverage, .. } = &self.report;
        *packets >= self.plan.packets
            && (*packets >= self.plan.at_most || coverage.below(self.plan.goal).is_empty())
    }

    /// The next in turn that still has something to show.
    fn theme(&mut self, wanted: &[Cell]) -> Theme {
        for _ in 0..Theme::TURNS {
            self.turn += 1;
            let theme = Theme::of(self.turn);
            if wanted.iter().any(|cell| theme.is_about(cell.reason)) {
                return theme;
            }
        }
        self.turn += 1;
        Theme::of(self.turn)
    }

    fn world(&mut self) -> Result<()> {
        let mut wanted = self.report.coverage.below(self.plan.goal);
        let theme = self.theme(&wanted);
        self.report.worlds += 1;
        let own = theme.uses_up().then(subject::pins);
        let pins = own.as_ref().unwrap_or(&self.pins);
        let scene = Scene::draw(theme, pins, self.sockets, &mut self.dice);
        wanted.retain(|cell| scene.may_meet(cell.reason));
        self.wanted = wanted;
        if theme.uses_up() {
            let mut subject = Subject::open(&scene.kernel)?;
            if !subject.use_up(&scene, &mut self.dice)? {
                return Ok(());
            }
            subject.set(&scene)?;
            let is_guarded = theme.is_guarded();
            let until =
                is_guarded.then(|| subject.close_guard(&scene, &mut self.dice)).transpose()?;
            return self.packets(&subject, &scene, until);
        }
        let mut shared = self.shared.take().context("the shared filter is in use")?;
        shared.set(&scene)?;
        let outcome = self.packets(&shared, &scene, None);
        self.shared = Some(shared);
        outcome
    }

    /// Up to a point in time, from which on the filter may judge otherwise.
    fn packets(&mut self, subject: &Subject, scene: &Scene, until: Option<Instant>) -> Result<()> {
        let end = self.report.packets + self.plan.per_world;
        while self.report.packets < end {
            let cases: Vec<Case> = (0..BATCH).map(|_| self.case(scene)).collect();
            let found = Self::compare(subject, &cases)?;
            if until.is_some_and(|until| clock::now() > until) {
                return Ok(());
            }
            for found in found {
                self.differ(scene, found);
            }
            for case in &cases {
                self.report.coverage.count(case.cell);
            }
            self.report.packets += cases.len();
        }
        Ok(())
    }

    /// The candidate whose cell was met least, now and then any.
    fn case(&mut self, scene: &Scene) -> Case {
        let mut best = self.candidate(scene);
        for _ in 1..CANDIDATES {
            let other = self.candidate(scene);
            let rarer = self.report.coverage.of(other.cell) < self.report.coverage.of(best.cell);
            if rarer && self.dice.percent(90) {
                best = other;
            }
        }
        best
    }

    fn candidate(&mut self, scene: &Scene) -> Case {
        loop {
            let any = self.wanted.is_empty() || self.dice.percent(10);
            let from = if any { &self.cells } else { &self.wanted };
            let Some(target) = self.dice.choose(from).copied() else { continue };
            let frame = recipe::frame(scene, target.reason, target.framing, &mut self.dice);
            let reading = read(&frame);
            if frame.len() < 14 || !scene.is_settled(reading.source) {
                continue;
            }
            let outcome = judge(&scene.world, &reading);
            let cell = Cell { reason: outcome.reason, framing: reading.framing };
            return Case { frame, cell, outcome };
        }
    }

    /// Verdict by verdict, and the counters of all together; one by one where these differ.
    fn compare<'c>(subject: &Subject, cases: &'c [Case]) -> Result<Vec<Found<'c>>> {
        let before = subject.counts()?;
        let mut expected = Counts::new();
        let mut is_same = true;
        for case in cases {
            is_same &= subject.action(&case.frame)? == case.outcome.action;
            let count = expected.entry(case.outcome.reason).or_default();
            count.0 += 1;
            count.1 += u64::try_from(case.frame.len())?;
            count.2 += u64::from(case.outcome.in_shadow);
        }
        let counted = growth(&before, &subject.counts()?);
        if is_same && counted == expected {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for case in cases {
            let told = subject.judge(&case.frame)?;
            if told != [case.outcome] {
                found.push(Found::Told(case, told));
            }
        }
        if found.is_empty() {
            let words = format!("counted {counted:?} instead of {expected:?}, and not again");
            found.push(Found::Counted(words));
        }
        Ok(found)
    }

    fn differ(&mut self, scene: &Scene, found: Found<'_>) {
        self.report.differences += 1;
        let (case, told) = match found {
            Found::Told(case, told) => (case, told),
            Found::Counted(words) => return self.report.examples.push(words),
        };
        let kind = format!("oracle {:?}, filter {told:?}", case.outcome);
        let known = self.report.kinds.entry(kind).or_default();
        *known += 1;
        if *known > 1 || self.report.examples.len() >= EXAMPLES {
            return;
        }
        let mut words = String::new();
        let mut hex = String::new();
        for byte in &case.frame {
            let _always_room = write!(hex, "{byte:02x}");
        }
        let _always_room = writeln!(words, "oracle {:?}\nfilter {told:?}", case.outcome);
        let _always_room = writeln!(words, "{:?}\n{hex}\n{:?}", read(&case.frame), scene.world);
        self.report.examples.push(words);
    }
}
