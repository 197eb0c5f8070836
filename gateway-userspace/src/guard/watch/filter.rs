//! Which drops somebody asked for: comparisons of fields of fixed size, and of nothing a stranger
//! sent beyond them.

use ipnet::IpNet;

use super::seen::Seen;
use crate::{
    guard::address::canonical_net,
    sampled::{self, reasons},
};

/// What was asked for, checked.
#[derive(Debug, Clone, Default)]
pub(in crate::guard) struct Filter {
    /// Bit by number of reason; zero for any.
    reasons: u64,
    source: Option<IpNet>,
    port: Option<u16>,
    interface: Option<String>,
}

/// No packet is dropped for this.
#[derive(Debug, thiserror::Error)]
#[error("no packet is dropped for `{name}`; docs/reasons.md lists the reasons")]
pub(in crate::guard) struct UnknownReason {
    name: String,
}

impl Filter {
    pub(in crate::guard) fn new(asked: sampled::Filter) -> Result<Self, UnknownReason> {
        let mut bits = 0;
        for name in asked.reasons {
            let known = reasons().find(|reason| reason.name() == name);
            bits |= 1 << known.ok_or(UnknownReason { name })?.number();
        }
        Ok(Self {
            reasons: bits,
            source: asked.source.map(canonical_net),
            port: asked.port,
            interface: asked.interface,
        })
    }

    pub(super) fn takes(&self, seen: &Seen) -> bool {
        let number = u32::from(seen.event.reason.number());
        let by_reason =
            self.reasons == 0 || self.reasons.checked_shr(number).is_some_and(|bits| bits & 1 == 1);
        by_reason
            && self.source.is_none_or(|net| seen.event.source.is_some_and(|at| net.contains(&at)))
            && self.port.is_none_or(|port| seen.event.transport.has_port(port))
            && self.interface.as_deref().is_none_or(|name| name == &*seen.interface)
    }
}
