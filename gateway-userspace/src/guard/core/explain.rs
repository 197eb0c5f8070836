//! What the guard tells of itself and of an address: `status`, the numbers of a scrape, and `why`.

use std::{net::IpAddr, sync::atomic::Ordering, time::Duration};

use gateway_common::Class;
use ipnet::IpNet;

use super::Core;
use crate::{
    clock,
    control::{InterfaceStatus, KernelStatus, ProtectedStatus, Status, Told, Usage, Why},
    guard::{
        address::{canonical, source},
        events::Latency,
        kernel::BanSource,
        protect::Protection,
    },
    ipc::message::{GuardMetric, KernelReport},
};

/// What the filter calls its modes that drop nothing, and what that means for a ban.
const TOOTHLESS: [(&str, &str); 3] = [
    ("panic pass", "every packet passes by operator's order (`gateway panic restore` ends it)"),
    ("shadow", "the filter is in shadow mode: what would be dropped is counted and passes"),
    ("off", "the packet filter is off: bans drop nothing"),
];

impl Core {
    pub(super) fn status(&self) -> Status {
        let (scores, kernel) = (self.bans.judge().scores(), self.kernel_status());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guard_pid: std::process::id(),
            uptime_seconds: clock::now().saturating_duration_since(self.started).as_secs(),
            started_ns: self.started_ns,
            configuration: self.configuration_status(),
            policy: self.policy_status(),
            protected: self.protected_now(),
            proxy: self.keeper.status(),
            bans: Usage {
                used: count(self.bans.table().len()),
                capacity: count(self.bans.capacity()),
                refused: self.bans.refused().map(|(_, times)| times).sum(),
            },
            strikes: Usage {
                used: count(scores.len()),
                capacity: count(scores.capacity()),
                refused: scores.evicted(),
            },
            warnings: self.warnings(&kernel),
            kernel,
        }
    }

    /// What no ban may touch because of what was seen lately.
    fn protected_now(&self) -> Vec<ProtectedStatus> {
        let protected = self.bans.protected().of_the_moment(clock::now());
        let status = |(net, why, left): (IpNet, Protection, Option<Duration>)| ProtectedStatus {
            net,
            why: why.to_string(),
            left: left.map(|left| left.as_secs()),
        };
        protected.map(status).collect()
    }

    fn kernel_status(&self) -> KernelStatus {
        let syn_cookies =
            self.cookies.status(&self.config.kernel.syn_cookies, self.kernel.0.lacks_for_cookies());
        KernelStatus { syn_cookies, ..self.kernel.0.status() }
    }

    /// What a scrape of the proxy's metrics shows of kernel and guard.
    pub(super) fn report(&self) -> KernelReport {
        KernelReport {
            reasons: self.kernel.0.counters().unwrap_or_default(),
            interfaces: self.kernel.0.interface_counters().unwrap_or_default(),
            guard: self.metrics(),
        }
    }

    pub(super) fn why_address(&self, address: IpAddr) -> Why {
        let address = canonical(address);
        let (net, now) = (source(address), clock::now());
        let ban = self.bans.table().covering_address(address);
        let ban = ban.map(|(net, ban)| self.shown(net, ban));
        Why {
            subject: address.to_string(),
            findings: self.findings(address),
            ban: ban.or_else(|| self.listed(address, self.wall())),
            strikes: self.memory.strikes(net, now),
            drops: self.memory.drops(net, clock::monotonic_ns()),
            proxy: Told::default(),
        }
    }

    pub(super) fn why_request(id: &str) -> Why {
        let findings = vec!["requests are remembered by the proxy alone".to_owned()];
        Why { subject: id.to_owned(), findings, ..Why::default() }
    }

    fn findings(&self, address: IpAddr) -> Vec<String> {
        let (net, now) = (source(address), clock::now());
        let judge = self.bans.judge();
        let mut findings = Vec::new();
        findings.extend(self.toothless().map(str::to_owned));
        if let Some((allowed, configured)) = self.allows.covering(address.into()) {
            let by = if configured { "kernel.protect" } else { "the operator" };
            findings.push(format!("{allowed} is allowed by {by}: no ban and no policy touches it"));
        }
        if let Some((banned, ban)) = self.bans.table().covering_address(address) {
            let (by, why) = (ban.source.name(), ban.reason.info().title);
            let left = ban.left(self.wall());
            let how_long = left.map_or("for ever".to_owned(), |left| format!("for {}", span(left)));
            findings.push(format!("{banned} is banned {how_long} (by {by}: {why})"));
        }
        if let Some(listed) = self.listed(address, self.wall()) {
            let left = listed.left.map(Duration::from_secs);
            let how_long = left.map_or("for ever".to_owned(), |left| format!("for {}", span(left)));
            let crate::control::Ban { net, list, source, .. } = listed;
            findings.push(format!("{net} is banned {how_long} (by {source}: list {list})"));
        }
        findings.extend(self.held_against(address));
        if let Some((protected, why)) = self.bans.protected().covering(address.into()) {
            findings.push(format!("{protected} is protected from bans, because {why}"));
        }
        if judge.is_shared(net) {
            findings.push("it is in kernel.shared: strikes do not lead to a ban".to_owned());
        }
        if judge.is_trusted(net, now) {
            findings.push("it authenticated lately: strikes do not lead to a ban".to_owned());
        }
        if let Some(score) = judge.scores().of(net, now) {
            let threshold = judge.settings().threshold;
            findings.push(format!("{net} has a strike score of {score:.0}; {threshold} bans"));
        }
        findings.extend(self.past(net));
        if findings.is_empty() {
            findings.push("the guard has nothing against it".to_owned());
        }
        findings
    }

    /// Why bans drop nothing at the moment, if they do not.
    pub(super) fn toothless(&self) -> Option<&'static str> {
        let mode = self.kernel.0.status().mode;
        TOOTHLESS.iter().find(|(name, _)| *name == mode).map(|(_, why)| *why)
    }

    /// The strike bans of `net` that are over and still count.
    fn past(&self, net: IpNet) -> Option<String> {
        let past = self.bans.judge().offenders().bans_of(net)?.bans;
        let stands = self.bans.table().get(net).is_some_and(|ban| ban.source == BanSource::Strike);
        match past.saturating_sub(u32::from(stands)) {
            0 => None,
            1 => Some(format!("{net} was banned for strikes once before")),
            times => Some(format!("{net} was banned for strikes {times} times before")),
        }
    }

    fn warnings(&self, kernel: &KernelStatus) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        warnings.extend(kernel.interfaces.iter().filter_map(unseen));
        warnings.extend(kernel.interfaces.iter().filter_map(hidden));
        let store = self.store.reading();
        if store.pending > 0 {
            warnings.push(format!(
                "the store is behind by {} changes: it cannot be written, see the log",
                store.pending
            ));
        }
        if store.lost > 0 {
            warnings.push(format!("the store lost {} changes for want of room", store.lost));
        }
        warnings.extend(self.policies.other_file().filter(|_| self.config.kernel.enabled));
        if !self.config.kernel.enabled {
            warnings.push("the packet filter is off: bans drop nothing".to_owned());
        }
        warnings
    }

    /// The table of the guard's metrics: name, label, value.
    fn metrics(&self) -> Vec<GuardMetric> {
        let (judge, store) = (self.bans.judge(), self.store.reading());
        let (scores, keeper) = (judge.scores(), self.keeper.counts());
        let untold = self.kernel.0.untold().unwrap_or_default();
        let single = [
            ("bans", count(self.bans.table().len())),
            ("ban_capacity", count(self.bans.capacity())),
            ("lists", count(self.lists.named().len())),
            ("list_entries", self.lists.named().values().map(|list| count(list.nets.len())).sum()),
            ("strike_bans_total", self.counts.strike_bans),
            ("strikes_total", self.counts.strikes),
            ("trusts_total", self.counts.trusts),
            ("strike_sources", count(scores.len())),
            ("strike_source_capacity", count(scores.capacity())),
            ("strike_evictions_total", scores.evicted()),
            ("trust_evictions_total", judge.trust_evicted()),
            ("offenders", count(judge.offenders().len())),
            ("offender_evictions_total", judge.offenders().evicted()),
            ("allows", count(self.allows.kernel_allows().len())),
            ("keys", count(self.keys.len())),
            ("drop_events_total", self.memory.drop_events()),
            ("drop_events_lost_total", untold.lost),
            ("drop_events_unsampled_total", untold.unsampled),
            ("event_subscribers", count(self.watch.subscribers())),
            ("event_subscribers_refused_total", self.watch.refused()),
            ("events_unread_total", self.watch.lost()),
            ("memory_evictions_total", self.memory.evicted()),
            ("store_errors_total", store.errors),
            ("store_lost_total", store.lost),
            ("store_pending", store.pending),
            ("policy_rollbacks_total", self.counts.policy_rollbacks),
            ("policy_trial_seconds_left", self.seconds_left()),
            ("clock_jumps_total", self.counts.clock_jumps),
            ("sweep_failures_total", self.counts.sweep_failures),
            ("syn_cookies_on", u64::from(self.cookies.is_on())),
            ("proxy_restarts_total", keeper.restarts),
            ("proxy_broken_total", keeper.broken),
            ("proxy_messages_total", keeper.messages),
            ("proxy_queries_refused_total", self.counts.queries_refused),
            ("proxy_messages_refused_total", self.counts.messages_refused),
            ("control_requests_total", self.door.served.load(Ordering::Relaxed)),
            ("control_refused_total", self.door.refused.load(Ordering::Relaxed)),
        ];
        let mut metrics: Vec<_> =
            single.iter().map(|(name, value)| metric(name, "", *value)).collect();
        metrics.extend(self.bans.refused().map(|(why, n)| metric("ban_refusals_total", why, n)));
        let ignored = judge.ignored();
        metrics.extend(ignored.map(|(why, n)| metric("strikes_ignored_total", why.name(), n)));
        let in_shadow = self.kernel.0.in_shadow().unwrap_or_default();
        metrics.extend(Class::ALL.map(|class| {
            metric("shadow", class.name(), u64::from(class.bits() & !in_shadow == 0))
        }));
        let sight = self.kernel.0.sight();
        metrics.extend(sight.iter().map(|(name, sees)| metric("sent_seen", name, (*sees).into())));
        metrics.extend(latency("ban_strike_to_map_microseconds", self.memory.to_map()));
        metrics.extend(latency("ban_strike_to_drop_microseconds", self.memory.to_drop()));
        metrics
    }
}

