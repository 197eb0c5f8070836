//! The kernel's settings that SYN cookies need: set while cookies are on, put back after, also by
//! the next guard if this one is killed.
//!
//! With `tcp_syncookies` at 2 the stack makes a cookie for every SYN, so it is 2 only meanwhile.

mod record;
#[cfg(test)]
mod tests;
mod values;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use self::{
    record::{Change, Record},
    values::{SYNCOOKIES, TIMESTAMPS, Values},
};
use super::{chain, kernel::PacketFilter};
use crate::{
    config::model::SynCookies,
    control::{CookieStatus, SysctlStatus},
};

/// Answers under way when cookies go off come back within this time; until then the settings they
/// were made under hold.
const GRACE: Duration = Duration::from_secs(5);

/// What both settings become.
const WANTED: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Off,
    On,
    /// No new answers; the settings still hold.
    Ending {
        since: Instant,
    },
}

/// Follows the filter's cookies with the kernel's settings.
#[derive(Debug)]
pub(super) struct Follower {
    values: Values,
    record: Record,
    phase: Phase,
    changes: Vec<Change>,
    problem: Option<String>,
}

impl Follower {
    /// Takes up what an earlier guard left, or, if cookies are not wanted any more, puts it right.
    pub(super) fn start(
        config: &SynCookies,
        state: &Path,
        kernel: &mut dyn PacketFilter,
        now: Instant,
    ) -> Self {
        Self::with(Values::of_this_namespace(), config, state, kernel, now)
    }

    fn with(
        values: Values,
        config: &SynCookies,
        state: &Path,
        kernel: &mut dyn PacketFilter,
        now: Instant,
    ) -> Self {
        let record = Record::new(state);
        let changes = record.read().unwrap_or_else(|error| {
            error!(error = %chain(&error), "the record of changed kernel settings cannot be read; check net.ipv4.tcp_syncookies and net.ipv4.tcp_timestamps");
            Vec::new()
        });
        let phase = if changes.is_empty() { Phase::Off } else { Phase::Ending { since: now } };
        let mut follower = Self { values, record, phase, changes, problem: None };
        follower.offer(kernel, follower.changes.is_empty());
        if !config.enabled {
            follower.restore();
        }
        follower
    }

    /// Ten times a second: what the filter does, and what follows for the settings.
    pub(super) fn tick(
        &mut self,
        config: &SynCookies,
        kernel: &mut dyn PacketFilter,
        now: Instant,
    ) {
        let is_on = match kernel.are_cookies_on() {
            Ok(is_on) => is_on,
            Err(error) => {
                self.fail(format!("whether SYN cookies are on is not known: {}", chain(&error)));
                return;
            }
        };
        match (self.phase, is_on) {
            (Phase::Off, true) => self.turn_on(config, kernel),
            (Phase::Ending { .. }, true) => self.go_on(kernel),
            (Phase::On, false) => self.turn_off(kernel, now),
            (Phase::Ending { since }, false) if now.duration_since(since) >= GRACE => {
                self.restore();
            }
            (Phase::Off | Phase::Ending { .. }, false) | (Phase::On, true) => {}
        }
    }

    /// Before the listeners close: no answer is made any more that the old settings would spoil.
    pub(super) fn prepare_stop(&mut self, kernel: &mut dyn PacketFilter) {
        if self.phase != Phase::Off {
            self.offer(kernel, false);
        }
    }

    /// After they closed. The filter goes on without us, and a listener whose queue is full makes
    /// cookies under the old settings too.
    pub(super) fn stop(&mut self) {
        self.restore();
    }

    /// True while answers are made.
    pub(super) fn is_on(&self) -> bool {
        self.phase == Phase::On
    }

    pub(super) fn status(&self, config: &SynCookies, missing: Option<&str>) -> CookieStatus {
        let state = match (missing, self.phase) {
            (Some(why), _) => format!("not available: {why}; limits alone hold"),
            (None, Phase::Off) if !config.enabled => "disabled".to_owned(),
            (None, Phase::Off) => "off".to_owned(),
            (None, Phase::On) => "on".to_owned(),
            (None, Phase::Ending { .. }) => "off, settings are about to be put back".to_owned(),
        };
        let sysctls = [SYNCOOKIES, TIMESTAMPS].into_iter().filter_map(|name| self.shown(name));
        CookieStatus { state, sysctls: sysctls.collect(), problem: self.problem.clone() }
    }

    fn shown(&self, name: &str) -> Option<SysctlStatus> {
        let change = self.changes.iter().find(|change| change.name == name);
        Some(SysctlStatus {
            name: format!("net.{}", name.replace('/', ".")),
            value: self.values.read(name).ok()?,
            was: change.map(|change| change.was),
        })
    }

    fn turn_on(&mut self, config: &SynCookies, kernel: &mut dyn PacketFilter) {
        warn!("SYN flood: SYNs are answered with cookies");
        self.problem = None;
        self.change(config);
        self.go_on(kernel);
    }

    fn go_on(&mut self, kernel: &mut dyn PacketFilter) {
        self.phase = Phase::On;
        self.offer(kernel, true);
    }

    /// Tells the filter first: answers that carry options in timestamps need the settings.
    fn turn_off(&mut self, kernel: &mut dyn PacketFilter, now: Instant) {
        info!("the SYN flood is over");
        self.offer(kernel, false);
        self.phase = Phase::Ending { since: now };
    }

    /// Sets what is not so already, once it is on the disk what it was.
    fn change(&mut self, config: &SynCookies) {
        let wanted = [SYNCOOKIES, TIMESTAMPS].into_iter().take(1 + usize::from(config.timestamps));
        self.changes = wanted.filter_map(|name| self.needed(name)).collect();
        if self.changes.is_empty() {
            return;
        }
        if let Err(error) = self.record.write(&self.changes) {
            self.changes.clear();
            self.fail(format!(
                "kernel settings stay as they are, for there is no record of them: {error}"
            ));
            return;
        }
        for change in self.changes.clone() {
            if let Err(error) = self.values.write(&change.name, change.set) {
                self.fail(format!("setting net/{} to {}: {error}", change.name, change.set));
            }
        }
    }

    fn needed(&self, name: &'static str) -> Option<Change> {
        let was = self.values.read(name).ok()?;
        // Timestamps that are off were switched off on purpose.
        let is_needed = was != WANTED && (name == SYNCOOKIES || was == 1);
        is_needed.then(|| Change { name: name.to_owned(), was, set: WANTED })
    }

    /// Puts back what still is as we set it; what somebody else set meanwhile is his.
    fn restore(&mut self) {
        let mut kept = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let is_ours = self.values.read(&change.name).is_ok_and(|value| value == change.set);
            if is_ours && let Err(error) = self.values.write(&change.name, change.was) {
                self.fail(format!("setting net/{} back to {}: {error}", change.name, change.was));
                kept.push(change);
            }
        }
        self.phase = Phase::Off;
        let outcome = if kept.is_empty() { self.record.remove() } else { self.record.write(&kept) };
        if let Err(error) = outcome {
            self.fail(format!("the record of kernel settings: {error}"));
        }
    }

    fn offer(&mut self, kernel: &mut dyn PacketFilter, timestamps: bool) {
        let scale = if timestamps { self.values.scale() } else { None };
        if let Err(error) = kernel.offer(scale) {
            self.fail(format!("telling the filter what to offer: {}", chain(&error)));
        }
    }

    /// Keeps the latest problem for `gateway status`; logs each once.
    fn fail(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            error!("{problem}");
            self.problem = Some(problem);
        }
    }
}
