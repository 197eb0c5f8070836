//! Runs a phase: each rule in its order, by what the searches say of it.

use std::{rc::Rc, time::Instant};

use super::{
    action::{Allow, Change, Disruption, Effect, Engine, Set},
    kept,
    matcher::{Met, Probe},
    rule::{Item, Rule, RuleSet, takes},
    transaction::{Exclude, Hit, Interruption, Seen, Spent, Transaction},
    variable::{Pick, Target, Variable},
    words::Words,
};
use crate::proxy::inspection::operator::{Captures, Outcome};

/// Rules between two looks at the clock.
const STRIDE: usize = 64;

/// What is told of one transaction, at most.
const HITS: usize = 256;

/// Names that rules may write in one transaction, and bytes of a value.
const NAMES: usize = 4096;
const BYTES: usize = 64 << 10;

/// Where a phase goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Rule,
    Skip(usize),
    Marker(String),
    End,
}

impl Transaction {
    /// Runs one phase, from 1 to 5. `clock` is asked now and then.
    pub fn phase(&mut self, phase: u8, clock: impl Fn() -> Instant) {
        let set = self.set.clone();
        let stopped = self.interruption.is_some() || self.allowed || self.spent.is_some();
        if self.engine == Engine::Off || (stopped && phase < 5) {
            return;
        }
        let Some(items) = usize::from(phase).checked_sub(1).and_then(|at| set.phases.get(at))
        else {
            return;
        };
        self.lists.clear();
        self.unions.clear();
        let (mut next, mut now) = (Next::Rule, self.began);
        for (at, item) in items.iter().enumerate() {
            if at % STRIDE == 0 {
                now = clock();
                if phase < 5 && self.is_spent(now) {
                    return;
                }
            }
            next = match (next, item) {
                (Next::Marker(wanted), Item::Marker(name)) if wanted == *name => Next::Rule,
                (Next::Marker(wanted), _) => Next::Marker(wanted),
                (Next::Skip(0) | Next::Rule, Item::Rule(rule)) => self.run_rule(&set, rule, now),
                (Next::Skip(left), Item::Rule(_)) => Next::Skip(left - 1),
                (next, Item::Marker(_)) => next,
                (Next::End, _) => return,
            };
            let over = next == Next::End || (self.interruption.is_some() && phase < 5);
            if over || self.engine == Engine::Off {
                return;
            }
        }
    }

