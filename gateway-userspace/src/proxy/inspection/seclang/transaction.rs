//! One request and its answer, as rules see them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    action::{Engine, Whose},
    kept::Kept,
    matcher::Met,
    rule::RuleSet,
    texts::{Text, Texts},
    variable::{self, Pick, Variable},
};

/// How a set is run for one request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Rules only tell what they would do.
    pub detect: bool,
    /// Variables that are set before the first rule, such as `blocking_paranoia_level`.
    pub variables: Vec<(String, String)>,
    /// Rules that are not run for it, or do not look at a target.
    pub without: Vec<Exclude>,
    /// Bytes that may be searched and transformed.
    pub work: usize,
    /// How long all its rules may take together.
    pub time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            detect: false,
            variables: Vec::new(),
            without: Vec::new(),
            work: 64 << 20,
            time: Duration::from_millis(500),
        }
    }
}

/// Rules that are left out, from the start or while they run.
#[derive(Debug, Clone)]
pub struct Exclude {
    pub(super) whose: Whose,
    /// What they do not look at; `None` is the whole rule.
    pub(super) target: Option<Pick>,
}

impl Exclude {
    /// From one id to another; with a target, such as `ARGS:note`, only that.
    ///
    /// # Errors
    /// The target names no variable.
    pub fn ids(from: u64, to: u64, target: Option<&str>) -> Result<Self, String> {
        Self::new(Whose::Ids(vec![(from, to)]), target)
    }

    /// Rules with a tag.
    ///
    /// # Errors
    /// The target names no variable.
    pub fn tag(tag: &str, target: Option<&str>) -> Result<Self, String> {
        Self::new(Whose::Tag(tag.to_owned()), target)
    }

    fn new(whose: Whose, target: Option<&str>) -> Result<Self, String> {
        Ok(Self { whose, target: target.map(variable::pick).transpose()? })
    }
}

/// The head of a request.
#[derive(Debug)]
pub struct Head<'r> {
    pub method: &'r str,
    /// Path and query, as the supplier is to get them.
    pub target: &'r str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'r str,
    pub fields: Vec<(&'r [u8], &'r [u8])>,
    pub client: IpAddr,
    pub client_port: u16,
    pub server: SocketAddr,
    /// The request's id.
    pub id: &'r str,
    /// Seconds since 1970.
    pub epoch: u64,
}

pub use crate::telemetry::Hit;

/// What a rule wants to happen to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    pub rule: u64,
    pub status: u16,
    pub redirect: Option<String>,
    /// The connection goes, without an answer.
    pub drop: bool,
}

/// Why not all was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Work,
    Time,
    /// An operator could not decide.
    Undecided,
}

/// A value of a collection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) key: Text,
    pub(super) value: Text,
}

/// A value that a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) variable: Variable,
    pub(super) key: Text,
    pub(super) value: Text,
}

/// A request that rules are run on.
#[derive(Debug)]
pub struct Transaction {
    pub(super) set: Arc<RuleSet>,
    pub(super) kept: Arc<Kept>,
    pub(super) settings: Arc<Settings>,
    pub(super) began: Instant,
    pub(super) texts: Texts,
    fields: HashMap<Variable, Vec<Field>>,
    pub(super) tx: HashMap<Vec<u8>, Vec<u8>>,
    /// Keys of kept collections that are open.
    pub(super) open: HashMap<Variable, Vec<u8>>,
    pub(super) matched: Vec<Seen>,
    /// Beside what its settings leave out.
    pub(super) removed: Vec<Exclude>,
    pub(super) engine: Engine,
    pub(super) highest: u8,
    /// Values of lists of targets, in this phase.
    pub(super) lists: HashMap<usize, Rc<[Seen]>>,
    /// What all values of a list meet together, by pair and search.
    pub(super) unions: HashMap<(usize, usize), Rc<Met>>,
    pub(super) hits: Vec<Hit>,
    pub(super) interruption: Option<Interruption>,
    /// What would have happened, did rules not only detect.
    pub(super) would: Option<Interruption>,
    pub(super) spent: Option<Spent>,
    /// No later phase runs but the last.
    pub(super) allowed: bool,
    pub(super) keep_body: bool,
    /// What `ctl` says of bodies, where it does.
    pub(super) reads_request: Option<bool>,
    pub(super) reads_response: Option<bool>,
}

