//! What the guard does about what its proxy says. The proxy asks; here it is decided.

use std::{net::IpAddr, time::Instant};

use gateway_common::Reason;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Core, MINUTE, QUERIES, RESOLVED_LOGGED};
use crate::{
    clock,
    guard::{
        address::source,
        bans::{BanError, Judgement, Strike, Struck},
        chain,
        error::GuardError,
        worker::{Numbered, Reaction},
    },
    ipc::message::{FromGuard, FromProxy, Query},
};

impl Core {
    /// Takes note of an event of the proxy.
    pub(in crate::guard) fn proxy_event(
        &mut self,
        event: Numbered,
        now: Instant,
    ) -> Result<(), GuardError> {
        match self.keeper.heed(event, now) {
            Reaction::Nothing => {}
            Reaction::Serves => {
                self.door.keep_out(self.keeper.pid());
                self.reload_applied(None);
                self.catch_up_certificates();
            }
            Reaction::Failed { why } => {
                self.reload_failed(&format!("a fresh proxy does not start by it: {why}"));
            }
            Reaction::Heard(message) => self.heard(message, now),
            Reaction::Hopeless(why) => return Err(why),
        }
        Ok(())
    }

    /// Asks the proxy; the receiver resolves with its JSON, or fails if it does not answer.
    pub(super) fn query(&mut self, query: Query) -> oneshot::Receiver<String> {
        let (answer, said) = oneshot::channel();
        if self.queries.len() >= QUERIES {
            self.counts.queries_refused += 1;
        } else if self.keeper.is_serving() {
            self.next_query += 1;
            self.queries.insert(self.next_query, answer);
            self.keeper.tell(FromGuard::Query { id: self.next_query, query });
        }
        said
    }

    fn heard(&mut self, message: FromProxy, now: Instant) {
        match message {
            FromProxy::Strike { source, reason, at_ns, behind_proxy } => {
                self.struck(Strike { source, reason, behind_proxy }, at_ns, now);
            }
            FromProxy::Trust { source } => {
                self.counts.trusts += 1;
                self.bans.judge_mut().trust(source, now);
            }
            FromProxy::Resolved { name, addresses } => self.resolved(&name, &addresses, now),
            FromProxy::Renewed { id, refused, more } => self.renewed(id, &refused, more),
            FromProxy::KernelCounters { id } => {
                let report = self.report();
                self.keeper.tell(FromGuard::KernelCounters { id, report });
            }
            FromProxy::Answer { id, json } => {
                if let Some(waiting) = self.queries.remove(&id) {
                    // Who asked may have left.
                    drop(waiting.send(json));
                }
            }
            FromProxy::Applied { id } => self.reload_applied(Some(id)),
            FromProxy::NotApplied { id, why, fresh } => self.reload_not_applied(id, &why, fresh),
            FromProxy::Keep { id, what, content } => self.keep(id, &what, content),
            FromProxy::Hello { .. } | FromProxy::Serving => self.counts.messages_refused += 1,
        }
    }

    fn struck(&mut self, strike: Strike, at_ns: u64, now: Instant) {
        self.counts.strikes += 1;
        let net = source(strike.source);
        if let Some(reason) = Reason::from_number(strike.reason) {
            let weight = self.bans.judge().weight(reason);
            self.memory.struck(net, reason, weight, now);
        }
        let wall = self.wall();
        match self.bans.strike(&mut *self.kernel.0, strike, now, wall) {
            Struck::Judged(Judgement::Ban(sentence)) => {
                let held_ns = clock::monotonic_ns();
                // A proxy's clock is ours; a later time is a lie that would hide a delay.
                self.memory.banned(&sentence, at_ns.min(held_ns), held_ns);
                self.counts.strike_bans += 1;
                self.follow();
            }
            Struck::Judged(Judgement::Noted { .. } | Judgement::Ignored(_)) => {}
            Struck::Failed(why) => self.failed_to_ban(&why, now),
        }
    }

    /// Counted each time by the ban list, logged now and then.
    fn failed_to_ban(&mut self, why: &BanError, now: Instant) {
        let lately = |at: Instant| now.saturating_duration_since(at) < MINUTE;
        if !self.failure_logged.is_some_and(lately) {
            self.failure_logged = Some(now);
            error!(error = %chain(why), "a strike did not lead to a ban");
        }
    }

    pub(super) fn resolved(&mut self, name: &str, addresses: &[IpAddr], now: Instant) {
        if !self.config.speaks_with(name) && !self.running.awaits_host(name) {
            self.counts.messages_refused += 1;
            return;
        }
        let standing = self.bans.resolved(&mut *self.kernel.0, name, addresses);
        // At most as often as names are asked for: else a broken proxy could fill the disk.
        let lately = |at: Instant| now.saturating_duration_since(at) < RESOLVED_LOGGED;
        if self.resolved_logged.get(name).is_none_or(|at| !lately(*at)) {
            self.resolved_logged.insert(name.to_owned(), now);
            info!(supplier = name, ?addresses, "supplier's addresses are protected");
        }
        for net in standing {
            let text = format!(
                "supplier {name} has an address within the ban on {net}; its answers are dropped until `gateway block rm {net}`"
            );
            warn!("{text}");
            self.warn(text);
        }
        self.follow();
    }
}
