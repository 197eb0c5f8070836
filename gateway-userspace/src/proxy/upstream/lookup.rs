//! Addresses of names that no supplier has, found as those of suppliers are: by `[dns]`.

use std::{net::IpAddr, sync::Arc};

use super::dns::{Failure, Resolver};

/// Asks for a name once; nothing of it is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Lookup(Arc<Resolver>);

/// Why nothing is known of a name.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct LookupError(#[from] Failure);

impl Lookup {
    pub(super) fn new(resolver: &Arc<Resolver>) -> Self {
        Self(Arc::clone(resolver))
    }

    /// Every address of a host, which may be one itself; none where the name has none.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_name) => Ok(self.0.find(host).await.addresses()?),
        }
    }
}
