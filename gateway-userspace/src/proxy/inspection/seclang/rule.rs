//! A rule as it runs, and a set of them.

use std::sync::Arc;

use super::{
    action::{Actions, Engine, Whose},
    matcher::{Matcher, Probe},
    variable::{Pick, Target, Variable},
    words::Words,
};
use crate::proxy::inspection::{operator::Operator, transform::Transformation};

/// Phases of a transaction: request head, request body, response head, response body, end.
pub(super) const PHASES: usize = 5;

/// Where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
}

/// One rule; those chained to it stand inside.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    /// Of the chain's first, which alone has one.
    pub(super) id: u64,
    /// Empty is a `SecAction`, which always matches, once.
    pub(super) targets: Vec<Target>,
    pub(super) negated: bool,
    pub(super) operator: Operator,
    /// The operator's argument, where it has values in it.
    pub(super) argument: Option<Words>,
    pub(super) transformations: Vec<Transformation>,
    pub(super) actions: Actions,
    pub(super) next: Option<Box<Rule>>,
    /// How the matcher finds it; set when all rules are known.
    pub(super) plan: Plan,
}

/// What of a rule's work is shared with others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    /// The number of its list of targets, where their values stay what they are.
    pub(super) list: Option<usize>,
    /// The number of its transformations.
    pub(super) chain: usize,
    /// The number of both together.
    pub(super) pair: usize,
    pub(super) probe: Option<Probe>,
}

/// What a phase runs, in order.
#[derive(Debug)]
pub(super) enum Item {
    Rule(Box<Rule>),
    Marker(String),
}

/// How much of bodies is looked at, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bodies {
    pub(crate) request: bool,
    pub(crate) response: bool,
    /// Media types of answers whose bodies are looked at.
    pub(crate) response_types: Vec<String>,
    pub(crate) arguments: usize,
}

/// Something an operator of the gateway should know of a set that is good otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub(super) origin: Origin,
    pub(super) what: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.origin.file, self.origin.line, self.what)
    }
}

/// Rules, ready to run.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) phases: [Vec<Item>; PHASES],
    pub(super) engine: Engine,
    pub(super) bodies: Bodies,
    pub(super) signatures: Vec<String>,
    pub(super) notes: Vec<Note>,
    /// Lists of targets whose values stay what they are, by number.
    pub(super) lists: Vec<Vec<Target>>,
    /// Transformations, by number.
    pub(super) chains: Vec<Vec<Transformation>>,
    /// List and chain, by number.
    pub(super) pairs: Vec<(usize, usize)>,
    pub(super) matcher: Matcher,
    /// Seconds after which what is kept without a time of its own is gone.
    pub(super) collection_timeout: u64,
}

impl RuleSet {
    /// Rules that have a number; those chained to them are part of them.
    pub fn len(&self) -> usize {
        let items = self.phases.iter().flatten();
        items.filter(|item| matches!(item, Item::Rule(_))).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `SecComponentSignature` says of itself.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

impl Rule {
    /// The rule and all that are chained to it.
    pub(super) fn links(&self) -> impl Iterator<Item = &Rule> {
        std::iter::successors(Some(self), |rule| rule.next.as_deref())
    }

    /// Whether the values of its targets stay what they are while rules run.
    pub(super) fn is_fixed(&self) -> bool {
        self.targets.iter().all(|target| match target {
            Target::Values(pick) => pick.variable.is_fixed(),
            // How many there are is asked anew.
            Target::Count(_) => false,
            Target::Not(_) => true,
        })
    }
}

impl Whose {
    pub(super) fn is(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ranges) => within(ranges, rule.id),
            Self::Tag(tag) => rule.actions.tags.contains(tag),
            Self::Message(message) => {
                rule.actions.message.as_ref().and_then(Words::plain) == Some(message)
            }
        }
    }
}

/// Whether one of these ranges has the id.
pub(super) fn within(ranges: &[(u64, u64)], id: u64) -> bool {
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&id))
}

/// Whether a pick takes a value of a variable.
pub(super) fn takes(pick: &Pick, variable: Variable, key: &[u8]) -> bool {
    pick.variable == variable && pick.selector.takes(key)
}
