//! From files to rules. Everything is read before anything is used: a set with one fault is none.

use std::{collections::HashSet, sync::Arc};

use super::{
    action::{self, Actions, Disruption, Engine},
    changes::{Change, Selection, What},
    fault::Fault,
    files::{self, Files},
    lexer::{self, Directive},
    rule::{Bodies, Item, Note, Origin, PHASES, Plan, Rule, RuleSet},
    variable::{self, Target},
    words::Words,
};
use crate::proxy::inspection::operator::{Caution, Operator};

/// Files inside files, at most.
const DEPTH: usize = 16;

/// Faults told at once, at most.
const FAULTS: usize = 50;

/// Rules, at most.
const RULES: usize = 50_000;

/// Directives about logs, folders and bounds that are another part's here; each is noted.
const ELSEWHERE: &[&str] = &[
    "secargumentseparator",
    "secauditengine",
    "secauditlog",
    "secauditlog2",
    "secauditlogdirmode",
    "secauditlogfilemode",
    "secauditlogformat",
    "secauditlogparts",
    "secauditlogrelevantstatus",
    "secauditlogstoragedir",
    "secauditlogtype",
    "secconnengine",
    "seccookieformat",
    "seccookiev0separator",
    "secdatadir",
    "secdebuglog",
    "secdebugloglevel",
    "secgeolookupdb",
    "sechttpblkey",
    "secinterceptonerror",
    "secpcrematchlimit",
    "secpcrematchlimitrecursion",
    "secrequestbodyinmemorylimit",
    "secrequestbodyjsondepthlimit",
    "secrequestbodylimit",
    "secrequestbodylimitaction",
    "secrequestbodynofileslimit",
    "secresponsebodylimit",
    "secresponsebodylimitaction",
    "secsensorid",
    "secserversignature",
    "secstatusengine",
    "sectmpdir",
    "sectmpsaveuploadedfiles",
    "secunicodemapfile",
    "secuploaddir",
    "secuploadfilelimit",
    "secuploadfilemode",
    "secuploadkeepfiles",
    "secwebappid",
    "secxmlexternalentity",
];

impl RuleSet {
    /// Reads the files that `roots` name or match, in order, and all that they include.
    ///
    /// # Errors
    /// Every fault found, each with its file and line.
    pub fn load(files: &Files, roots: &[String]) -> Result<Self, Vec<Fault>> {
        let mut loader = Loader::new(files);
        for root in roots {
            let found = files.matching(root);
            if found.is_empty() {
                loader.faults.push(Fault {
                    file: root.clone(),
                    line: 0,
                    what: "is not there".to_owned(),
                });
            }
            for path in found {
                loader.file(path, 0);
            }
        }
        loader.finish()
    }
}

struct Loader<'f> {
    files: &'f Files,
    faults: Vec<Fault>,
    notes: Vec<Note>,
    phases: [Vec<Item>; PHASES],
    /// Of each phase: `SecDefaultAction`.
    defaults: [Option<Actions>; PHASES],
    /// The first of a chain that goes on with the next rule, and its phase.
    open: Option<(Vec<Rule>, u8)>,
    ids: HashSet<u64>,
    engine: Engine,
    bodies: Bodies,
    signatures: Vec<String>,
    changes: Vec<Change>,
    collection_timeout: u64,
}

/// What a directive comes to.
type Done = Result<(), String>;

impl<'f> Loader<'f> {
    fn new(files: &'f Files) -> Self {
        Self {
            files,
            faults: Vec::new(),
            notes: Vec::new(),
            phases: Default::default(),
            defaults: Default::default(),
            open: None,
            ids: HashSet::new(),
            engine: Engine::On,
            bodies: Bodies {
                request: true,
                response: false,
                response_types: ["text/plain", "text/html", "text/xml"].map(str::to_owned).to_vec(),
                arguments: 1000,
            },
            signatures: Vec::new(),
            changes: Vec::new(),
            collection_timeout: 3600,
        }
    }

