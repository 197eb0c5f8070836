//! `@rx` and its kin: an expression of PCRE's, in linear time wherever that can be.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::Regex;

use super::pattern::{self, PatternError, Translated};
use super::{Captures, MAX_CAPTURES, Outcome, Undecided};

/// Steps that an expression with look-around or back references may take on one value.
const MAX_STEPS: usize = 100_000;
/// Bytes a compiled expression may take; the largest of the Core Rule Set takes a tenth of it.
const MAX_COMPILED: usize = 32 << 20;
/// Expressions made of macros that are kept. Their values come from the rule set, not the request.
const MAX_KEPT: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    First,
    All,
    /// What matches must also be a card number by its check digit.
    Luhn,
}

#[derive(Debug)]
pub(super) struct Expression {
    mode: Mode,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Ready { engine: Engine, literals: Option<Vec<Vec<u8>>> },
    Macro(Mutex<Kept>),
}

/// Texts that macros made, and the engines for those that are expressions; the oldest first.
type Kept = VecDeque<(Vec<u8>, Option<Arc<Engine>>)>;

#[derive(Debug)]
enum Engine {
    Linear { pattern: String, regex: Regex },
    Backtracking { why: &'static str, regex: Box<fancy_regex::Regex> },
}

impl Expression {
    pub(super) fn compile(argument: &str, mode: Mode) -> Result<Self, PatternError> {
        if argument.contains("%{") {
            return Ok(Self { mode, source: Source::Macro(Mutex::default()) });
        }
        let engine = Engine::compile(argument.as_bytes())?;
        let literals = match &engine {
            Engine::Linear { pattern, .. } => pattern::literals(pattern),
            Engine::Backtracking { .. } => None,
        };
        Ok(Self { mode, source: Source::Ready { engine, literals } })
    }

    pub(super) fn matches(
        &self,
        value: &[u8],
        expanded: Option<&[u8]>,
        captures: Option<&mut Captures>,
    ) -> Outcome {
        match (&self.source, expanded) {
            (Source::Ready { engine, .. }, _) => engine.matches(self.mode, value, captures),
            (Source::Macro(kept), Some(text)) => match made(kept, text) {
                Some(engine) => engine.matches(self.mode, value, captures),
                None => Outcome::Undecided(Undecided::Expression),
            },
            (Source::Macro(_), None) => Outcome::Undecided(Undecided::Expression),
        }
    }

    pub(super) fn literals(&self) -> Option<Vec<Vec<u8>>> {
        match &self.source {
            Source::Ready { literals, .. } => literals.clone(),
            Source::Macro(_) => None,
        }
    }

    pub(super) fn linear_pattern(&self) -> Option<&str> {
        match &self.source {
            Source::Ready { engine: Engine::Linear { pattern, .. }, .. } => Some(pattern),
            Source::Ready { engine: Engine::Backtracking { .. }, .. } | Source::Macro(_) => None,
        }
    }

    pub(super) fn backtracks(&self) -> Option<&'static str> {
        match &self.source {
            Source::Ready { engine: Engine::Backtracking { why, .. }, .. } => Some(why),
            Source::Ready { engine: Engine::Linear { .. }, .. } | Source::Macro(_) => None,
        }
    }
}

/// The engine for an expanded macro: kept, else made and kept in the oldest one's place.
fn made(kept: &Mutex<Kept>, text: &[u8]) -> Option<Arc<Engine>> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, engine)) = kept.iter().find(|(own, _)| own == text) {
        return engine.clone();
    }
    let engine = Engine::compile(text).ok().map(Arc::new);
    if kept.len() >= MAX_KEPT {
        kept.pop_front();
    }
    kept.push_back((text.to_vec(), engine.clone()));
    engine
}

impl Engine {
    fn compile(text: &[u8]) -> Result<Self, PatternError> {
        // ModSecurity takes an empty expression for one that matches anything.
        let text = if text.is_empty() { b".*" } else { text };
        let Translated { pattern, backtracks } = pattern::translate(text)?;
        let Some(why) = backtracks else {
            let regex = pattern::builder(&pattern).size_limit(MAX_COMPILED).build();
            let regex = regex.map_err(|error| PatternError::Refused(error.to_string()))?;
            return Ok(Self::Linear { pattern, regex });
        };
        let regex = fancy_regex::RegexBuilder::new(&pattern)
            .bytes_mode(fancy_regex::BytesMode::Ascii)
            .dot_matches_new_line(true)
            .multi_line(true)
            .backtrack_limit(MAX_STEPS)
            .delegate_size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| PatternError::Refused(error.to_string()))?;
        Ok(Self::Backtracking { why, regex: Box::new(regex) })
    }

    fn matches(&self, mode: Mode, value: &[u8], captures: Option<&mut Captures>) -> Outcome {
        let found = match (mode, captures) {
            (Mode::First | Mode::All, None) => self.is_match(value),
            (Mode::First, Some(captures)) => self.capture(value, 1, captures),
            (Mode::All, Some(captures)) => self.capture(value, MAX_CAPTURES, captures),
            (Mode::Luhn, captures) => self.any_card(value, captures),
        };
        found.map_or(Outcome::Undecided(Undecided::Steps), Outcome::from)
    }

    fn is_match(&self, value: &[u8]) -> Option<bool> {
        match self {
            Self::Linear { regex, .. } => Some(regex.is_match(value)),
            Self::Backtracking { regex, .. } => regex.is_match(value).ok(),
        }
    }

    /// The groups of the first matches, of each the ones that took part.
    fn capture(&self, value: &[u8], most: usize, captures: &mut Captures) -> Option<bool> {
        let before = captures.groups.len();
        match self {
            Self::Linear { regex, .. } => {
                for groups in regex.captures_iter(value).take(most) {
                    for (number, group) in groups.iter().enumerate() {
                        if let Some(group) = group {
                            captures.keep(number, group.as_bytes());
                        }
                    }
                }
            }
            Self::Backtracking { regex, .. } => {
                for groups in regex.captures_iter(value).take(most) {
                    let groups = groups.ok()?;
                    for (number, group) in groups.iter().enumerate() {
                        if let Some(text) = group.and_then(|group| value.get(group.range())) {
                            captures.keep(number, text);
                        }
                    }
                }
            }
        }
        Some(captures.groups.len() > before)
    }

    fn any_card(&self, value: &[u8], captures: Option<&mut Captures>) -> Option<bool> {
        let mut found = Captures::default();
        self.capture(value, MAX_CAPTURES, &mut found)?;
        let card = found.groups.into_iter().find(|(group, text)| *group == 0 && is_luhn(text));
        let matched = card.is_some();
        if let (Some(captures), Some((_, text))) = (captures, card) {
            captures.keep(0, &text);
        }
        Some(matched)
    }
}

/// The check digit of card numbers; what stands between the digits is passed over.
fn is_luhn(text: &[u8]) -> bool {
    let digits = text.iter().rev().filter(|byte| byte.is_ascii_digit());
    let values = digits.map(|digit| u32::from(digit - b'0')).enumerate();
    let (count, sum) = values.fold((0, 0), |(count, sum), (place, digit)| {
        let doubled = if place % 2 == 0 { digit } else { digit * 2 };
        (count + 1, sum + doubled / 10 + doubled % 10)
    });
    count > 0 && sum % 10 == 0
}
