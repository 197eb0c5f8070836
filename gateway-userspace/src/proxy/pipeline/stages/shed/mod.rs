//! Who is served when not all can be (CWE-770). Each route has a bound of its own, so that a slow
//! supplier takes no more than its part of `proxy.requests`; and the last places are for routes of a
//! higher class. Sheds at once, with 503: a queue would make all wait for what few get.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU32},
};

use gateway_common::Reason;

use crate::{
    config::model::{self, Priority},
    proxy::{
        pipeline::{
            context::RequestContext,
            decision::{Decision, Refusal},
            ticket::Ticket,
        },
        router::Route,
    },
};

/// Percent of `proxy.requests` that may be in flight for a request of the class to join them. What
/// is normal gives way only where a route is high.
const LOW: u64 = 70;
const NORMAL_BELOW_HIGH: u64 = 90;

/// Shared by all workers; by route index.
#[derive(Debug)]
pub(crate) struct Shed {
    routes: Vec<Bounds>,
    /// By route name, what is in flight on a bounded one.
    in_flight: HashMap<String, Arc<AtomicU32>>,
}

#[derive(Debug)]
struct Bounds {
    /// Requests of all routes that may be in flight, this one included.
    most: u32,
    own: Option<Own>,
}

/// The route's own bound.
#[derive(Debug)]
struct Own {
    in_flight: Arc<AtomicU32>,
    most: u32,
}

impl Shed {
    pub(crate) fn from_config(routes: &[model::Route], requests: u32) -> Self {
        Self { routes: Vec::new(), in_flight: HashMap::new() }.succeed(routes, requests)
    }

    /// For another configuration: requests of both count together, route by route.
    pub(crate) fn succeed(&self, routes: &[model::Route], requests: u32) -> Self {
        let high = routes.iter().any(|route| route.priority == Priority::High);
        let mut in_flight = HashMap::new();
        let bounds = |route: &model::Route| Bounds {
            most: most(route.priority, high, requests),
            own: route.concurrency.map(|most| {
                let known = self.in_flight.get(&route.name).map(Arc::clone).unwrap_or_default();
                in_flight.insert(route.name.clone(), Arc::clone(&known));
                Own { in_flight: known, most }
            }),
        };
        let routes = routes.iter().map(bounds).collect();
        Self { routes, in_flight }
    }

    /// `in_flight` are the requests of all routes, this one included.
    pub(crate) fn check(
        &self,
        context: &mut RequestContext,
        route: &Route,
        in_flight: u32,
    ) -> Decision {
        let Some(bounds) = self.routes.get(route.index) else { return Decision::Continue };
        if in_flight > bounds.most {
            return Refusal::new(Reason::Shed, "places are left for routes of a higher class")
                .into();
        }
        let Some(own) = &bounds.own else { return Decision::Continue };
        context.place = Ticket::take(&own.in_flight, own.most);
        if context.place.is_none() {
            return Refusal::new(Reason::RouteBusy, "the route's concurrency").into();
        }
        Decision::Continue
    }
}

fn most(class: Priority, high: bool, requests: u32) -> u32 {
    let percent = match class {
        Priority::Normal if high => NORMAL_BELOW_HIGH,
        Priority::High | Priority::Normal => 100,
        Priority::Low => LOW,
    };
    // One at least: an idle gateway serves everybody.
    let most = (u64::from(requests) * percent / 100).max(1);
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_places_are_for_the_higher_class() {
        let of = |class, high| most(class, high, 1000);
        assert_eq!(of(Priority::High, true), 1000);
        assert_eq!(of(Priority::Normal, true), 900);
        assert_eq!(of(Priority::Normal, false), 1000);
        assert_eq!((of(Priority::Low, true), of(Priority::Low, false)), (700, 700));
        assert_eq!(most(Priority::Low, true, 1), 1);
    }

    #[test]
    fn a_place_is_given_back_when_its_request_ends() {
        let taken = Arc::default();
        let first = Ticket::take(&taken, 1).unwrap();
        assert!(Ticket::take(&taken, 1).is_none());
        drop(first);
        assert!(Ticket::take(&taken, 1).is_some());
    }
}
