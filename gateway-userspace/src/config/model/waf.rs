//! `[waf]`, and what of it a route has its own way.

use std::time::Duration;

/// The firewall for requests: rule files, and how they are run.
#[derive(Debug, Clone, PartialEq)]
pub struct Waf {
    /// Paths of rule files, in the order in which they are read; `*` stands for any part of a name.
    pub rules: Vec<String>,
    /// Bytes of a body that rules see.
    pub body_bytes: u64,
    /// A request that could not be looked at whole is passed on, and not refused.
    pub pass_uninspected: bool,
    /// Bytes that one request may have transformed and searched.
    pub work: u64,
    /// How long all rules of one request may take.
    pub time: Duration,
    /// Answers are looked at too.
    pub answers: bool,
    /// Known attacks must be blocked, and plain requests pass, before a set is used.
    pub selftest: bool,
    /// Where a route says nothing.
    pub route: RouteWaf,
}

/// What a route does about rules.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteWaf {
    pub mode: WafMode,
    /// From 1, which disturbs nobody, to 4.
    pub paranoia: u32,
    /// Scores at which a request, and an answer, is refused.
    pub inbound: u32,
    pub outbound: u32,
    pub without: Vec<Exclusion>,
}

/// What comes of a rule that wants a request refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WafMode {
    Off,
    /// It is told in the log.
    Detect,
    Block,
}

/// Rules that are not run, or do not look at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    pub rules: Excluded,
    /// As rules write it, such as `ARGS:note`; `None` is the whole rule.
    pub target: Option<String>,
}

/// Which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excluded {
    Ids(u64, u64),
    Tag(String),
}