    fn file(&mut self, path: &str, depth: usize) {
        let fault = |line, what: &str| Fault { file: path.to_owned(), line, what: what.to_owned() };
        let text = match self.files.get(path).map(std::str::from_utf8) {
            Some(Ok(text)) if depth <= DEPTH => text,
            Some(Ok(_)) => return self.faults.push(fault(0, "is included too deeply")),
            Some(Err(_)) => return self.faults.push(fault(0, "is not UTF-8")),
            None => return self.faults.push(fault(0, "is not there")),
        };
        let directives = match lexer::directives(path, text) {
            Ok(directives) => directives,
            Err(fault) => return self.faults.push(fault),
        };
        let name: Arc<str> = path.into();
        for directive in directives {
            if self.faults.len() >= FAULTS {
                return;
            }
            let origin = Origin { file: Arc::clone(&name), line: directive.line };
            if let Err(what) = self.directive(&directive, &origin, depth) {
                let what = format!("{} {what}", directive.name);
                self.faults.push(fault(directive.line, &what));
            }
        }
    }

    fn directive(&mut self, directive: &Directive, origin: &Origin, depth: usize) -> Done {
        let lower = directive.name.to_ascii_lowercase();
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let first = || arguments.first().copied().ok_or_else(|| "has no argument".to_owned());
        if self.open.is_some() && lower != "secrule" && lower != "secaction" {
            return Err("stands where the rest of a chain should".to_owned());
        }
        match lower.as_str() {
            "secrule" => self.rule(&arguments, origin),
            "secaction" => self.action(first()?, origin),
            "secmarker" => {
                let marker = first()?;
                self.phases
                    .iter_mut()
                    .for_each(|items| items.push(Item::Marker(marker.to_owned())));
                Ok(())
            }
            "secdefaultaction" => self.default(first()?),
            "include" | "includeoptional" => {
                let path = files::joined(&origin.file, first()?);
                let files = self.files;
                let found = files.matching(&path);
                if found.is_empty() && lower == "include" {
                    return Err(format!("names {path}, which is not there"));
                }
                for path in found {
                    self.file(path, depth + 1);
                }
                Ok(())
            }
            "seccomponentsignature" => {
                self.signatures.push(first()?.to_owned());
                Ok(())
            }
            _ => self.setting(&lower, &arguments, origin),
        }
    }

    fn setting(&mut self, name: &str, arguments: &[&str], origin: &Origin) -> Done {
        let first = arguments.first().copied().unwrap_or_default();
        let on = match first.to_ascii_lowercase().as_str() {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        };
        let on = on.ok_or_else(|| format!("is set to {first:?}, which is neither On nor Off"));
        let number = first.parse::<u32>().ok();
        let number = number.ok_or_else(|| format!("needs a number, not {first:?}"));
        match name {
            "secruleengine" => {
                self.engine = Engine::parse(first).ok_or("is set to no known mode")?;
            }
            "secrequestbodyaccess" => self.bodies.request = on?,
            "secresponsebodyaccess" => self.bodies.response = on?,
            "secresponsebodymimetypesclear" => self.bodies.response_types.clear(),
            "secresponsebodymimetype" => {
                let types = arguments.iter().map(|one| one.to_ascii_lowercase());
                self.bodies.response_types.extend(types);
            }
            "secargumentslimit" => self.bodies.arguments = number? as usize,
            "seccollectiontimeout" => self.collection_timeout = number?.into(),
            "secruleremovebyid" | "secruleremovebytag" | "secruleremovebymsg" => {
                let by = name.trim_start_matches("secruleremove");
                self.change(origin, Selection::parse(by, &arguments.join(" "))?, What::Remove);
            }
            "secruleupdatetargetbyid" | "secruleupdatetargetbytag" | "secruleupdatetargetbymsg" => {
                let by = name.trim_start_matches("secruleupdatetarget");
                let targets = arguments.get(1).ok_or("names no target")?;
                let targets = What::Targets(variable::targets(targets)?);
                self.change(origin, Selection::parse(by, first)?, targets);
            }
            "secruleupdateactionbyid" => {
                let more = arguments.get(1).ok_or("names no action")?;
                let more = What::Actions(Box::new(action::actions(more)?));
                self.change(origin, Selection::parse("byid", first)?, more);
            }
            known if ELSEWHERE.contains(&known) => {
                let what = format!("{known} is for the gateway's own configuration: left out");
                self.notes.push(Note { origin: origin.clone(), what });
            }
            _ => return Err("is not known".to_owned()),
        }
        Ok(())
    }

