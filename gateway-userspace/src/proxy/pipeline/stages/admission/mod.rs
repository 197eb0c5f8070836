//! Bounds the requests in flight, counted until each response body ends (CWE-770). Sheds with 503
//! rather than queueing: a queue would only move the wait to where nobody sees it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use gateway_common::Reason;

use crate::{
    config::model,
    proxy::pipeline::{
        context::RequestContext,
        decision::{Decision, Refusal},
        ticket::Ticket,
    },
};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Admission {
    in_flight: Arc<AtomicU32>,
    most: u32,
}

impl Admission {
    pub(crate) fn from_config(proxy: &model::Proxy) -> Self {
        Self { in_flight: Arc::default(), most: proxy.requests }
    }

    /// For another configuration: requests of both count together.
    pub(crate) fn succeed(&self, proxy: &model::Proxy) -> Self {
        Self { in_flight: Arc::clone(&self.in_flight), most: proxy.requests }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn check(&self, context: &mut RequestContext) -> Decision {
        match self.admit() {
            Some(ticket) => {
                context.ticket = Some(ticket);
                Decision::Continue
            }
            None => Refusal::new(Reason::Overloaded, "proxy.requests are in flight").into(),
        }
    }

    fn admit(&self) -> Option<Ticket> {
        Ticket::take(&self.in_flight, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_up_to_the_bound_and_again_when_a_request_ends() {
        let admission = Admission { in_flight: Arc::default(), most: 2 };
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        assert!(admission.admit().is_none());
        assert_eq!(admission.in_flight(), 2);
        drop(first);
        assert!(admission.admit().is_some());
    }
}
