//! Directives that change rules which stand elsewhere: `SecRuleRemove…`, `SecRuleUpdate…`. Done when
//! all rules are read, so that it does not count which file comes first.

use super::{
    action::{self, Actions},
    rule::{Item, Origin, PHASES, Rule, within},
    variable::Target,
    words::Words,
};

/// What one directive changes.
pub(super) struct Change {
    pub(super) origin: Origin,
    pub(super) rules: Selection,
    pub(super) what: What,
}

/// Which rules.
pub(super) enum Selection {
    Ids(Vec<(u64, u64)>),
    Tag(regex::Regex),
    Message(regex::Regex),
}

pub(super) enum What {
    Remove,
    Targets(Vec<Target>),
    Actions(Box<Actions>),
}

impl Change {
    /// Whether there were such rules.
    pub(super) fn apply(&self, phases: &mut [Vec<Item>; PHASES]) -> bool {
        let mut met = false;
        for items in phases {
            items.retain_mut(|item| {
                let Item::Rule(rule) = item else { return true };
                if !self.rules.takes(rule) {
                    return true;
                }
                met = true;
                match &self.what {
                    What::Remove => return false,
                    What::Targets(more) => add(&mut rule.targets, more),
                    What::Actions(more) => rule.actions.take(more),
                }
                true
            });
        }
        met
    }
}

fn add(targets: &mut Vec<Target>, more: &[Target]) {
    for target in more {
        if !targets.contains(target) {
            targets.push(target.clone());
        }
    }
}

impl Selection {
    /// By what the directive's name ends with.
    pub(super) fn parse(by: &str, text: &str) -> Result<Self, String> {
        let pattern =
            || regex::Regex::new(text).map_err(|error| format!("has a bad pattern: {error}"));
        Ok(match by {
            "bytag" => Self::Tag(pattern()?),
            "bymsg" => Self::Message(pattern()?),
            _ => Self::Ids(action::ids(text)?),
        })
    }

    fn takes(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ranges) => within(ranges, rule.id),
            Self::Tag(pattern) => rule.actions.tags.iter().any(|tag| pattern.is_match(tag)),
            Self::Message(pattern) => {
                let message = rule.actions.message.as_ref().map(Words::to_string);
                message.is_some_and(|message| pattern.is_match(&message))
            }
        }
    }
}

impl Actions {
    /// What `SecRuleUpdateActionById` says instead.
    fn take(&mut self, more: &Self) {
        let more = more.clone();
        self.message = more.message.or(self.message.take());
        self.data = more.data.or(self.data.take());
        self.tags.extend(more.tags);
        self.severity = more.severity.or(self.severity);
        self.disruption = more.disruption.or(self.disruption.take());
        self.status = more.status.or(self.status);
        self.log = more.log.or(self.log);
        self.skip_after = more.skip_after.or(self.skip_after.take());
        self.sets.extend(more.sets);
        self.effects.extend(more.effects);
    }
}
