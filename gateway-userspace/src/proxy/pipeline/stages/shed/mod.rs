//! Who is served when not all can be (CWE-770). Each route has a bound of its own, so that a slow
//! supplier takes no more than its part of `proxy.requests`; and the last places, and the last of
//! `proxy.memory`, are for routes of a higher class. Sheds at once, with 503: a queue would make all
//! wait for what few get.

mod gradient;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gateway_common::Reason;
use http::StatusCode;

use self::gradient::Gradient;
use crate::{
    clock,
    config::model::{self, Priority},
    proxy::{
        memory::{Level, Memory},
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
    /// By route name, the bounds that go on with another configuration.
    own: HashMap<String, Own>,
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct Bounds {
    /// Requests of all routes that may be in flight, this one included.
    most: u32,
    /// The level of memory at which the class is shed.
    memory: Level,
    own: Option<Own>,
}

/// The route's own bound.
#[derive(Debug, Clone)]
struct Own {
    in_flight: Arc<AtomicU32>,
    most: u32,
    /// Where less may be in flight while the supplier is slow.
    gradient: Option<Arc<Gradient>>,
}

impl Own {
    fn now(&self) -> u32 {
        self.gradient.as_ref().map_or(self.most, |gradient| gradient.limit())
    }
}

impl Shed {
    pub(crate) fn from_config(routes: &[model::Route], requests: u32, memory: Arc<Memory>) -> Self {
        Self { routes: Vec::new(), own: HashMap::new(), memory }.succeed(routes, requests)
    }

    /// For another configuration: requests of both count together, route by route.
    pub(crate) fn succeed(&self, routes: &[model::Route], requests: u32) -> Self {
        let high = routes.iter().any(|route| route.priority == Priority::High);
        let now = clock::now();
        let mut kept = HashMap::new();
        let bounds = |route: &model::Route| {
            let own = own(route, requests, self.own.get(&route.name), now);
            if let Some(own) = &own {
                kept.insert(route.name.clone(), own.clone());
            }
            Bounds {
                most: most(route.priority, high, requests),
                memory: level(route.priority, high),
                own,
            }
        };
        let routes = routes.iter().map(bounds).collect();
        Self { routes, own: kept, memory: Arc::clone(&self.memory) }
    }

    pub(crate) fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory)
    }

    /// Of each bounded route its index, what is in flight, and what may be now.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        self.routes.iter().enumerate().filter_map(|(index, bounds)| {
            let own = bounds.own.as_ref()?;
            Some((index, own.in_flight.load(Relaxed), own.now()))
        })
    }

    /// A supplier took `took` to answer, or to let the route's patience run out. Its own refusals
    /// say nothing: they are quick however much there is to do.
    pub(crate) fn learn(
        &self,
        route: &Route,
        took: Duration,
        answer: Result<StatusCode, Reason>,
        now: Instant,
    ) {
        let own = self.routes.get(route.index).and_then(|bounds| bounds.own.as_ref());
        let Some((own, gradient)) = own.and_then(|own| Some((own, own.gradient.as_ref()?))) else {
            return;
        };
        let telling = match answer {
            Ok(status) => !status.is_server_error(),
            Err(reason) => matches!(reason, Reason::SupplierTimeout | Reason::SupplierQueue),
        };
        if telling {
            gradient.learn(took, own.in_flight.load(Relaxed), now);
        }
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
        if self.memory.level() >= bounds.memory {
            return Refusal::new(Reason::Memory, "proxy.memory").into();
        }
        let Some(own) = &bounds.own else { return Decision::Continue };
        context.place = Ticket::take(&own.in_flight, own.now());
        if context.place.is_none() {
            return Refusal::new(Reason::RouteBusy, "the route's concurrency").into();
        }
        Decision::Continue
    }
}

fn own(route: &model::Route, requests: u32, before: Option<&Own>, now: Instant) -> Option<Own> {
    if route.concurrency.is_none() && !route.adaptive {
        return None;
    }
    let most = route.concurrency.unwrap_or(requests).min(requests);
    let known = before.and_then(|own| own.gradient.as_ref()).filter(|known| known.most() == most);
    let fresh = || Arc::new(Gradient::new(most, now));
    Some(Own {
        in_flight: before.map(|own| Arc::clone(&own.in_flight)).unwrap_or_default(),
        most,
        gradient: route.adaptive.then(|| known.map_or_else(fresh, Arc::clone)),
    })
}

fn level(class: Priority, high: bool) -> Level {
    match class {
        Priority::Low => Level::Tight,
        Priority::Normal if high => Level::Scarce,
        Priority::Normal | Priority::High => Level::Full,
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
