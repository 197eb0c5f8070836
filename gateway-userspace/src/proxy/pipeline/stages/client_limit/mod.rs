//! The route's own limit, by authenticated client or by address, told to the client in `RateLimit`
//! fields (draft-ietf-httpapi-ratelimit-headers) before it runs into it.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use gateway_common::Reason;
use http::HeaderValue;

use crate::{
    config::model::{self, LimitKey, Rate},
    proxy::{
        limits::{Limiter, Verdict},
        pipeline::{
            context::{QuotaFields, RequestContext},
            decision::{Decision, Refusal},
        },
        router::Route,
        source,
    },
};

/// What a limit counts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Client(Arc<str>),
    Address(IpAddr),
}

/// The limits of all routes, by route index.
#[derive(Debug)]
pub(crate) struct ClientLimit {
    routes: Vec<Option<Limit>>,
    /// By route name: what each limit was made from.
    made: HashMap<String, Made>,
}

/// A limit's settings, and the limit, which outlives a reload that does not change them.
#[derive(Debug)]
struct Made {
    settings: (model::RouteLimit, u32),
    limiter: Arc<Limiter<Subject>>,
}

#[derive(Debug)]
struct Limit {
    limiter: Arc<Limiter<Subject>>,
    per: LimitKey,
    policy: Policy,
}

/// A rate as the draft writes one: a quota of requests in a window of whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    quota: u64,
    window: u64,
    field: HeaderValue,
}

impl ClientLimit {
    pub(crate) fn from_config(routes: &[model::Route], keys: u32) -> Self {
        Self { routes: Vec::new(), made: HashMap::new() }.succeed(routes, keys)
    }

    /// For another configuration: a route of the same name and limit counts on where it was.
    pub(crate) fn succeed(&self, routes: &[model::Route], keys: u32) -> Self {
        let mut next = Self { routes: Vec::with_capacity(routes.len()), made: HashMap::new() };
        for route in routes {
            let limit = route.limit.map(|limit| {
                let known = self.made.get(&route.name);
                let known = known.filter(|made| made.settings == (limit, keys));
                let limiter = known.map_or_else(
                    || Arc::new(Limiter::new(limit.rate, keys)),
                    |made| Arc::clone(&made.limiter),
                );
                let made = Made { settings: (limit, keys), limiter: Arc::clone(&limiter) };
                next.made.insert(route.name.clone(), made);
                Limit { limiter, per: limit.per, policy: Policy::new(limit.rate) }
            });
            next.routes.push(limit);
        }
        next
    }

    /// Each limiter with its route's place in the configuration.
    pub(crate) fn limiters(&self) -> impl Iterator<Item = (usize, &Limiter<Subject>)> {
        let all = self.routes.iter().enumerate();
        all.filter_map(|(route, limit)| Some((route, &*limit.as_ref()?.limiter)))
    }

    pub(crate) fn check(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let Some(Some(limit)) = self.routes.get(route.index) else { return Decision::Continue };
        match limit.limiter.check(&limit.subject(context)) {
            Verdict::Within { remaining } => {
                context.quota = Some(limit.policy.fields(remaining, Duration::ZERO));
                Decision::Continue
            }
            Verdict::Over { wait } => {
                context.quota = Some(limit.policy.fields(0, wait));
                Refusal::new(Reason::ClientLimit, "the route's limit").retry_after(wait).into()
            }
            Verdict::Full => {
                Refusal::new(Reason::LimiterFull, "the route's limit has no room for the client")
                    .into()
            }
        }
    }
}

impl Limit {
    fn subject(&self, context: &RequestContext) -> Subject {
        match (self.per, &context.client) {
            (LimitKey::Client, Some(key)) => Subject::Client(Arc::clone(&key.subject)),
            (LimitKey::Client, None) | (LimitKey::Address, _) => {
                Subject::Address(source::counted(context.peer.source))
            }
        }
    }
}

impl Policy {
    fn new(rate: Rate) -> Self {
        let refill = rate.interval().saturating_mul(rate.burst);
        let (quota, window) = if refill >= Duration::from_secs(1) {
            (rate.burst, seconds(refill))
        } else {
            (rate.count, seconds(rate.per))
        };
        let text = format!("\"route\";q={quota};w={window}");
        let field = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { quota: quota.into(), window, field }
    }

    fn fields(&self, remaining: u32, wait: Duration) -> QuotaFields {
        let remaining = u64::from(remaining).min(self.quota);
        let reset = if wait.is_zero() {
            // Until the spent part is back.
            (self.quota - remaining).saturating_mul(self.window).div_ceil(self.quota.max(1))
        } else {
            seconds(wait)
        };
        let text = format!("\"route\";r={remaining};t={reset}");
        let limit = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        QuotaFields { policy: self.field.clone(), limit }
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_policy_as_a_quota_in_whole_seconds() {
        let policy = |count, per, burst| {
            let per = Duration::from_secs(per);
            Policy::new(Rate { count, per, burst }).field.to_str().unwrap().to_owned()
        };
        assert_eq!(policy(50, 1, 100), "\"route\";q=100;w=2");
        assert_eq!(policy(50, 1, 10), "\"route\";q=50;w=1");
        assert_eq!(policy(10, 60, 10), "\"route\";q=10;w=60");
    }

    #[test]
    fn says_what_is_left_and_when_it_is_back() {
        let policy = Policy::new(Rate { count: 10, per: Duration::from_mins(1), burst: 10 });
        let limit = |left, wait| policy.fields(left, wait).limit.to_str().unwrap().to_owned();
        assert_eq!(limit(10, Duration::ZERO), "\"route\";r=10;t=0");
        assert_eq!(limit(4, Duration::ZERO), "\"route\";r=4;t=36");
        assert_eq!(limit(0, Duration::from_millis(5500)), "\"route\";r=0;t=6");
    }
}