    fn is_spent(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.began) > self.settings.time {
            self.spent = Some(Spent::Time);
        } else if self.texts.work > self.settings.work {
            self.spent = Some(Spent::Work);
        }
        self.spent.is_some()
    }

    fn run_rule(&mut self, set: &RuleSet, rule: &Rule, now: Instant) -> Next {
        if self.is_removed(rule) {
            return Next::Rule;
        }
        self.matched.clear();
        let mut told = Told::default();
        if !self.chain(set, rule, rule, now, &mut told) {
            return Next::Rule;
        }
        self.tell(rule, &told);
        let disruption = rule.actions.disruption.clone().unwrap_or(Disruption::Pass);
        if let Some(next) = self.disrupt(rule, &disruption) {
            return next;
        }
        let skip_after = rule.links().find_map(|link| link.actions.skip_after.clone());
        let skip = rule.links().find_map(|link| link.actions.skip);
        skip_after.map(Next::Marker).or(skip.map(Next::Skip)).unwrap_or(Next::Rule)
    }

    fn is_removed(&self, rule: &Rule) -> bool {
        self.excluded().any(|one| one.target.is_none() && one.whose.is(rule))
    }

    fn excluded(&self) -> impl Iterator<Item = &Exclude> {
        self.settings.without.iter().chain(&self.removed)
    }

    /// Whether a rule and all that are chained to it match. What was set on the way stays set, as
    /// ModSecurity does it.
    fn chain(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
        first: &Rule,
        now: Instant,
        told: &mut Told,
    ) -> bool {
        let matched = if rule.targets.is_empty() {
            self.matched_one(rule, None, now, told);
            true
        } else {
            self.targets(set, rule, first, now, told)
        };
        if !matched {
            return false;
        }
        if let Some(next) = &rule.next
            && !self.chain(set, next, first, now, told)
        {
            return false;
        }
        for effect in &rule.actions.effects {
            self.effect(effect, now);
        }
        true
    }

    fn targets(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
        first: &Rule,
        now: Instant,
        told: &mut Told,
    ) -> bool {
        let values = match rule.plan.list {
            Some(list) => {
                let values = self.list(set, list, now);
                let probe = rule.plan.probe;
                if probe.is_some_and(|probe| !self.may_match(set, rule, probe, &values)) {
                    return false;
                }
                values
            }
            None => self.resolve(&rule.targets, now).into(),
        };
        let argument = rule.argument.as_ref().map(|words| self.fill(words, now));
        let mut matched = false;
        for seen in values.iter().copied() {
            if self.is_target_removed(first, seen) {
                continue;
            }
            matched |= self.value(set, rule, seen, argument.as_deref(), now, told);
        }
        matched
    }

    /// Whether any of the values can match the rule: one look for most rules.
    fn may_match(&mut self, set: &RuleSet, rule: &Rule, probe: Probe, values: &[Seen]) -> bool {
        let place = (rule.plan.pair, probe.search);
        if let Some(union) = self.unions.get(&place) {
            return union.has(probe.number);
        }
        let mut union = Met::default();
        for seen in values {
            let text = self.texts.chain(set, seen.value, rule.plan.chain);
            union.join(&self.texts.met(&set.matcher, text, probe.search));
        }
        let may = union.has(probe.number);
        self.unions.insert(place, Rc::new(union));
        may
    }

    fn list(&mut self, set: &RuleSet, list: usize, now: Instant) -> Rc<[Seen]> {
        if let Some(known) = self.lists.get(&list) {
            return Rc::clone(known);
        }
        let targets = set.lists.get(list).map_or(&[][..], Vec::as_slice);
        let values: Rc<[Seen]> = self.resolve(targets, now).into();
        self.lists.insert(list, Rc::clone(&values));
        values
    }

    fn resolve(&mut self, targets: &[Target], now: Instant) -> Vec<Seen> {
        let mut values = Vec::new();
        for target in targets {
            match target {
                Target::Values(pick) => values.extend(self.pick(pick, now)),
                Target::Count(pick) => {
                    let count = self.pick(pick, now).len().to_string();
                    let value = self.texts.number(count.as_bytes());
                    let key = self.texts.number(b"");
                    values.push(Seen { variable: pick.variable, key, value });
                }
                Target::Not(_) => {}
            }
        }
        for target in targets {
            if let Target::Not(pick) = target {
                values.retain(|seen| !takes(pick, seen.variable, &self.texts.get(seen.key)));
            }
        }
        values
    }

    fn is_target_removed(&self, first: &Rule, seen: Seen) -> bool {
        self.excluded().any(|one| {
            let meant = |pick| takes(pick, seen.variable, &self.texts.get(seen.key));
            one.target.as_ref().is_some_and(meant) && one.whose.is(first)
        })
    }

    /// One value against one rule.
    fn value(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
        seen: Seen,
        argument: Option<&[u8]>,
        now: Instant,
        told: &mut Told,
    ) -> bool {
        let texts = if rule.actions.multi_match {
            self.texts.steps(&rule.transformations, seen.value)
        } else {
            vec![self.texts.chain(set, seen.value, rule.plan.chain)]
        };
        let mut matched = false;
        for text in texts {
            if let Some(probe) = rule.plan.probe
                && !self.texts.met(&set.matcher, text, probe.search).has(probe.number)
            {
                continue;
            }
            let bytes = self.texts.get(text);
            let mut captures = rule.actions.capture.then(Captures::default);
            self.texts.work = self.texts.work.saturating_add(bytes.len());
            let outcome = rule.operator.matches(&bytes, argument, captures.as_mut());
            let holds = match outcome {
                Outcome::Match => !rule.negated,
                Outcome::NoMatch => rule.negated,
                Outcome::Undecided(_) => {
                    self.spent = self.spent.or(Some(Spent::Undecided));
                    false
                }
            };
            if holds {
                for (group, text) in captures.into_iter().flat_map(|found| found.groups) {
                    self.tx.insert(group.to_string().into_bytes(), text);
                }
                self.matched_one(rule, Some(Seen { value: text, ..seen }), now, told);
                matched = true;
            }
        }
        matched
    }

    /// What happens at each match, whether the rest of a chain follows or not.
    fn matched_one(&mut self, rule: &Rule, seen: Option<Seen>, now: Instant, told: &mut Told) {
        if let Some(seen) = seen {
            self.matched.push(seen);
            told.field = Some(seen);
        }
        for set in &rule.actions.sets {
            self.set(set, now);
        }
        if let Some(severity) = rule.actions.severity {
            self.highest = self.highest.min(severity);
        }
        if let Some(words) = &rule.actions.message {
            told.message = self.fill(words, now);
        }
        if let Some(words) = &rule.actions.data {
            told.data = self.fill(words, now);
        }
    }

    fn tell(&mut self, rule: &Rule, told: &Told) {
        let wanted = rule.actions.log.unwrap_or(true);
        if !wanted || self.hits.len() >= HITS {
            return;
        }
        self.hits.push(Hit {
            rule: rule.id,
            message: String::from_utf8_lossy(&told.message).into_owned(),
            data: String::from_utf8_lossy(&told.data).into_owned(),
            field: told.field.map(|seen| self.name(seen)).unwrap_or_default(),
            severity: rule.actions.severity,
            tags: rule.actions.tags.clone(),
        });
    }

    fn disrupt(&mut self, rule: &Rule, disruption: &Disruption) -> Option<Next> {
        let (redirect, drop) = match disruption {
            Disruption::Pass | Disruption::Block => return None,
            Disruption::Allow(Allow::Phase) => return Some(Next::End),
            Disruption::Allow(Allow::All | Allow::Request) => {
                self.allowed = true;
                return Some(Next::End);
            }
            Disruption::Deny => (None, false),
            Disruption::Drop => (None, true),
            Disruption::Redirect(to) => (Some(to.clone()), false),
        };
        let status = rule.actions.status.unwrap_or(if redirect.is_some() { 302 } else { 403 });
        let interruption = Interruption { rule: rule.id, status, redirect, drop };
        if self.settings.detect || self.engine == Engine::DetectionOnly {
            self.would.get_or_insert(interruption);
            return None;
        }
        self.interruption.get_or_insert(interruption);
        Some(Next::End)
    }

    /// A text with its values.
    fn fill(&mut self, words: &Words, now: Instant) -> Vec<u8> {
        words.fill(|pick| self.first(pick, now))
    }

    fn first(&mut self, pick: &Pick, now: Instant) -> Option<Vec<u8>> {
        let seen = self.pick(pick, now).first().copied()?;
        Some(self.texts.get(seen.value).to_vec())
    }

    fn set(&mut self, set: &Set, now: Instant) {
        let name = self.fill(&set.name, now).to_ascii_lowercase();
        let before =
            |this: &mut Self| number(&this.written(set.collection, &name, now).unwrap_or_default());
        let value = match &set.change {
            Change::Gone => return self.remove(set.collection, &name),
            Change::To(words) => self.fill(words, now),
            Change::Plus(words) => {
                let by = number(&self.fill(words, now));
                before(self).saturating_add(by).to_string().into_bytes()
            }
            Change::Minus(words) => {
                let by = number(&self.fill(words, now));
                before(self).saturating_sub(by).to_string().into_bytes()
            }
        };
        if set.collection == Variable::Tx {
            let room = self.tx.len() < NAMES || self.tx.contains_key(&name);
            if room && value.len() <= BYTES {
                self.tx.insert(name, value);
            } else {
                self.spent = self.spent.or(Some(Spent::Work));
            }
        } else if let Some(key) = self.open.get(&set.collection) {
            let place = (set.collection, key.clone());
            let until = kept::until(now, self.set.collection_timeout);
            self.kept.set(&place, &name, &value, until, now);
        }
    }

    fn written(&self, collection: Variable, name: &[u8], now: Instant) -> Option<Vec<u8>> {
        if collection == Variable::Tx {
            return self.tx.get(name).cloned();
        }
        let key = self.open.get(&collection)?;
        let all = self.kept.all(&(collection, key.clone()), now);
        all.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn remove(&mut self, collection: Variable, name: &[u8]) {
        if collection == Variable::Tx {
            self.tx.remove(name);
        } else if let Some(key) = self.open.get(&collection) {
            self.kept.remove(&(collection, key.clone()), name);
        }
    }

    fn effect(&mut self, effect: &Effect, now: Instant) {
        match effect {
            Effect::Open(collection, key) | Effect::Key(collection, key) => {
                let key = self.fill(key, now);
                self.open.insert(*collection, key);
            }
            Effect::Expire(collection, name, seconds) => {
                let name = self.fill(name, now).to_ascii_lowercase();
                let seconds = u64::try_from(number(&self.fill(seconds, now))).unwrap_or(0);
                if let Some(key) = self.open.get(collection) {
                    let until = kept::until(now, seconds);
                    self.kept.expire(&(*collection, key.clone()), &name, until);
                }
            }
            Effect::Remove(whose, target) => {
                self.removed.push(Exclude { whose: whose.clone(), target: target.clone() });
            }
            Effect::Engine(engine) => self.engine = *engine,
            Effect::Processor(name) => self.put(Variable::ReqbodyProcessor, name.as_bytes()),
            Effect::KeepBody(on) => self.keep_body = *on,
            Effect::RequestBody(on) => self.reads_request = Some(*on),
            Effect::ResponseBody(on) => self.reads_response = Some(*on),
        }
    }
}

/// A number as rules count with them; what is none is 0.
fn number(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What is told of a rule that matches.
#[derive(Debug, Default)]
struct Told {
    message: Vec<u8>,
    data: Vec<u8>,
    field: Option<Seen>,
}
