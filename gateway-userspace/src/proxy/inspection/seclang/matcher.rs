//! One search of a value for all rules at once. What most values need is to be told that no rule
//! can match them, so that is what costs least: a value is searched once for the literals and
//! once for the expressions of all rules, whatever the rule that asks first; only rules that one of
//! both points to are run by themselves.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::{
    rule::{Item, Rule, RuleSet},
    variable::Target,
};
use crate::proxy::inspection::{operator::Operator, transform::Transformation};

/// Rules of requests, and of responses: neither's values are searched for the other's.
pub(super) const SIDES: usize = 2;

/// Paranoia levels have searches of their own: at level 1, which most run, those of 4 cost nothing.
const LEVELS: usize = 5;

/// A literal shorter than this is in every other value.
const LITERAL: usize = 3;

/// Literals of one expression that are searched for in its place, at most.
const LITERALS: usize = 64;

/// Bytes of a compiled set and of what it keeps while it searches.
const SET_BYTES: usize = 256 << 20;
const STATE_BYTES: usize = 32 << 20;

/// How a rule is found: the number of a search, and of an answer in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) search: usize,
    pub(super) number: usize,
}

/// Every search.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    searches: Vec<Search>,
}

#[derive(Debug)]
enum Search {
    /// And which probes each literal points to.
    Literals(Box<AhoCorasick>, Vec<Vec<u32>>),
    Expressions(Box<RegexSet>),
    Nothing,
}

/// Which probes of a search a value meets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Met {
    words: Vec<u64>,
}

impl Met {
    pub(super) fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn add(&mut self, number: usize) {
        if self.words.len() <= number / 64 {
            self.words.resize(number / 64 + 1, 0);
        }
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }
}

impl Matcher {
    /// Searches a value.
    pub(super) fn search(&self, search: usize, value: &[u8]) -> Met {
        let mut met = Met::default();
        match self.searches.get(search) {
            Some(Search::Literals(all, points)) => {
                for found in all.find_overlapping_iter(value) {
                    let numbers = points.get(found.pattern().as_usize()).into_iter().flatten();
                    numbers.for_each(|number| met.add(*number as usize));
                }
            }
            Some(Search::Expressions(set)) => {
                set.matches(value).into_iter().for_each(|number| met.add(number));
            }
            Some(Search::Nothing) | None => {}
        }
        met
    }
}

/// Gathers what is searched for.
#[derive(Debug, Default)]
struct Builder {
    sides: [Side; SIDES],
}

#[derive(Debug, Default)]
struct Side {
    literals: HashMap<Vec<u8>, Vec<u32>>,
    probes: u32,
    expressions: [Vec<String>; LEVELS],
}

/// The number of a search: literals of a side first, then its levels.
fn number(side: usize, level: Option<usize>) -> usize {
    side * (LEVELS + 1) + level.map_or(0, |level| level + 1)
}

impl Builder {
    fn probe(&mut self, side: usize, rule: &Rule, level: usize) -> Option<Probe> {
        let searches = self.sides.get_mut(side)?;
        if let Some(literals) = searchable(&rule.operator) {
            let probe = searches.probes;
            searches.probes += 1;
            for literal in literals {
                searches.literals.entry(literal).or_default().push(probe);
            }
            return Some(Probe { search: number(side, None), number: probe as usize });
        }
        let pattern = rule.operator.linear_pattern()?;
        let expressions = searches.expressions.get_mut(level)?;
        let known = expressions.iter().position(|known| known == pattern);
        let at = known.unwrap_or(expressions.len());
        if known.is_none() {
            expressions.push(pattern.to_owned());
        }
        Some(Probe { search: number(side, Some(level)), number: at })
    }

    fn build(self) -> Result<Matcher, String> {
        let mut searches = Vec::new();
        for side in self.sides {
            let (literals, points): (Vec<_>, Vec<_>) = side.literals.into_iter().unzip();
            searches.push(literal_search(&literals, points)?);
            for expressions in side.expressions {
                searches.push(expression_search(&expressions)?);
            }
        }
        Ok(Matcher { searches })
    }
}

/// The literals that stand for an operator, if they are few and long enough to say something.
fn searchable(operator: &Operator) -> Option<Vec<Vec<u8>>> {
    let literals = operator.literals()?;
    let phrases = operator.linear_pattern().is_none();
    let good = |literal: &Vec<u8>| literal.len() >= LITERAL;
    (!literals.is_empty() && (phrases || (literals.len() <= LITERALS && literals.iter().all(good))))
        .then_some(literals)
}

fn literal_search(literals: &[Vec<u8>], points: Vec<Vec<u32>>) -> Result<Search, String> {
    if literals.is_empty() {
        return Ok(Search::Nothing);
    }
    let all = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(literals)
        .map_err(|error| format!("cannot search for all literals at once: {error}"))?;
    Ok(Search::Literals(Box::new(all), points))
}

fn expression_search(expressions: &[String]) -> Result<Search, String> {
    if expressions.is_empty() {
        return Ok(Search::Nothing);
    }
    let set = RegexSetBuilder::new(expressions)
        .unicode(false)
        .size_limit(SET_BYTES)
        .dfa_size_limit(STATE_BYTES)
        .build()
        .map_err(|error| format!("cannot search for all expressions at once: {error}"))?;
    Ok(Search::Expressions(Box::new(set)))
}

impl RuleSet {
    /// Finds what rules share, and builds the searches.
    pub(super) fn plan(&mut self) -> Result<(), String> {
        let (mut builder, mut shared) = (Builder::default(), Shared::default());
        for (phase, items) in self.phases.iter_mut().enumerate() {
            let side = usize::from(phase >= 2);
            for item in items {
                let Item::Rule(first) = item else { continue };
                let level = level(&first.actions.tags);
                let mut link = Some(&mut **first);
                while let Some(rule) = link {
                    rule.plan.chain = place(&mut shared.chains, &rule.transformations);
                    let searched = rule.is_fixed() && !rule.targets.is_empty();
                    if searched {
                        let list = place(&mut shared.lists, &rule.targets);
                        rule.plan.list = Some(list);
                        rule.plan.pair = place(&mut shared.pairs, &(list, rule.plan.chain));
                    }
                    let whole = !rule.negated && !rule.actions.multi_match;
                    if searched && whole {
                        rule.plan.probe = builder.probe(side, rule, level);
                    }
                    link = rule.next.as_deref_mut();
                }
            }
        }
        (self.lists, self.chains, self.pairs) = (shared.lists, shared.chains, shared.pairs);
        self.matcher = builder.build()?;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Shared {
    lists: Vec<Vec<Target>>,
    chains: Vec<Vec<Transformation>>,
    pairs: Vec<(usize, usize)>,
}

/// The number of a thing among others, where it is or will be.
fn place<T: PartialEq + Clone>(all: &mut Vec<T>, one: &T) -> usize {
    all.iter().position(|known| known == one).unwrap_or_else(|| {
        all.push(one.clone());
        all.len() - 1
    })
}

/// The paranoia level that a rule's tags name; 0 for one that has none.
fn level(tags: &[String]) -> usize {
    let levels = tags.iter().filter_map(|tag| tag.strip_prefix("paranoia-level/")?.parse().ok());
    levels.max().filter(|level| *level < LEVELS).unwrap_or(0)
}