    fn change(&mut self, origin: &Origin, rules: Selection, what: What) {
        self.changes.push(Change { origin: origin.clone(), rules, what });
    }

    fn default(&mut self, text: &str) -> Done {
        let actions = action::actions(text)?;
        let phase = actions.phase.ok_or("names no phase")?;
        if actions.id.is_some() || actions.chain {
            return Err("has an action that is for rules alone".to_owned());
        }
        if let Some(place) = self.defaults.get_mut(usize::from(phase) - 1) {
            *place = Some(actions);
        }
        Ok(())
    }

    fn action(&mut self, text: &str, origin: &Origin) -> Done {
        let actions = action::actions(text)?;
        let operator = self.operator("unconditionalMatch", "", origin)?;
        self.add(origin, Vec::new(), (false, operator), None, actions)
    }

    fn rule(&mut self, arguments: &[&str], origin: &Origin) -> Done {
        let [targets, operator, rest @ ..] = arguments else {
            return Err("needs targets and an operator".to_owned());
        };
        if rest.len() > 1 {
            return Err("has more than three arguments".to_owned());
        }
        let targets = variable::targets(targets)?;
        let actions = action::actions(rest.first().copied().unwrap_or_default())?;
        let (negated, rest) = operator.strip_prefix('!').map_or((false, *operator), |o| (true, o));
        let (name, argument) = match rest.trim_start().strip_prefix('@') {
            Some(named) => named.split_once(char::is_whitespace).unwrap_or((named, "")),
            None => ("rx", rest),
        };
        let argument = if name.eq_ignore_ascii_case("rx") { argument } else { argument.trim() };
        let compiled = self.operator(name, argument, origin)?;
        if let Some(caution) = compiled.caution() {
            let what = match caution {
                Caution::Backtracks(why) => {
                    format!("the expression needs bounded backtracking ({why})")
                }
                Caution::NeverMatches => {
                    format!("@{name} has no source of facts: it never matches")
                }
            };
            self.notes.push(Note { origin: origin.clone(), what });
        }
        let words = compiled.has_macro().then(|| Words::parse(argument)).transpose()?;
        self.add(origin, targets, (negated, compiled), words, actions)
    }

