//! The contracts of a configuration's routes, compiled; kept over reloads that do not change them.

use std::{collections::HashMap, sync::Arc};

use super::openapi::{Contract, Fault, Settings};
use crate::{
    config::model::{Config, OpenApi, Unknown},
    proxy::secrets::Secrets,
};

type Texts = Vec<(String, Vec<u8>)>;

/// By route index; `None` has none.
#[derive(Debug, Default)]
pub(crate) struct Contracts {
    routes: Vec<Option<Arc<Contract>>>,
    /// What each was made from.
    made: HashMap<(Option<String>, bool, Texts), Arc<Contract>>,
}

/// Why a contract cannot be held to.
#[derive(Debug, thiserror::Error)]
#[error("the contract of the route {route}: {fault}")]
pub struct ContractError {
    route: String,
    fault: Fault,
}

impl Contracts {
    /// Compiles every route's contract from the files the configuration came with.
    pub(crate) fn load(
        config: &Config,
        secrets: &Secrets,
        before: Option<&Self>,
    ) -> Result<Self, ContractError> {
        let mut all = Self::default();
        for route in &config.routes {
            let contract = route.openapi.as_ref().map(|openapi| {
                all.one(openapi, secrets, before)
                    .map_err(|fault| ContractError { route: route.name.clone(), fault })
            });
            all.routes.push(contract.transpose()?);
        }
        Ok(all)
    }

    fn one(
        &mut self,
        openapi: &OpenApi,
        secrets: &Secrets,
        before: Option<&Self>,
    ) -> Result<Arc<Contract>, Fault> {
        let closed = openapi.unknown != Unknown::Pass;
        let from = (openapi.base.clone(), closed, texts(openapi, secrets));
        let known = self.made.get(&from).or_else(|| before?.made.get(&from));
        let contract = if let Some(known) = known {
            Arc::clone(known)
        } else {
            let settings = Settings { base: from.0.clone(), closed };
            Arc::new(Contract::compile(&from.2, &settings)?)
        };
        self.made.insert(from, Arc::clone(&contract));
        Ok(contract)
    }

    pub(crate) fn of(&self, route: usize) -> Option<&Arc<Contract>> {
        self.routes.get(route)?.as_ref()
    }
}

/// The documents by the names by which they refer to each other.
fn texts(openapi: &OpenApi, secrets: &Secrets) -> Texts {
    let text = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, secrets.get(path).unwrap_or_default().to_vec())
    };
    openapi.documents.iter().map(text).collect()
}
