//! Limits each address (/32, /64) before anything is known about its caller. Stops floods of
//! requests that cost more than a packet; does not stop many addresses acting together.

use std::{net::IpAddr, sync::Arc};

use gateway_common::Reason;

use crate::{
    config::model,
    proxy::{
        limits::{Limiter, Verdict},
        pipeline::{
            context::RequestContext,
            decision::{Decision, Refusal},
        },
        source,
    },
};

#[derive(Debug)]
pub(crate) struct AnonymousLimit {
    limiter: Arc<Limiter<IpAddr>>,
    settings: (model::Rate, u32),
}

impl AnonymousLimit {
    pub(crate) fn from_config(proxy: &model::Proxy) -> Self {
        let settings = (proxy.anonymous, proxy.limiter_keys);
        Self { limiter: Arc::new(Limiter::new(settings.0, settings.1)), settings }
    }

    /// For another configuration: what was counted by the same limit counts on.
    pub(crate) fn succeed(&self, proxy: &model::Proxy) -> Self {
        if self.settings != (proxy.anonymous, proxy.limiter_keys) {
            return Self::from_config(proxy);
        }
        Self { limiter: Arc::clone(&self.limiter), settings: self.settings }
    }

    pub(crate) fn limiter(&self) -> &Limiter<IpAddr> {
        &self.limiter
    }

    pub(crate) fn check(&self, context: &mut RequestContext) -> Decision {
        // A trusted proxy is many clients behind one address that is the operator's own.
        if context.peer.behind_proxy && !context.claims.client {
            return Decision::Continue;
        }
        match self.limiter.check(&source::counted(context.peer.source)) {
            Verdict::Within { .. } => Decision::Continue,
            Verdict::Over { wait } => {
                Refusal::new(Reason::AnonymousLimit, "proxy.anonymous").retry_after(wait).into()
            }
            Verdict::Full => {
                Refusal::new(Reason::LimiterFull, "proxy.anonymous has no room for the address")
                    .into()
            }
        }
    }
}
