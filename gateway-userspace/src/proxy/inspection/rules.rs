//! The rules of a configuration, read and tried: made once, shared by all workers, and kept over
//! reloads that do not change them.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::seclang::{Exclude, Fault, Files, Kept, RuleSet, SelfTestError, Settings};
use crate::{
    clock,
    config::model::{Config, Excluded, Exclusion, Route, RouteWaf, Waf, WafMode},
    proxy::secrets::Secrets,
};

/// Faults that are told at once, at most.
const TOLD: usize = 10;

/// Rules, and how each route runs them.
#[derive(Debug, Clone)]
pub(crate) struct Ruled {
    pub(crate) rules: Arc<Rules>,
    /// By route index; `None` runs none.
    pub(crate) routes: Vec<Option<Arc<Settings>>>,
}

/// Rules, with what they keep between requests.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) set: Arc<RuleSet>,
    pub(crate) kept: Arc<Kept>,
    digest: Vec<u8>,
}

/// Why rules are not used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("rules cannot be used:\n{0}")]
    Faults(String),
    #[error("an exclusion of rules: {0}")]
    Exclusion(String),
    #[error("rules failed their test (waf.selftest)")]
    SelfTest(#[from] SelfTestError),
}

impl Ruled {
    /// Reads the rules of a configuration from the files it came with; `before` are used again if
    /// they were made from the same.
    pub(crate) fn load(
        config: &Config,
        secrets: &Secrets,
        before: Option<&Self>,
    ) -> Result<Option<Self>, RulesError> {
        let Some(waf) = &config.waf else { return Ok(None) };
        let route = |route: &Route| match route.waf.mode {
            WafMode::Off => Ok(None),
            WafMode::Detect | WafMode::Block => settings(waf, &route.waf).map(Arc::new).map(Some),
        };
        let routes = config.routes.iter().map(route).collect::<Result<_, _>>()?;
        let rules = Rules::load(waf, secrets, before.map(|before| &before.rules))?;
        Ok(Some(Self { rules, routes }))
    }
}

impl Rules {
    fn load(
        waf: &Waf,
        secrets: &Secrets,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, RulesError> {
        let files = files(waf, secrets);
        let digest = digest(waf, &files);
        if let Some(same) = before.filter(|before| before.digest == digest) {
            return Ok(Arc::clone(same));
        }
        let set = RuleSet::load(&Files::new(files), &waf.rules).map_err(|faults| told(&faults))?;
        let set = Arc::new(set);
        if waf.selftest {
            set.selftest(&settings(waf, &waf.route)?, clock::now)?;
        }
        for note in set.notes() {
            tracing::info!(%note, "of the rules");
        }
        tracing::info!(rules = set.len(), versions = ?set.signatures(), "rules ready");
        let kept = before.map(|before| Arc::clone(&before.kept)).unwrap_or_default();
        Ok(Arc::new(Self { set, kept, digest }))
    }
}

/// How a route runs rules.
fn settings(waf: &Waf, route: &RouteWaf) -> Result<Settings, RulesError> {
    let paranoia = route.paranoia.to_string();
    // The names of version 3 and of version 4 of the Core Rule Set; others have no use for either.
    let variables = [
        ("paranoia_level", &paranoia),
        ("executing_paranoia_level", &paranoia),
        ("blocking_paranoia_level", &paranoia),
        ("detection_paranoia_level", &paranoia),
        ("inbound_anomaly_score_threshold", &route.inbound.to_string()),
        ("outbound_anomaly_score_threshold", &route.outbound.to_string()),
    ];
    Ok(Settings {
        detect: route.mode != WafMode::Block,
        variables: variables.map(|(name, value)| (name.to_owned(), value.clone())).to_vec(),
        without: route.without.iter().map(exclude).collect::<Result<_, _>>()?,
        work: usize::try_from(waf.work).unwrap_or(usize::MAX),
        time: waf.time,
    })
}

fn exclude(exclusion: &Exclusion) -> Result<Exclude, RulesError> {
    let target = exclusion.target.as_deref();
    let exclude = match &exclusion.rules {
        Excluded::Ids(from, to) => Exclude::ids(*from, *to, target),
        Excluded::Tag(tag) => Exclude::tag(tag, target),
    };
    exclude.map_err(RulesError::Exclusion)
}

fn files(waf: &Waf, secrets: &Secrets) -> Vec<(String, Vec<u8>)> {
    let mut folders: Vec<&str> =
        waf.rules.iter().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    folders.sort_unstable();
    folders.dedup();
    let all = folders.iter().flat_map(|folder| secrets.inside(folder));
    all.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect()
}

fn digest(waf: &Waf, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut hash = Context::new(&SHA256);
    let mut files: Vec<&(String, Vec<u8>)> = files.iter().collect();
    files.sort();
    let files = files.iter().flat_map(|(path, content)| [path.as_bytes(), content.as_slice()]);
    let test = format!("{:?} {:?}", waf.selftest.then_some(&waf.route), waf.rules);
    for part in files.chain([test.as_bytes()]) {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finish().as_ref().to_vec()
}

fn told(faults: &[Fault]) -> RulesError {
    let lines: Vec<String> = faults.iter().take(TOLD).map(ToString::to_string).collect();
    RulesError::Faults(lines.join("\n"))
}