fn metric(name: &str, label: &str, value: u64) -> GuardMetric {
    GuardMetric { name: name.to_owned(), label: label.to_owned(), value }
}

fn latency(name: &str, latency: Latency) -> [GuardMetric; 4] {
    [
        metric(name, "last", latency.last),
        metric(name, "max", latency.max),
        metric(name, "sum", latency.sum),
        metric(name, "count", latency.count),
    ]
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn span(left: Duration) -> String {
    format!("{} s", left.as_secs())
}

/// What does not work where the filter cannot see what this host sends.
fn unseen(interface: &InterfaceStatus) -> Option<String> {
    let why = interface.egress.strip_prefix("not seen: ")?;
    Some(format!(
        "what this host sends by {} is not seen ({why}): answers to pings and to unconnected UDP \
         sockets are taken for unasked, and dropped where the policy is closed; where it is open, \
         UDP from kernel.amplifiers passes and counts as udp_amplification in shadow mode",
        interface.name
    ))
}

/// What others may keep from the program that sees what this host sends.
fn hidden(interface: &InterfaceStatus) -> Option<String> {
    if interface.before_egress.is_empty() {
        return None;
    }
    Some(format!(
        "on the way out of {}, {} comes before gateway: what it drops or sends elsewhere is not \
         seen, and if it ends the walk nothing is (answers to pings and to unconnected UDP sockets \
         are then taken for unasked); let it run behind, or start gateway after it",
        interface.name,
        interface.before_egress.join(", ")
    ))
}
