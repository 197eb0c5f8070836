//! The texts of one transaction, each once: what two places hold, and what a transformation makes of
//! either, is one text with one number, so that it is searched once.

use std::{collections::HashMap, rc::Rc};

use super::{
    matcher::{Matcher, Met},
    rule::RuleSet,
};
use crate::proxy::inspection::transform::Transformation;

/// The number of a text.
pub(super) type Text = u32;

/// Every text so far.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Vec<Rc<[u8]>>,
    numbers: HashMap<Rc<[u8]>, Text>,
    changed: HashMap<(Text, Transformation), Text>,
    chained: HashMap<(Text, usize), Text>,
    met: HashMap<(Text, usize), Rc<Met>>,
    /// Bytes that were transformed or searched.
    pub(super) work: usize,
}

impl Texts {
    pub(super) fn number(&mut self, text: &[u8]) -> Text {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let text: Rc<[u8]> = text.into();
        let number = Text::try_from(self.all.len()).unwrap_or(Text::MAX);
        self.all.push(Rc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    pub(super) fn get(&self, text: Text) -> Rc<[u8]> {
        self.all.get(text as usize).map_or_else(|| Rc::from([].as_slice()), Rc::clone)
    }

    /// What one transformation makes of a text.
    fn change(&mut self, text: Text, by: Transformation) -> Text {
        if let Some(known) = self.changed.get(&(text, by)) {
            return *known;
        }
        let bytes = self.get(text);
        self.work = self.work.saturating_add(bytes.len());
        let number = match by.apply(&bytes) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(changed) => self.number(&changed),
        };
        self.changed.insert((text, by), number);
        number
    }

    /// What a rule's transformations make of a text.
    pub(super) fn chain(&mut self, set: &RuleSet, text: Text, chain: usize) -> Text {
        let Some(steps) = set.chains.get(chain).filter(|steps| !steps.is_empty()) else {
            return text;
        };
        if let Some(known) = self.chained.get(&(text, chain)) {
            return *known;
        }
        let made = steps.iter().fold(text, |text, step| self.change(text, *step));
        self.chained.insert((text, chain), made);
        made
    }

    /// A text and all that its transformations make of it on the way, where each changes something.
    pub(super) fn steps(&mut self, steps: &[Transformation], text: Text) -> Vec<Text> {
        let mut made = vec![text];
        let mut text = text;
        for step in steps {
            let next = self.change(text, *step);
            if next != text {
                made.push(next);
            }
            text = next;
        }
        made
    }

    pub(super) fn met(&mut self, matcher: &Matcher, text: Text, search: usize) -> Rc<Met> {
        if let Some(known) = self.met.get(&(text, search)) {
            return Rc::clone(known);
        }
        let bytes = self.get(text);
        self.work = self.work.saturating_add(bytes.len());
        let met = Rc::new(matcher.search(search, &bytes));
        self.met.insert((text, search), Rc::clone(&met));
        met
    }
}
