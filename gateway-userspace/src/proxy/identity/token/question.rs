//! What has to be found out about a token before its request goes on.

use std::sync::Arc;

use super::{Digest, Token};
use crate::{
    clock::Wall,
    proxy::{
        identity::{jwt::Fault, provider::Provider},
        worker::Shared,
    },
};

/// One token, and whom to ask.
#[derive(Debug)]
pub(crate) struct Question {
    provider: Arc<Provider>,
    token: zeroize::Zeroizing<Vec<u8>>,
    digest: Digest,
    now: Wall,
}

impl Question {
    pub(crate) fn new(provider: &Arc<Provider>, token: Vec<u8>, digest: Digest, now: Wall) -> Self {
        Self { provider: Arc::clone(provider), token: token.into(), digest, now }
    }

    /// May wait for the issuer, within bounds.
    pub(crate) async fn answer(self, shared: &Shared) -> Result<Arc<Token>, Fault> {
        self.provider.find_out(shared, &self.token, &self.digest, self.now).await
    }
}
