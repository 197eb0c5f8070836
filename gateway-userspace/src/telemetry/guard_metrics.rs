//! What the guard's numbers mean, for the `HELP` of each. The guard names them, in its status.

/// Name without prefix, and meaning. The same rows stand in `docs/metrics.md`.
const MEANINGS: [(&str, &str); 43] = [
    ("allows", "Allowed prefixes"),
    ("ban_capacity", "Single bans that the filter has room for, both families together"),
    ("ban_refusals_total", "Bans that were not made"),
    ("ban_strike_to_drop_microseconds", "From a strike until the first packet was dropped for it"),
    ("ban_strike_to_map_microseconds", "From a strike until its ban was in the kernel"),
    ("bans", "Single bans in force"),
    ("clock_jumps_total", "Jumps of the wall clock that expiries were set right for"),
    ("control_refused_total", "Connections to the control socket that were refused"),
    ("control_requests_total", "Commands served on the control socket"),
    ("drop_events_lost_total", "Sampled drops that the ring had no room for"),
    ("drop_events_total", "Drops that the kernel sampled"),
    ("drop_events_unsampled_total", "Drops beyond those sampled in their second"),
    ("event_subscribers", "Commands that follow the drops"),
    ("event_subscribers_refused_total", "Commands not let follow because too many did"),
    ("events_unread_total", "Sampled drops that a command following them was too slow for"),
    ("keys", "API keys, revoked ones included"),
    ("list_entries", "Bans in force by lists, merged"),
    ("lists", "Lists of bans"),
    ("memory_evictions_total", "Sources that had to go for others in what gateway why remembers"),
    ("offender_evictions_total", "Past offenders that had to go for others"),
    ("offenders", "Sources whose past bans still count"),
    ("policy_rollbacks_total", "Policies that were tried and not confirmed in time"),
    ("policy_trial_seconds_left", "Time left to confirm the policy on trial; 0 without one"),
    ("proxy_broken_total", "Connections to a proxy broken off for a frame it should not have sent"),
    ("proxy_messages_refused_total", "Messages from the proxy that the guard did not act on"),
    ("proxy_messages_total", "Messages from the proxy"),
    ("proxy_queries_refused_total", "Questions not put to the proxy because too many were open"),
    ("proxy_restarts_total", "Times the proxy was started anew"),
    ("sent_seen", "1 if what this host sends by the interface is seen"),
    ("shadow", "1 while what the class would drop is only counted"),
    ("store_errors_total", "Writes to the store that failed"),
    ("store_lost_total", "Changes the store lost because its queue was full"),
    ("store_pending", "Changes that wait for the store"),
    ("strike_bans_total", "Bans made for strikes"),
    ("strike_evictions_total", "Scores that had to go for others"),
    ("strike_source_capacity", "Sources with a score, at most (bans.sources)"),
    ("strike_sources", "Sources with a strike score"),
    ("strikes_ignored_total", "Strikes that did not count"),
    ("strikes_total", "Strikes received from the proxy"),
    ("sweep_failures_total", "Sweeps of expired bans that the kernel refused"),
    ("syn_cookies_on", "1 while SYNs are answered with cookies"),
    ("trust_evictions_total", "Sources that authenticated lately and had to go for others"),
    ("trusts_total", "Authenticated successes that the proxy reported"),
];

/// The meaning of a number; of one that a newer guard added, where to look.
pub(super) fn meaning(name: &str) -> &'static str {
    let known = MEANINGS.iter().find(|(known, _)| *known == name);
    known.map_or("A number of the guard that this proxy does not know", |(_, meaning)| meaning)
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MEANINGS.iter().map(|(name, _)| *name)
}