impl Transaction {
    pub fn new(set: Arc<RuleSet>, kept: Arc<Kept>, settings: Arc<Settings>, now: Instant) -> Self {
        let engine = set.engine;
        let tx = settings.variables.iter();
        let tx = tx.map(|(name, value)| (name.to_lowercase().into_bytes(), value.clone().into()));
        Self {
            tx: tx.collect(),
            removed: Vec::new(),
            set,
            kept,
            settings,
            began: now,
            texts: Texts::default(),
            fields: HashMap::new(),
            open: HashMap::new(),
            matched: Vec::new(),
            engine,
            highest: u8::MAX,
            lists: HashMap::new(),
            unions: HashMap::new(),
            hits: Vec::new(),
            interruption: None,
            would: None,
            spent: None,
            allowed: false,
            keep_body: false,
            reads_request: None,
            reads_response: None,
        }
    }

    /// Rules that matched so far, and are to be told.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// What happens to the request.
    pub fn interruption(&self) -> Option<&Interruption> {
        self.interruption.as_ref()
    }

    /// What would, did rules not only detect.
    pub fn would(&self) -> Option<&Interruption> {
        self.would.as_ref()
    }

    /// Why not all was looked at.
    pub fn spent(&self) -> Option<Spent> {
        self.spent
    }

    /// A variable that rules wrote, such as `anomaly_score`.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.tx.get(name.to_ascii_lowercase().as_bytes()).map(Vec::as_slice)
    }

    pub(super) fn add(&mut self, variable: Variable, key: &[u8], value: &[u8]) {
        let field = Field { key: self.texts.number(key), value: self.texts.number(value) };
        self.fields.entry(variable).or_default().push(field);
    }

    /// A variable of one value.
    pub(super) fn put(&mut self, variable: Variable, value: &[u8]) {
        self.fields.remove(&variable);
        self.add(variable, b"", value);
    }

    pub(super) fn fields(&self, variable: Variable) -> &[Field] {
        self.fields.get(&variable).map_or(&[], Vec::as_slice)
    }

    pub(super) fn one(&self, variable: Variable) -> Option<Rc<[u8]>> {
        self.fields(variable).first().map(|field| self.texts.get(field.value))
    }

    /// The values that a pick takes.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are fields of the messages")]
    pub(super) fn pick(&mut self, pick: &Pick, now: Instant) -> Vec<Seen> {
        let variable = pick.variable;
        let mut values: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        match variable {
            Variable::Tx => values.extend(self.tx.iter().map(|(k, v)| (k.clone(), v.clone()))),
            kept if kept.is_kept() => {
                if let Some(key) = self.open.get(&kept) {
                    values = self.kept.all(&(kept, key.clone()), now);
                }
            }
            Variable::MatchedVars | Variable::MatchedVarsNames => {
                return self.matched_values(pick);
            }
            Variable::MatchedVar | Variable::MatchedVarName => {
                let last = self.matched_values(&Pick {
                    variable: if variable == Variable::MatchedVar {
                        Variable::MatchedVars
                    } else {
                        Variable::MatchedVarsNames
                    },
                    selector: pick.selector.clone(),
                });
                return last.last().copied().into_iter().collect();
            }
            Variable::HighestSeverity => {
                values.push((Vec::new(), self.highest.to_string().into_bytes()));
            }
            Variable::Duration => {
                let micros = now.saturating_duration_since(self.began).as_micros();
                values.push((Vec::new(), micros.to_string().into_bytes()));
            }
            _ => {
                let fields = self.fields(variable).to_vec();
                let meant = |field: &Field| pick.selector.takes(&self.texts.get(field.key));
                let taken = fields.into_iter().filter(meant);
                return taken.map(|Field { key, value }| Seen { variable, key, value }).collect();
            }
        }
        values.sort();
        let taken = values.into_iter().filter(|(key, _)| pick.selector.takes(key));
        taken
            .map(|(key, value)| Seen {
                variable,
                key: self.texts.number(&key),
                value: self.texts.number(&value),
            })
            .collect()
    }

    fn matched_values(&mut self, pick: &Pick) -> Vec<Seen> {
        let matched = self.matched.clone();
        matched
            .into_iter()
            .filter_map(|seen| {
                let name = self.name(seen);
                if !pick.selector.takes(name.as_bytes()) {
                    return None;
                }
                let key = self.texts.number(name.as_bytes());
                let value = if pick.variable == Variable::MatchedVars { seen.value } else { key };
                Some(Seen { variable: pick.variable, key, value })
            })
            .collect()
    }

    /// A value's whole name, such as `ARGS:id`.
    pub(super) fn name(&self, seen: Seen) -> String {
        let key = self.texts.get(seen.key);
        let name = seen.variable.name();
        if key.is_empty() {
            return name.to_owned();
        }
        format!("{name}:{}", String::from_utf8_lossy(&key))
    }
}