    fn operator(&self, name: &str, argument: &str, origin: &Origin) -> Result<Operator, String> {
        let read = |path: &str| self.files.beside(&origin.file, path);
        Operator::compile(name, argument, &read).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("has an operator that cannot be used: {error}{cause}")
        })
    }

    fn add(
        &mut self,
        origin: &Origin,
        targets: Vec<Target>,
        (negated, operator): (bool, Operator),
        argument: Option<Words>,
        mut actions: Actions,
    ) -> Done {
        let (mut links, phase) = self.place(&actions)?;
        let id = links.first().map_or(actions.id, |first: &Rule| Some(first.id));
        let transformations = self.settle(&mut actions, phase, links.is_empty());
        let chain = actions.chain;
        links.push(Rule {
            origin: origin.clone(),
            id: id.unwrap_or_default(),
            targets,
            negated,
            operator,
            argument,
            transformations,
            actions,
            next: None,
            plan: Plan::default(),
        });
        if chain {
            self.open = Some((links, phase));
        } else if let Some(items) = self.phases.get_mut(usize::from(phase) - 1) {
            items.extend(linked(links).map(|rule| Item::Rule(Box::new(rule))));
        }
        Ok(())
    }

    /// The chain that a rule goes on with, or the beginning of another, and its phase.
    fn place(&mut self, actions: &Actions) -> Result<(Vec<Rule>, u8), String> {
        if let Some((links, phase)) = self.open.take() {
            if actions.id.is_some() || actions.phase.is_some_and(|own| own != phase) {
                return Err("is chained, and its id and phase are the first rule's".to_owned());
            }
            return Ok((links, phase));
        }
        let id = actions.id.ok_or("has no id")?;
        if !self.ids.insert(id) {
            return Err(format!("has the id {id}, which another rule has"));
        }
        if self.ids.len() > RULES {
            return Err(format!("is one more than {RULES} rules"));
        }
        Ok((Vec::new(), actions.phase.unwrap_or(2)))
    }

    /// What the rule takes from its phase's default, and its transformations.
    fn settle(
        &self,
        actions: &mut Actions,
        phase: u8,
        first: bool,
    ) -> Vec<crate::proxy::inspection::transform::Transformation> {
        let default = self.defaults.get(usize::from(phase) - 1).and_then(Option::as_ref);
        let mut transformations = Vec::new();
        if let Some(default) = default {
            if first {
                let blocks = matches!(actions.disruption, None | Some(Disruption::Block));
                if blocks {
                    actions.disruption.clone_from(&default.disruption);
                }
                actions.log = actions.log.or(default.log);
                actions.status = actions.status.or(default.status);
            }
            if !actions.anew {
                transformations.extend(default.transformations.iter().flatten());
            }
        }
        if actions.disruption == Some(Disruption::Block) {
            // Without a default the phase's is "pass" (ModSecurity's own).
            actions.disruption = Some(Disruption::Pass);
        }
        transformations.extend(actions.transformations.iter().flatten());
        transformations
    }

    fn finish(mut self) -> Result<RuleSet, Vec<Fault>> {
        if let Some((links, _)) = self.open.take()
            && let Some(last) = links.last()
        {
            self.faults.push(Fault {
                file: last.origin.file.to_string(),
                line: last.origin.line,
                what: "SecRule is chained to a rule that is not there".to_owned(),
            });
        }
        for change in std::mem::take(&mut self.changes) {
            if !change.apply(&mut self.phases) {
                let what = "changes rules that are not there".to_owned();
                self.notes.push(Note { origin: change.origin, what });
            }
        }
        self.check_markers();
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let mut set = RuleSet {
            phases: self.phases,
            engine: self.engine,
            bodies: self.bodies,
            signatures: self.signatures,
            notes: self.notes,
            lists: Vec::new(),
            chains: Vec::new(),
            pairs: Vec::new(),
            matcher: super::matcher::Matcher::default(),
            collection_timeout: self.collection_timeout,
        };
        set.plan().map_err(|what| vec![Fault { file: "all rules".to_owned(), line: 0, what }])?;
        Ok(set)
    }

    /// A marker that is not there would skip the rest of a phase: every rule in it, in silence.
    fn check_markers(&mut self) {
        for items in &self.phases {
            for (at, item) in items.iter().enumerate() {
                let Item::Rule(rule) = item else { continue };
                let wanted = rule.links().filter_map(|link| link.actions.skip_after.as_ref());
                for wanted in wanted {
                    let rest = items.get(at..).unwrap_or_default();
                    let is = |item: &Item| matches!(item, Item::Marker(name) if name == wanted);
                    if !rest.iter().any(is) {
                        self.faults.push(Fault {
                            file: rule.origin.file.to_string(),
                            line: rule.origin.line,
                            what: format!("skips to {wanted:?}, which does not follow"),
                        });
                    }
                }
            }
        }
    }
}

fn linked(links: Vec<Rule>) -> Option<Rule> {
    links.into_iter().rev().fold(None, |next: Option<Rule>, mut rule| {
        rule.next = next.map(Box::new);
        Some(rule)
    })
}
